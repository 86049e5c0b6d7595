#!/usr/bin/env python3
"""A bad line between client and server: delay, jitter, loss, and none at all. Two network namespaces with a TUN device each,
and between them this program, which hands packets over late, or not: what `tc netem` does, on kernels that have no netem
(Firecracker's, for one), and it can cut the line between two packets. TCP and all above it are real.

Needs user namespaces and /dev/net/tun, no root. Status 77 where the system forbids them.
FAR_BUILD is where far_peer is. Times are compared with the deadlines that they must not come before, and with PATIENCE."""

import contextlib
import fcntl
import heapq
import os
import pathlib
import random
import selectors
import struct
import subprocess
import sys
import tempfile
import threading
import time

import way_test
from way_test import Certificates, case, count

PEER = pathlib.Path(os.environ.get("FAR_BUILD", ".")) / "far_peer"
HERE, THERE = "10.9.0.1", "10.9.0.2"
PATIENCE = 60
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000


def tun(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


class Line(threading.Thread):
    """Hands packets from one device to the other, each `delay` seconds late, give or take `jitter`, if it is not lost."""

    def __init__(self, one, other):
        super().__init__(daemon=True)
        self.other = {one: other, other: one}
        self.random = random.Random(6455)
        self.good()

    def good(self):
        self.delay = self.jitter = self.loss = 0.0

    def bad(self, delay=0.05, jitter=0.02, loss=0.05):
        self.delay, self.jitter, self.loss = delay, jitter, loss

    def cut(self):
        self.loss = 1.0

    def run(self):
        late, number = [], 0
        with selectors.DefaultSelector() as ready:
            for device in self.other:
                ready.register(device, selectors.EVENT_READ)
            while True:
                wait = max(0, late[0][0] - time.monotonic()) if late else None
                for key, _ in ready.select(wait):
                    try:
                        packet = os.read(key.fd, 65536)
                    except OSError:  # the device is gone with its namespace: the tests are over
                        return
                    if self.random.random() >= self.loss:
                        number += 1
                        due = time.monotonic() + self.delay + self.random.uniform(-self.jitter, self.jitter)
                        heapq.heappush(late, (due, number, self.other[key.fd], packet))
                while late and late[0][0] <= time.monotonic():
                    _, _, to, packet = heapq.heappop(late)
                    with contextlib.suppress(OSError):  # a full queue: lost, as on any line
                        os.write(to, packet)


class Peer:
    """far_peer in a namespace, and what it prints."""

    def __init__(self, where, *arguments):
        self.process = subprocess.Popen([*where, PEER, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1)
        self.watch = threading.Timer(PATIENCE * 2, self.process.kill)
        self.watch.daemon = True
        self.watch.start()

    def line(self, first):
        """The next line that begins so."""
        for line in self.process.stdout:
            if line.startswith(first):
                return line.strip()
        raise AssertionError(f"ended with {self.process.wait()} before it said {first!r}")

    def expect(self, first, status, least=0.0, says=""):
        got = self.line(first)
        words = got.split(maxsplit=3)
        assert words[1] == status and says in got, f"{got!r}, not {first} {status} {says}"
        assert least <= float(words[2]) < PATIENCE * 1000, f"{got!r}: at least {least} ms were agreed"

    def go_on(self):
        self.process.stdin.write("\n")

    def end(self):
        self.process.stdin.close()
        status = self.process.wait(PATIENCE)
        self.watch.cancel()
        self.process.stdout.close()
        assert status == 0, f"it ended with {status}"


def lay():
    """(line, [command that enters the other namespace], the process that holds it)"""
    line = Line(tun("here"), tun("there"))
    holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    own, end = os.readlink("/proc/self/ns/net"), time.monotonic() + PATIENCE
    while os.readlink(f"/proc/{holder.pid}/ns/net") == own and time.monotonic() < end:
        time.sleep(0.01)
    enter = ["nsenter", "--target", str(holder.pid), "--net"]
    run = lambda *command: subprocess.run(command, check=True)  # noqa: E731
    run("ip", "link", "set", "there", "netns", str(holder.pid))
    for prefix, device, address in (([], "here", HERE), (enter, "there", THERE)):
        run(*prefix, "ip", "address", "add", f"{address}/24", "dev", device)
        run(*prefix, "ip", "link", "set", device, "up")
    line.start()
    return line, enter, holder


def cases(line, enter, scheme, certificates):
    tls = scheme == "wss"
    server = Peer(enter, "serve", f"{scheme}://{THERE}:0/", *((certificates.chain, certificates.key) if tls else ()))
    url = server.line(scheme)

    def client(does, *more):
        return Peer([], does, url, certificates.authority, *more)

    @case(f"{scheme}: echoes and close over 50 ms, 5 % loss")
    def _():
        line.bad()
        peer = client("echo")
        peer.expect("open", "OK", least=4 * 30)  # TCP and HTTP there and back
        peer.expect("echoed", "OK")
        peer.expect("closed", "OK")
        peer.end()
        assert "ended 1000" in server.line("ended")

    @case(f"{scheme}: connect: a deadline that is shorter than the way, one that is longer, and no way")
    def _():
        line.bad(delay=0.5, loss=0)
        peer = client("open", 600)
        peer.expect("open", "TIMEOUT", least=600, says="the time was up")
        peer.end()
        peer = client("open", 20000)
        peer.expect("open", "OK", least=4 * 480)
        peer.end()
        line.cut()
        peer = client("open", 700)
        peer.expect("open", "TIMEOUT", least=700, says="the time was up")
        peer.end()
        line.good()

    @case(f"{scheme}: keepalive: late answers are answers; a cut line is found out, at both ends")
    def _():
        line.bad(delay=0.3, loss=0.05)
        peer = client("keepalive")
        peer.expect("open", "OK")
        time.sleep(6)  # several pings, each answered late: it must not be taken for dead (ping_timeout is 4 s)
        line.cut()
        peer.go_on()
        # Had it been taken for dead before the cut, this were nought. A ping of before, whose way there or back was being
        # repeated then, is what runs out first.
        peer.expect("recv", "UNCLEAN", least=2000, says="keepalive")
        peer.end()
        while "keepalive" not in server.line("ended"):
            pass  # connections of the case before, which did not live to be used
        line.good()

    @case(f"{scheme}: close: a cut line costs close_timeout")
    def _():
        line.bad(loss=0)
        peer = client("close")
        peer.expect("open", "OK")
        line.cut()
        peer.go_on()
        peer.expect("closed", "TIMEOUT", least=1500, says="did not answer Close within 1500 ms")
        peer.end()
        line.good()

    @case(f"{scheme}: the end of a program: 1001 over a bad line, no delay on a cut one")
    def _():
        line.bad(delay=0.3, loss=0)
        peer = client("leave")
        peer.expect("open", "OK")
        peer.go_on()
        peer.end()
        while "ended 1001" not in server.line("ended"):
            pass
        peer = client("leave")
        peer.expect("open", "OK")
        line.cut()
        peer.go_on()
        peer.end()
        line.good()

    @case(f"{scheme}: reconnection, when the line is there again")
    def _():
        line.bad(loss=0)
        peer = client("reconnect")
        peer.expect("echoed", "OK")
        line.cut()
        peer.go_on()
        peer.line("phase waiting")
        peer.line("phase connecting")
        line.bad()
        peer.expect("echoed", "OK")
        peer.expect("closed", "OK")
        peer.end()

    server.go_on()
    server.end()


def main():
    if sys.argv[1:] != ["inside"]:
        if not way_test.program("ip"):
            sys.exit(1 if count["failed"] else 77)
        able = subprocess.run(["unshare", "--user", "--map-root-user", "--net", "sh", "-c", "ip link && test -w /dev/net/tun"],
                              stdout=subprocess.DEVNULL, check=False)
        if able.returncode != 0:
            print("the system allows no user namespaces here, or no /dev/net/tun")
            sys.exit(77)
        os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--net", sys.executable, __file__, "inside"])
    line, enter, holder = lay()
    try:
        with tempfile.TemporaryDirectory(prefix="thrum-far-") as place:
            certificates = Certificates(pathlib.Path(place), address=THERE)
            for scheme in ("ws", "wss"):
                cases(line, enter, scheme, certificates)
    finally:
        holder.stdin.close()
        holder.wait(PATIENCE)
    print(f"{count['ok']} ok, {count['failed']} failed")
    sys.exit(1 if count["failed"] else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""tests/exit/matrix.py: the exit contract, judged from outside. Each cell is a program of its own (cell.c) that makes a
connection in one thread, uses it in another, brings it into a state, and takes a way out without closing it. This driver
measures the time from that moment to the end of the process, its exit status, what it printed, how many threads the
library had, and which close code the peer saw. The peer is written here, from RFC 6455, and for some cells it is Python's
`websockets`; neither knows thrum. Writes a TSV and ends with the count."""
import argparse
import base64
import collections
import concurrent.futures
import hashlib
import itertools
import os
import pathlib
import re
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FACTOR = float(os.environ.get("THRUM_TIME_FACTOR", "1"))
LIMIT_MS = 250 * FACTOR
HANG_S = 10 * max(1, FACTOR / 2)
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Cell = collections.namedtuple("Cell", "role maker user state way peer scheme")
STATUS = {"return": 5, "exit": 6, "worker-exit": 7, "pthread_exit": 0, "background": 0, "sigterm": -15, "sigint": 8,
          "quick_exit": 9, "fork": 0, "fork-exec": 0, "cancel": 10, "dlclose": 11, "callback-exit": 12, "callback-fork": 0,
          "callback-return": 0, "callback-pthread_exit": 0}
BLOCKING = ("client", "server", "reconnect")
SERVERS = ("server", "listen", "loops")


def plain_cells():
    """Every combination that makes sense. The rule for what is left out: where main is inside a call, only another thread
    can take a way out (exit, quick_exit, a signal, cancellation of main); `background` and `cancel` need a thread inside;
    `closed` has no user; a server is used by its own threads; a connection that is still connecting is made by the thread
    that uses it, and pthread_exit of main is not taken there, since the worker must end first."""
    ways = [w for w in STATUS if w != "dlclose" and not w.startswith("callback-")]
    for maker in ("main", "worker"):
        for state in ("open", "closed"):
            for way in ways:
                if way not in ("background", "cancel"):
                    yield Cell("client", maker, "nobody", state, way, "raw", "ws")
        for state in ("in-recv", "in-send", "closing"):
            for way in ways:
                yield Cell("client", maker, "worker", state, way, "raw", "ws")
        for user in ("main", "worker"):
            for way in ways:
                if way not in ("background", "cancel"):
                    yield Cell("client", maker, user, "open", way, "raw", "ws")
        for state in ("listening", "serving"):
            for way in ways:
                if way not in ("background", "cancel"):
                    yield Cell("server", maker, "nobody", state, way, "raw", "ws")
    for way in ways:
        if way != "pthread_exit":  # nothing could end the worker there but its open_timeout
            yield Cell("client", "worker", "worker", "connecting", way, "raw", "ws")
    for state in ("connecting", "in-recv", "in-send", "closing"):
        for way in ("worker-exit", "sigterm", "sigint", "quick_exit", "cancel"):
            yield Cell("client", "main", "main", state, way, "raw", "ws")
    for way in ways:
        if way not in ("background", "cancel"):
            yield Cell("client", "main", "nobody", "open", way, "websockets", "ws")
        yield Cell("client", "main", "worker", "in-recv", way, "websockets", "ws")
    # A reconnecting client: its thread connects, waits, or has ended. With a worker inside its recv main cannot just leave.
    for state in ("connecting", "waiting", "open"):
        for way in ways:
            if way not in ("background", "cancel"):
                yield Cell("reconnect", "main", "nobody", state, way, "raw", "ws")
            if way != "pthread_exit":
                yield Cell("reconnect", "main", "worker", state, way, "raw", "ws")
    yield Cell("client", "main", "nobody", "open", "dlclose", "raw", "ws")
    yield Cell("client", "main", "nobody", "open", "dlclose", "websockets", "ws")


def is_stuck(cell):
    """A callback of the loop's does not come back."""
    return cell.state.startswith("in-") and cell.role not in BLOCKING


def loop_ways(role, user, state):
    """What is left out: a thread of the application's that is stuck in a callback keeps the process (E2), may not be told
    to stop, and no function can be posted to it: the callback itself takes the way. Where main drives, another thread takes
    the way out, or a callback; without a connection nothing can be posted to one."""
    stuck, connected = state.startswith("in-"), state not in ("resolving", "dialing", "connecting", "asking", "listening", "greeting")
    if user == "main":
        yield from ("worker-exit", "quick_exit", "sigterm")
        if not stuck:
            yield from ("sigint", "cancel")
    else:
        yield from ("return", "exit", "worker-exit", "sigterm", "sigint", "quick_exit", "fork", "fork-exec")
        if user == "worker":
            yield from ("background", "cancel")
        if not stuck or role == "loops":
            yield "pthread_exit"
    if state != "between" and (connected or role == "loops"):
        yield from ("callback-exit", "callback-fork", "callback-return")
        if user == "main":
            yield "callback-pthread_exit"


def loop_cells():
    """The event front: a server on a loop that a thread of the program drives, a server on loops of the library's, a client."""
    server = ["listening", "greeting", "in-request", "in-open", "serving", "in-message", "busy", "unwritten", "closing", "in-close",
              "draining"]
    client = ["resolving", "dialing", "connecting", "in-open", "open", "in-message", "busy", "unwritten", "closing", "in-close"]
    for role, states, users in (("listen", server, ("worker", "main")), ("loops", server, ("nobody",)),
                                ("open", client, ("worker", "main"))):
        for maker, user, state in ((m, u, s) for m in ("main", "worker") for u in users for s in states):
            if maker == "main" or user != "main" and state in ("serving", "open", "busy"):
                for way in loop_ways(role, user, state):
                    yield Cell(role, maker, user, state, way, "raw", "ws")
        for maker in ("main", "worker") if role != "loops" else ():
            for way in loop_ways(role, "nobody", "between"):
                yield Cell(role, maker, "nobody", "between", way, "raw", "ws")
    for user in ("worker", "main"):
        for way in loop_ways("open", user, "open"):
            yield Cell("open", "main", user, "open", way, "websockets", "ws")
    for role in ("loops", "open"):
        yield Cell(role, "main", "nobody", "between", "dlclose", "raw", "ws")


def cells():
    """All of them over TCP, and all again over TLS, where a connection can stand still in two handshakes: `connecting` is
    TLS's that is never answered, `asking` is HTTP's."""
    for cell in itertools.chain(plain_cells(), loop_cells()):
        yield cell
        yield cell._replace(scheme="wss")
        if cell.state == "connecting":
            yield cell._replace(scheme="wss", state="asking")


def status_of(cell):
    return 0 if cell.way == "cancel" and cell.user == "main" else STATUS[cell.way]


def codes(cell):
    """What the peer may see. A goodbye is due where a handler of exit runs and the connection is open."""
    if cell.state == "in-request" and cell.way in ("callback-fork", "callback-return"):
        return {None, 1001}  # that callback comes back, as far as the parent sees
    if cell.state in ("connecting", "asking", "waiting", "listening", "resolving", "dialing", "greeting", "in-request"):
        return {None}
    if cell.state in ("closed", "closing", "in-close"):
        return {1000}
    if cell.state == "draining":
        return {1001}
    if cell.way == "sigterm":
        return {1006, None} if cell.state == "in-open" else {1006}  # what answers the request may not have left yet
    # A frame that was cut by the end: the kernel took no more. Never a Close inside it: the reader below would find it.
    return {1001, 1006} if cell.state in ("in-send", "unwritten") else {1001}


def read_exactly(s, n):
    data = b""
    while len(data) < n:
        piece = s.recv(n - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def read_up_to(s, n):
    """n bytes, or fewer where the stream ends before."""
    data = b""
    while len(data) < n:
        try:
            piece = s.recv(n - len(data))
        except OSError:
            break
        if not piece:
            break
        data += piece
    return data


def read_head(s):
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += read_exactly(s, 1)
    return data


def shake_as_server(s):
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", read_head(s)).group(1)
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")


def shake_as_client(s):
    s.sendall(b"GET / HTTP/1.1\r\nHost: cell\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
              b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    if b" 101 " not in read_head(s):
        raise EOFError


def close_code(s, answer):
    """Reads whole frames until Close or the end: its code, 1006 where there was none, "torn" where anything but zeros, the
    cell's only payload, stands inside a frame of data, whole or cut."""
    try:
        while True:
            first, second = read_exactly(s, 2)
            n = second & 0x7f
            if n == 126:
                n = struct.unpack(">H", read_exactly(s, 2))[0]
            elif n == 127:
                n = struct.unpack(">Q", read_exactly(s, 8))[0]
            key = read_exactly(s, 4) if second & 0x80 else b"\0\0\0\0"
            payload = read_up_to(s, n)
            if first & 0x0f not in (0, 1, 2, 8, 9, 10) or first & 0x70:
                return "torn"
            if first & 0x0f < 8 and payload != (key * (len(payload) // 4 + 1))[:len(payload)]:
                return "torn"
            if len(payload) < n:
                return 1006
            if first & 0x0f == 8:
                code = struct.unpack(">H", bytes(b ^ key[i] for i, b in enumerate(payload[:2])))[0] if n else 1005
                if answer:
                    s.sendall(b"\x88\x02" + struct.pack(">H", code))
                return code
    except (EOFError, OSError):
        return 1006


class Certificates:
    """An authority and a certificate of it for this machine, made by the openssl program."""

    def __init__(self, place):
        place = pathlib.Path(place)
        self.authority, self.chain, self.key = (str(place / n) for n in ("authority.pem", "chain.pem", "key.pem"))
        authority_key, request, names = (str(place / n) for n in ("authority-key.pem", "request.pem", "names"))
        pathlib.Path(names).write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self.openssl("req", "-x509", *ec, "-subj", "/CN=cell authority", "-days", "2", "-keyout", authority_key, "-out",
                     self.authority)
        self.openssl("req", *ec, "-subj", "/CN=cell", "-keyout", self.key, "-out", request)
        self.openssl("x509", "-req", "-in", request, "-CA", self.authority, "-CAkey", authority_key, "-days", "2", "-extfile",
                     names, "-out", self.chain, "-set_serial", "7")
        self.serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.serving.load_cert_chain(self.chain, self.key)
        self.asking = ssl.create_default_context(cafile=self.authority)
        # A cell is found by what every program uses: the default trust store; its server by two variables of cell.c.
        self.environment = {"SSL_CERT_FILE": self.authority, "CELL_CHAIN": self.chain, "CELL_KEY": self.key}

    @staticmethod
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Peer(threading.Thread):
    """The other side of one cell."""

    def __init__(self, cell, certificates):
        super().__init__(daemon=True)
        self.cell = cell
        self.certificates = certificates
        self.code = None
        self.url = "-"
        self.ended = threading.Event()  # the cell's process is gone
        self.up = threading.Event()
        self.listener, self.filling = None, []
        if cell.state == "resolving":
            self.url = f"{cell.scheme}://never.test/"
        elif cell.role not in SERVERS:
            self.listener = socket.create_server(("127.0.0.1", 0), backlog=0 if cell.state == "dialing" else 8)
            self.url = f"{cell.scheme}://127.0.0.1:{self.listener.getsockname()[1]}/"
        if cell.state == "dialing":
            self.fill_backlog()

    def fill_backlog(self):
        """What connects from now on is not answered."""
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(self.listener.getsockname())
            self.filling.append(s)

    def run(self):
        try:
            if self.cell.state == "waiting":
                self.listener.close()  # every connect is refused
            elif self.cell.role in SERVERS:
                self.connect()
            elif self.cell.state not in ("resolving", "dialing"):
                self.serve()
        except (EOFError, OSError):
            pass

    def serve(self):
        s, _ = self.listener.accept()
        if self.cell.state == "connecting":
            self.ended.wait()
            s.close()
            return
        if self.cell.scheme == "wss":
            s = self.certificates.serving.wrap_socket(s, server_side=True)
        with s:
            if self.cell.state == "asking":
                read_head(s)
                self.ended.wait()
                return
            shake_as_server(s)
            self.play(s, b"\x88\x02\x03\xe8", b"\x82\x01\0")

    def connect(self):
        self.up.wait()
        if self.cell.state == "listening":
            return
        host, port = re.match(r"wss?://([^:/]+):(\d+)", self.url).groups()
        s = socket.create_connection((host, int(port)))
        if self.cell.state == "greeting":
            self.ended.wait()
            s.close()
            return
        if self.cell.scheme == "wss":
            s = self.certificates.asking.wrap_socket(s, server_hostname=host)
        with s:
            shake_as_client(s)
            self.play(s, b"\x88\x82\0\0\0\0\x03\xe8", b"\x82\x81\0\0\0\0\0")

    def play(self, s, close, message):
        """The part behind the opening handshake."""
        state = self.cell.state
        if state in ("in-send", "unwritten"):
            self.ended.wait()
        if state == "in-message" and is_stuck(self.cell):
            s.sendall(message)
        if state == "in-close":
            s.sendall(close)
        unanswered = state in ("closing", "in-close", "draining") or self.cell.role in SERVERS
        self.code = close_code(s, answer=not unanswered)
        if state in ("closing", "draining"):
            self.ended.wait()  # neither an answer nor the end of the stream: the cell is to be inside of closing


class WebsocketsPeer:
    """Python's `websockets` as the server."""

    def __init__(self, cell, certificates):
        from websockets.sync.server import serve

        self.code = None
        self.done = threading.Event()
        self.server = serve(self.handle, "127.0.0.1", 0, ssl=certificates.serving if cell.scheme == "wss" else None)
        self.url = f"{cell.scheme}://127.0.0.1:{self.server.socket.getsockname()[1]}/"
        self.ended = threading.Event()
        self.up = threading.Event()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def start(self):
        pass

    def handle(self, connection):
        try:
            for _ in connection:
                pass
        except Exception:  # noqa: BLE001: every kind of end is looked at below
            pass
        self.code = connection.close_code
        self.done.set()

    def join(self, seconds):
        self.done.wait(seconds)
        self.server.shutdown()


def has_websockets():
    try:
        import websockets.sync.server  # noqa: F401
    except ImportError:
        return False
    return True


def what_it_printed(child):
    """In a child of fork LeakSanitizer sees the parent's threads and cannot stop them: a note of its own, no finding."""
    try:
        printed = child.communicate(timeout=HANG_S)[1]
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)  # its own session, so these are its children
        printed = "nothing, but a child of it lives on\n" + child.communicate()[1]
    return re.sub(r"==\d+==Running thread \d+ was not suspended. False leaks are possible.\n", "", printed)


def run(cell, build, certificates):
    peer = (WebsocketsPeer if cell.peer == "websockets" else Peer)(cell, certificates)
    peer.start()
    here, there = os.pipe()
    os.set_inheritable(there, True)
    programs = build / "tests" / "exit"
    command = [programs / ("cell" if cell.role in BLOCKING else "loop_cell"), cell.role, cell.maker, cell.user, cell.state, cell.way,
               peer.url if cell.role not in SERVERS else f"{cell.scheme}://127.0.0.1:0/", str(there)]
    if cell.way == "dlclose":
        command = [programs / "cell_dl", build / "libthrum.so", cell.role, command[-2], str(there)]
    child = subprocess.Popen(command, close_fds=True, pass_fds=[there], stdout=subprocess.DEVNULL,
                             env={**os.environ, **certificates.environment}, stderr=subprocess.PIPE, text=True,
                             errors="replace", start_new_session=True)
    os.close(there)
    ready, threads, ended = None, None, True
    with os.fdopen(here) as lines:
        while select.select([lines], [], [], HANG_S)[0]:
            line = lines.readline()
            words = line.split()
            if words[:1] == ["url"]:
                peer.url = words[1]
                peer.up.set()
                continue
            if words[:1] == ["ready"]:
                threads, ready = int(words[1]), int(words[2])
            break
        pid = os.pidfd_open(child.pid)
        ended = bool(select.select([pid], [], [], HANG_S)[0])
        gone = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        os.close(pid)
    if not ended:
        child.kill()
    printed = what_it_printed(child)
    peer.ended.set()
    peer.up.set()
    peer.join(5)
    ms = (gone - ready) / 1e6 if ready else float("nan")
    wrong = []
    if not ready:
        wrong.append("it did not come to its way out")
    if not ended:
        wrong.append("it did not end")
    elif ready and ms > LIMIT_MS:
        wrong.append(f"it took {ms:.0f} ms")
    if child.returncode != status_of(cell):
        wrong.append(f"status {child.returncode}, not {status_of(cell)}")
    if peer.code not in codes(cell):
        wrong.append(f"the peer saw {peer.code}, not one of {sorted(map(str, codes(cell)))}")
    if printed.strip():
        wrong.append("it printed: " + printed.strip()[:2000])
    return cell, ended, ms, child.returncode, threads, peer.code, wrong


def quick(cell):
    """About one in two, every way and every state among them."""
    return cell.peer == "websockets" or cell.maker == "main" and cell.state in ("in-recv", "in-send", "serving", "closing") \
        or cell.state in ("connecting", "asking") or cell.role == "reconnect"


def spread(todo):
    """A few dozen cells of loops: every role with every state, every way with every role, thread and scheme."""
    seen, chosen = set(), set()
    for least in (4, 3, 2, 1):
        for cell in todo:
            new = {(cell.role, cell.state), (cell.role, cell.way), (cell.user, cell.way), (cell.scheme, cell.state),
                   (cell.scheme, cell.way), (cell.peer, cell.role), (cell.maker, cell.user)} - seen
            if len(new) >= least:
                seen |= new
                chosen.add(cell)
    return chosen


def choose(options):
    todo = [c for c in cells() if options.filter in " ".join(c) and c.way not in options.leave_out.split(",")]
    loops = [c for c in todo if c.role not in BLOCKING]
    some = set(loops) if options.full or options.filter else spread(loops)
    return [c for c in todo if c in some or c.role in BLOCKING and (not options.quick or quick(c))]


def table(results):
    groups = collections.OrderedDict()
    for cell, _, ms, _, _, _, wrong in results:
        group = groups.setdefault(cell.way, [0, 0, 0.0, collections.Counter()])
        group[0] += 1
        group[1] += bool(wrong)
        group[2] = max(group[2], ms) if ms == ms else group[2]
        group[3][cell.peer] += 1
        group[3][cell.scheme] += 1
    print(f"{'way out':14}{'cells':>6}{'failed':>8}{'slowest ms':>12}{'over TLS':>10}{'with websockets':>17}")
    for way, (n, failed, slowest, peers) in groups.items():
        print(f"{way:14}{n:6}{failed:8}{slowest:12.1f}{peers['wss']:10}{peers['websockets']:17}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "dev")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--filter", default="", help="only cells whose name has this")
    parser.add_argument("--quick", action="store_true", help="of the blocking front a part that has every way and state")
    parser.add_argument("--full", action="store_true", help="of loops all cells; without it, or a filter, a few dozen")
    parser.add_argument("--leave-out", default="", help="ways out that are not taken, for ThreadSanitizer: it forgets a "
                        "thread's locks when that is cancelled in a system call (cancel), has a thread of its own that keeps "
                        "a process alive which ends with its last thread (pthread_exit), or is gone itself when a process "
                        "does (callback-return)")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build" / "exit-matrix.tsv")
    options = parser.parse_args()
    todo = choose(options)
    if not has_websockets():
        left_out = [c for c in todo if c.peer == "websockets"]
        todo = [c for c in todo if c.peer != "websockets"]
        print(f"no websockets for {sys.executable}: {len(left_out)} cells with it are left out")
    with tempfile.TemporaryDirectory() as place, concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        certificates = Certificates(place)
        results = list(pool.map(lambda c: run(c, options.build.resolve(), certificates), todo))
    table(results)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w") as out:
        print("cell", "ended", "milliseconds", "status", "library_threads", "peer_close_code", "verdict", sep="\t", file=out)
        for cell, ended, ms, status, threads, code, wrong in results:
            print(" ".join(cell), "yes" if ended else "no", f"{ms:.1f}", status, "-" if threads is None else threads,
                  "-" if code is None else code, "FAIL" if wrong else "ok", sep="\t", file=out)
    failed = [r for r in results if r[-1]]
    for cell, *_, wrong in failed:
        print("FAIL", " ".join(cell), "-", "; ".join(wrong))
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())

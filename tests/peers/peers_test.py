#!/usr/bin/env python3
"""Peers that are not ours: Python's `websockets`, both roles, and curl. peers_test.py server|client|curl, with the programs
echo_server and client_cases beside PEERS_BUILD (or in it). Status 77: the peer is not to be had here; CI has it.

Every wait has a bound; only processes that were started here are ended."""

import contextlib
import http
import os
import pathlib
import shutil
import subprocess
import sys
import threading

try:
    import websockets
    from websockets.sync.client import connect
    from websockets.sync.server import serve
except ImportError:
    websockets = None

BUILD = pathlib.Path(os.environ.get("PEERS_BUILD", "."))
PATIENCE = 30
MIB = 1 << 20
SIZES = [0, 1, 125, 126, 127, 65535, 65536, MIB]
count = {"ok": 0, "failed": 0}


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def case(name):
    """Runs the function at once and counts it as a case."""

    def run(function):
        try:
            function()
        except Exception as error:  # whatever went wrong is the case's failure, and the next one runs
            count["failed"] += 1
            print(f"FAIL {name}: {type(error).__name__}: {error}")
        else:
            count["ok"] += 1
            print(f"ok {name}")

    return run


def equal(got, want):
    if got != want:
        shown = [repr(x) if len(repr(x)) < 200 else f"{type(x).__name__} of {len(x)}" for x in (got, want)]
        raise AssertionError(f"{shown[0]} is not {shown[1]}")


class Server:
    """echo_server, and what it says of connections that have ended."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __enter__(self):
        self.process = subprocess.Popen([BUILD / "echo_server", *self.arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip().rstrip("/")
        return self

    def ended(self):
        return self.process.stdout.readline().strip()

    def __exit__(self, *error):
        self.process.stdin.close()
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process.stdout.close()
        count["failed" if status else "ok"] += 1
        print("ok the server drains" if status == 0 else f"FAIL the server drains: status {status}")


def open_client(server, path, **more):
    return connect(server.url + path, compression=None, max_size=4 * MIB, open_timeout=PATIENCE, close_timeout=PATIENCE,
                   **more)


# ---- websockets is the client ------------------------------------------------------------------------------------

def against_our_server(server):
    def text_of(n):
        return ("abcdefghijklmnopqrstuvwxyz" * (n // 26 + 1))[:n]

    for target in ("/echo", "/parts"):
        @case(f"{target}: text and binary of every length form")
        def _(target=target):
            with open_client(server, target) as ws:
                for n in SIZES:
                    ws.send(text_of(n))
                    equal(ws.recv(PATIENCE), text_of(n))
                    ws.send(text_of(n).encode())
                    equal(ws.recv(PATIENCE), text_of(n).encode())
            server.ended()

        @case(f"{target}: fragmented messages")
        def _(target=target):
            with open_client(server, target) as ws:
                ws.send(iter(["caf", "", "\u00e9 ", "\U0001f30d"]))
                equal(ws.recv(PATIENCE), "caf\u00e9 \U0001f30d")
                ws.send(iter([b"\0" * 70000, b"\1", b"\2" * 126]))
                equal(ws.recv(PATIENCE), b"\0" * 70000 + b"\1" + b"\2" * 126)
            server.ended()

    @case("the client's pings")
    def _():
        with open_client(server, "/echo") as ws:
            for payload in ("", "x", "y" * 125):
                if not ws.ping(payload).wait(PATIENCE):
                    raise AssertionError("no pong")
        server.ended()

    @case("the server's ping")
    def _():
        with open_client(server, "/ping") as ws:
            equal(ws.recv(PATIENCE), "OK timed")
        server.ended()

    @case("subprotocols")
    def _():
        for offered, agreed in ((["chat.v1", "chat.v2"], "chat.v2"), (["chat.v1"], "chat.v1"), (["other"], None), (None, None)):
            with open_client(server, "/subprotocol", subprotocols=offered) as ws:
                equal(ws.subprotocol, agreed)
                equal(ws.recv(PATIENCE), agreed or "none")
            server.ended()

    for code, reason in ((1000, "bye"), (1001, ""), (1011, "h\u00e9"), (3000, "r" * 123), (4999, "x")):
        @case(f"the client closes with {code}")
        def _(code=code, reason=reason):
            with open_client(server, "/echo") as ws:
                ws.close(code, reason)
                equal(ws.protocol.close_rcvd.code, code)
            equal(server.ended(), f'end /echo received {code} "{reason}" sent {code} "" by_peer 1 clean 1')

        @case(f"the server closes with {code}")
        def _(code=code):
            with open_client(server, f"/close/{code}/why") as ws:
                try:
                    ws.recv(PATIENCE)
                except websockets.ConnectionClosed as closed:
                    equal((closed.rcvd.code, closed.rcvd.reason), (code, "why"))
                    equal(closed.rcvd_then_sent, True)
                else:
                    raise AssertionError("a message came")
            equal(server.ended(), f'end /close/{code}/why received {code} "why" sent {code} "why" by_peer 0 clean 1')

    @case("a close without a code")
    def _():
        with open_client(server, "/close/0") as ws:
            try:
                ws.recv(PATIENCE)
            except websockets.ConnectionClosed as closed:
                equal(closed.rcvd.code, 1005)
            else:
                raise AssertionError("a message came")
        server.ended()

    @case("a refusal")
    def _():
        try:
            with open_client(server, "/nowhere"):
                pass
        except websockets.InvalidStatus as refused:
            equal(refused.response.status_code, 404)
            equal(refused.response.headers["X-Why"], "not here")
            equal(refused.response.body, b"no such room\n")
        else:
            raise AssertionError("not refused")

    @case("twenty at once")
    def _():
        with contextlib.ExitStack() as stack:
            all_of_them = [stack.enter_context(open_client(server, "/echo")) for _ in range(20)]
            for i, ws in enumerate(all_of_them):
                ws.send(f"message {i}")
            for i, ws in enumerate(all_of_them):
                equal(ws.recv(PATIENCE), f"message {i}")
        for _ in range(20):
            server.ended()


# ---- websockets is the server ------------------------------------------------------------------------------------

def handler(ws):
    path = ws.request.path
    if path == "/fragments":
        ws.send(iter(["one ", "two ", "three"]))
        ws.send(iter([b"\0", b"", b"\1\2"]))
    elif path == "/ping":
        ws.send("ponged" if ws.ping("p" * 125).wait(PATIENCE) else "no pong")
    elif path == "/subprotocol":
        ws.send(ws.subprotocol or "none")
    elif path == "/header":
        ws.send(ws.request.headers["X-Mine"] + "|" + ws.request.headers["Origin"])
    elif path.startswith("/close/"):
        code, reason = path.removeprefix("/close/").split("/", 1)
        ws.close(int(code), reason)
    with contextlib.suppress(websockets.ConnectionClosed):
        for message in ws:
            ws.send(message)


def process_request(ws, request):
    return ws.respond(http.HTTPStatus.NOT_FOUND, "no such room\n") if request.path == "/nowhere" else None


def select_subprotocol(ws, offered):
    return next((name for name in ("chat.v2", "chat.v1") if name in offered), None)  # none is fine, too


def against_our_client():
    with serve(handler, "127.0.0.1", 0, compression=None, max_size=4 * MIB, process_request=process_request,
               select_subprotocol=select_subprotocol, close_timeout=PATIENCE) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        host, port = server.socket.getsockname()[:2]
        ran = subprocess.run([BUILD / "client_cases", f"ws://{host}:{port}"], stdout=subprocess.PIPE, text=True, check=False,
                             timeout=4 * PATIENCE)
        server.shutdown()
        thread.join()
    print(ran.stdout, end="")
    lines = ran.stdout.splitlines()
    count["ok"] += sum(line.startswith("ok ") for line in lines)
    count["failed"] += sum(not line.startswith("ok ") for line in lines) + (ran.returncode not in (0, 1))
    if ran.returncode not in (0, 1):
        print(f"FAIL client_cases ended with status {ran.returncode}")


# ---- curl ----------------------------------------------------------------------------------------------------------

def curl(url, *more):
    ran = subprocess.run(["curl", "--silent", "--show-error", "--include", "--http1.1", "--max-time", "20", *more, url],
                         stdout=subprocess.PIPE, check=False, timeout=PATIENCE)
    return ran.stdout


def against_curl(server):
    url = server.url.replace("ws://", "http://")
    shake = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13"]
    key = ["-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]

    @case("curl: the handshake of RFC 6455 section 1.3")
    def _():
        # The server says Close at once, so that curl comes to an end.
        answer = curl(url + "/close/1000/bye", *shake, *key)
        equal(answer.startswith(b"HTTP/1.1 101 "), True)
        equal(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer, True)
        equal(answer.partition(b"\r\n\r\n")[2], b"\x88\x05\x03\xe8bye")

    for name, status, arguments in (("no upgrade", 426, []), ("no key", 400, shake), ("old version", 426, shake[:4] + [
            "-H", "Sec-WebSocket-Version: 8", *key]), ("another method", 405, ["--request", "DELETE", *shake, *key]),
            ("another page's origin", 403, [*shake, *key, "-H", "Origin: http://evil.test"])):
        @case(f"curl: {name}")
        def _(status=status, arguments=arguments):
            answer = curl(url + "/echo", *arguments)
            equal(answer.split(b" ", 2)[1], str(status).encode())

    @case("curl: a plain page")
    def _():
        equal(curl(url + "/health").partition(b"\r\n\r\n")[2], b"fine\n")
        equal(curl(url + "/nowhere").startswith(b"HTTP/1.1 404 "), True)


def main():
    role = sys.argv[1] if len(sys.argv) == 2 else ""
    if role in ("server", "client") and websockets is None:
        skip(f"{sys.executable} has no module websockets (tools/setup test makes build/venv with it)")
    if role == "server":
        with Server() as server:
            against_our_server(server)
    elif role == "client":
        against_our_client()
    elif role == "curl":
        if not shutil.which("curl"):
            skip("there is no curl here")
        with Server("500") as server:  # curl answers no Close, so the server is not to wait for one
            against_curl(server)
    else:
        sys.exit("usage: peers_test.py server|client|curl")
    print(f"{count['ok']} ok, {count['failed']} failed")
    sys.exit(1 if count["failed"] or not count["ok"] else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""judges.py PEER ROLE [loop]: other implementations against matrix (thrum, in the other role), or its twin on loops, over {text, binary} x {0, 1, 125, 126,
65535, 65536, 1 MiB, three fragments} x {deflate on, off, no takeover}, each message twice; every echo is compared byte for
byte, the extension that was agreed on, and the close codes both ways.
  websockets client|server   aiohttp client|server   ws client|server (node)   chromium client
Writes build/judges/PEER-ROLE.tsv or PEER-ROLE-loop.tsv (peer, its role, deflate, what, outcome). Status 77: the peer is not to be had here; under
CI=true that is a failure. Every wait has a bound, and only processes started here are ended."""

import asyncio
import contextlib
import functools
import http.server
import os
import pathlib
import queue
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("JUDGES_BUILD", "."))
FRONT = sys.argv[3] if len(sys.argv) > 3 else "blocking"
PROGRAM = BUILD / {"blocking": "matrix", "loop": "loop_matrix"}[FRONT]
NODE_MODULES = ROOT / "build" / "node" / "node_modules"
PATIENCE = 60
MIB = 1 << 20
SIZES = [0, 1, 125, 126, 65535, 65536, MIB]
PART = 10000
MODES = ("on", "off", "no-takeover")
AIOHTTP = "aiohttp"  # answers any Close with 1000, as RFC 6455 section 5.5.1 only says "typically"
outcomes = []


def skip(why):
    print(f"skipped: {why}")
    sys.exit(1 if os.environ.get("CI") == "true" else 77)


def judge(mode, what, good):
    outcomes.append((mode, what, "ok" if good is True else f"FAILED {good}"))


@functools.lru_cache(maxsize=None)
def message(binary, n):
    if binary:
        return bytes((i * 7 + i // 251) & 255 for i in range(n))
    return bytes(97 + (i * i + i // 7) % 23 for i in range(n)).decode()


def is_agreed(mode, extensions):
    """Does what was agreed on suit the mode?"""
    has, alone = "permessage-deflate" in extensions, "context_takeover" in extensions
    wanted = {"on": has and not alone, "off": not has, "no-takeover": has and alone}[mode]
    return wanted or f"agreed on {extensions!r}"


# ---- processes -------------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def running(*command, env=None):
    """Its lines come on .lines; ended with its standard input."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    process.lines = queue.Queue()
    threading.Thread(target=lambda: [process.lines.put(line.rstrip("\n")) for line in process.stdout], daemon=True).start()
    try:
        yield process
    finally:
        process.stdin.close()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def line_of(process):
    return process.lines.get(timeout=PATIENCE)


def answers(code):
    """What may come back for a Close with this code."""
    return (code, "1000") if AIOHTTP in sys.argv else (code,)


def judge_report(mode, text):
    """What a client of the matrix prints."""
    said = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    judge(mode, "every message", "failed" not in said or said["failed"])
    judge(mode, "extension", is_agreed(mode, said.get("agreed", "")))
    judge(mode, "our Close answered", said.get("answered") in answers("3001") or said.get("answered"))
    judge(mode, "its Close", said.get("told") == "4001 as asked" or said.get("told"))


def thrum_client(mode, url):
    ran = subprocess.run([PROGRAM, "client", mode, url], capture_output=True, text=True, timeout=3 * PATIENCE, check=False)
    judge(mode, "the program", ran.returncode == 0 or ran.stderr.strip())
    judge_report(mode, ran.stdout)


def judge_server_saw(mode, lines):
    """What a server of the matrix says of the two connections of a client."""
    judge(mode, "Close that came", lines[0] == "ended 3001 bye" or lines[0])
    judge(mode, "Close that was answered", lines[1].split()[1] in answers("4001") or lines[1])


def against_thrum_server(play):
    for mode in MODES:
        with running(PROGRAM, "server", mode) as server:
            judge_report(mode, play(mode, line_of(server)))
            judge_server_saw(mode, [line_of(server), line_of(server)])


# ---- Python's websockets ---------------------------------------------------------------------------------------------

def report(agreed, answered, told):
    return f"agreed {agreed}\nanswered {answered}\ntold {told}\n"


def websockets_client(mode, url):
    from websockets.sync.client import connect
    compression = None if mode == "off" else "deflate"
    with connect(url, compression=compression, max_size=4 * MIB, ping_interval=None) as ws:
        agreed = ws.response.headers.get("Sec-WebSocket-Extensions", "")
        for binary in (False, True):
            for m in [message(binary, n) for n in SIZES for _ in range(2)]:
                ws.send(m)
                expect(ws.recv(timeout=PATIENCE), m)
            m = message(binary, 3 * PART)
            ws.send([m[i:i + PART] for i in range(0, 3 * PART, PART)])
            expect(ws.recv(timeout=PATIENCE), m)
        ws.close(3001, "bye")
        answered = ws.close_code
    with connect(url, compression=compression) as ws:
        ws.send("close me")
        with contextlib.suppress(Exception):
            ws.recv(timeout=PATIENCE)
        return report(agreed, answered, f"{ws.close_code} {ws.close_reason}")


def expect(got, want):
    if got != want or type(got) is not type(want):
        raise AssertionError(f"{len(want)} bytes came back as {len(got)}, or others")


def websockets_server():
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.server import serve
    ended = queue.Queue()

    def echo(ws):
        with contextlib.suppress(ConnectionClosed):  # it is raised for any code but 1000 and 1001
            for m in ws:
                if m == "close me":
                    ws.close(4001, "as asked")
                    break
                ws.send(m)
        ended.put(f"ended {ws.close_code} {ws.close_reason}")

    for mode in MODES:
        with serve(echo, "127.0.0.1", 0, compression=None if mode == "off" else "deflate", max_size=4 * MIB) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            thrum_client(mode, "ws://127.0.0.1:%d/" % server.socket.getsockname()[1])
            judge_server_saw(mode, [ended.get(timeout=PATIENCE), ended.get(timeout=PATIENCE)])
            server.shutdown()


# ---- aiohttp: it cannot send fragments, so those go one way only ------------------------------------------------------

async def aiohttp_play(mode, url):
    import aiohttp
    options = {"compress": 0 if mode == "off" else 15, "max_msg_size": 4 * MIB}
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, **options) as ws:
            agreed = ws._response.headers.get("Sec-WebSocket-Extensions", "")
            for binary in (False, True):
                for m in [message(binary, n) for n in SIZES for _ in range(2)]:
                    await (ws.send_bytes(m) if binary else ws.send_str(m))
                    expect((await ws.receive(PATIENCE)).data, m)
            await ws.close(code=3001, message=b"bye")
            answered = ws.close_code
        async with session.ws_connect(url, **options) as ws:
            await ws.send_str("close me")
            end = await ws.receive(PATIENCE)
            return report(agreed, answered, f"{end.data} {end.extra}")


def aiohttp_client(mode, url):
    return asyncio.run(asyncio.wait_for(aiohttp_play(mode, url), 3 * PATIENCE))


async def aiohttp_serve(mode):
    from aiohttp import WSMsgType, web
    ended = []

    async def echo(request):
        ws = web.WebSocketResponse(compress=mode != "off", max_msg_size=4 * MIB)
        await ws.prepare(request)
        reason = None
        while True:
            m = await ws.receive()
            if m.type == WSMsgType.TEXT and m.data == "close me":
                await ws.close(code=4001, message=b"as asked")
            elif m.type == WSMsgType.TEXT:
                await ws.send_str(m.data)
            elif m.type == WSMsgType.BINARY:
                await ws.send_bytes(m.data)
            else:
                reason = m.extra or ""
            if ws.closed:
                ended.append(f"ended {ws.close_code} {reason or ''}".rstrip())
                return ws

    app = web.Application()
    app.router.add_get("/", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    await asyncio.to_thread(thrum_client, mode, f"ws://127.0.0.1:{port}/")
    await runner.cleanup()
    judge_server_saw(mode, ended)


def aiohttp_server():
    for mode in MODES:
        asyncio.run(asyncio.wait_for(aiohttp_serve(mode), 3 * PATIENCE))


# ---- node's ws -------------------------------------------------------------------------------------------------------

def node(*arguments):
    return [shutil.which("node"), HERE / "peer.js", *arguments]


def node_environment():
    return dict(os.environ, NODE_MODULES=str(NODE_MODULES))


def ws_client(mode, url):
    ran = subprocess.run(node("client", mode, url), capture_output=True, text=True, timeout=3 * PATIENCE,
                         env=node_environment(), check=False)
    return ran.stdout if ran.returncode == 0 else f"failed {ran.stderr.strip()[-300:]}\n"


def ws_server():
    for mode in MODES:
        with running(*node("server", mode), env=node_environment()) as server:
            thrum_client(mode, line_of(server))
            judge_server_saw(mode, [line_of(server), line_of(server)])


# ---- Chromium --------------------------------------------------------------------------------------------------------

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (HERE / "page.html").read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.server.seen.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def chromium_client(_mode, url):
    pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    pages.seen = queue.Queue()
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             f"--user-data-dir={profile}", f"http://127.0.0.1:{pages.server_port}/?{url}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return pages.seen.get(timeout=2 * PATIENCE)
        finally:
            browser.terminate()
            browser.wait(PATIENCE)
            pages.shutdown()


# ---- which -----------------------------------------------------------------------------------------------------------

def needs(peer):
    """What is missing for it, or None."""
    if peer in ("websockets", "aiohttp"):
        try:
            __import__(peer)
        except ImportError:
            return f"Python's {peer} is not installed"
    if peer == "ws" and not (shutil.which("node") and (NODE_MODULES / "ws").exists()):
        return "node, or its ws, is not installed"
    if peer == "chromium" and not shutil.which("chromium"):
        return "chromium is not installed"
    return None


def main():
    peer, role = sys.argv[1:3]
    why = needs(peer)
    if why:
        skip(why)
    play = globals()[f"{peer}_{role}"]
    if role == "client":
        against_thrum_server(play)
    else:
        play()
    folder = ROOT / "build" / "judges"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{peer}\t{role}\t{mode}\t{what}\t{outcome}" for mode, what, outcome in outcomes]
    name = f"{peer}-{role}" if FRONT == "blocking" else f"{peer}-{role}-{FRONT}"
    (folder / f"{name}.tsv").write_text("peer\trole\tdeflate\twhat\toutcome\n" + "\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    bad = sum(outcome != "ok" for _, _, outcome in outcomes)
    print(f"{peer} as {role}, {FRONT} front: {len(outcomes) - bad} ok, {bad} failed")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()

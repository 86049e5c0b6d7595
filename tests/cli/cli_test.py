"""tests/cli/cli_test.py: the real `thrum` program, driven as a user or a script drives it.

THRUM_CLI names the program. The raw peer of some tests is written here, of sockets, so that it can send what no
library would. THRUM_PYTHON (with `websockets`) adds a test against an independent server."""
import base64
import hashlib
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

CLI = os.environ.get("THRUM_CLI", "thrum")
PYTHON = os.environ.get("THRUM_PYTHON")
LIMIT = 20  # seconds before a wait is given up; no test is expected to come near


def run(*args, stdin=b""):
    return subprocess.run([CLI, *args], input=stdin, capture_output=True, timeout=LIMIT, check=False)


class Serve:
    """`thrum serve` as a context; .url, and after .stop() .status and .log."""

    def __init__(self, *args):
        self.process = subprocess.Popen([CLI, "serve", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.url = self.process.stdout.readline().decode().strip()
        self.status = self.log = None

    def stop(self, sig=signal.SIGINT):
        if self.status is None:
            self.process.send_signal(sig)
            _, log = self.process.communicate(timeout=LIMIT)
            self.status, self.log = self.process.returncode, log.decode()
        return self.status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGTERM)


class RawServer:
    """Accepts one connection, shakes hands, runs `script(socket)` and keeps what the client sent after it."""

    def __init__(self, script, head=None, answer_close=False):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self.listener.getsockname()[1]}/"
        self.script, self.head, self.answer_close = script, head, answer_close
        self.request = self.received = b""
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        s, _ = self.listener.accept()
        with s:
            s.settimeout(LIMIT)
            while b"\r\n\r\n" not in self.request:
                self.request += s.recv(4096)
            key = re.search(rb"(?i)sec-websocket-key: *(\S+)", self.request).group(1)
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            s.sendall(self.head or (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                    b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"))
            self.listener.close()
            self.script(s)
            try:
                while data := s.recv(4096):
                    self.received += data
                    if any(opcode == 8 for opcode, _ in self.split()):
                        if self.answer_close:
                            s.sendall(frame(8, struct.pack("!H", 1000)))
                        return  # the server ends the stream (RFC 6455 section 7.1.1)
            except OSError:
                pass

    def frames(self):
        """The client's frames, unmasked: (opcode, payload)."""
        self.thread.join(LIMIT)
        return self.split()

    def split(self):
        data, out = self.received, []
        while len(data) >= 6:
            n, mask, payload = data[1] & 0x7F, data[2:6], data[6:6 + (data[1] & 0x7F)]
            out.append((data[0] & 15, bytes(b ^ mask[i % 4] for i, b in enumerate(payload))))
            data = data[6 + n:]
        return out


def frame(opcode, payload):
    assert len(payload) < 126
    return bytes([0x80 | opcode, len(payload)]) + payload


def says(*payloads, close=(1000, b"")):
    """A script that sends messages and then Close."""
    code, reason = close
    return lambda s: s.sendall(b"".join(payloads) + frame(8, struct.pack("!H", code) + reason))


class Usage(unittest.TestCase):
    def assertUsage(self, args, word):
        done = run(*args)
        self.assertEqual(done.returncode, 2, done)
        self.assertIn(word, done.stderr.decode())
        self.assertEqual(done.stdout, b"")

    def test_help_is_on_stdout_and_names_the_commands(self):
        done = run("--help")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        for word in (b"connect", b"serve", b"--version"):
            self.assertIn(word, done.stdout)

    def test_help_of_each_command_lists_its_options(self):
        for command, options in {"connect": ("--header", "--subprotocol", "--trace", "--linger"),
                                 "serve": ("--grace", "--max-size", "-q, --quiet")}.items():
            done = run(command, "--help")
            self.assertEqual(done.returncode, 0)
            for option in options:
                self.assertIn(option, done.stdout.decode())
            self.assertIn(b"Exit status:", done.stdout)

    def test_version(self):
        self.assertRegex(run("--version").stdout.decode(), r"\Athrum \d+\.\d+\.\d+\n\Z")

    def test_wrong_usage_is_named_and_is_status_2(self):
        self.assertUsage([], "usage")
        self.assertUsage(["fly"], "no such command: fly")
        self.assertUsage(["connect"], "a URI is missing")
        self.assertUsage(["connect", "ws://a/", "ws://b/"], "ws://b/")
        self.assertUsage(["connect", "--bogus", "ws://a/"], "--bogus")
        self.assertUsage(["connect", "ws://a/", "--timeout"], "--timeout")
        self.assertUsage(["connect", "ws://a/", "--timeout", "soon"], "--timeout")
        self.assertUsage(["connect", "ws://a/", "--timeout", "-1"], "--timeout")
        self.assertUsage(["connect", "ws://a/", "--timeout", "nan"], "--timeout")
        self.assertUsage(["connect", "ws://a/", "--max-size", "1k"], "--max-size")
        self.assertUsage(["connect", "ws://a/", "--header", "no colon"], "--header")
        self.assertUsage(["serve", "--binary"], "--binary")

    def test_control_characters_of_arguments_are_escaped_as_well(self):
        self.assertIn(b"no such command: \\x1b[2J", run("\x1b[2J").stderr)


class Echo(unittest.TestCase):
    def test_lines_come_back_as_lines(self):
        with Serve() as server:
            done = run("connect", server.url, stdin=b"hello\n\nno newline at the end")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(done.stdout, b"hello\n\nno newline at the end\n")
        self.assertIn(b"closed by us with 1000", done.stderr)

    def test_many_lines(self):
        lines = b"".join(b"line %d\n" % i for i in range(5000))
        with Serve("-q") as server:
            done = run("connect", "-q", server.url, stdin=lines)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, lines, b""))

    def test_binary_is_shown_as_bytes(self):
        with Serve() as server:
            done = run("connect", "-q", "--binary", server.url, stdin=b"\x00\xff\n")
            long = run("connect", "-q", "--binary", server.url, stdin=b"x" * 33 + b"\n")
        self.assertEqual(done.stdout, b"[binary, 2 bytes] 00 ff\n")
        self.assertEqual(long.stdout, b"[binary, 33 bytes]" + b" 78" * 32 + b" ...\n")

    def test_a_line_that_is_no_text_is_refused_and_the_rest_goes_on(self):
        with Serve() as server:
            done = run("connect", "-q", server.url, stdin=b"bad \xff\ngood\n")
        self.assertEqual((done.returncode, done.stdout), (1, b"good\n"))
        self.assertIn(b"not UTF-8", done.stderr)

    def test_trace_shows_frames_of_both_sides(self):
        with Serve() as server:
            done = run("connect", "-q", "--trace", server.url, stdin=b"hello\n")
        self.assertIn('> TEXT "hello" [5 bytes]', done.stderr.decode())
        self.assertIn('< TEXT "hello" [5 bytes]', done.stderr.decode())
        self.assertEqual(done.stdout, b"hello\n")

    def test_compression_is_agreed_on_or_not(self):
        line = b"the same again and again, " * 20 + b"\n"
        with Serve() as server:
            done = run("connect", "--trace", server.url, stdin=line)
            self.assertIn(b", permessage-deflate; server_max_window_bits=12", done.stderr)
            self.assertIn(b"compressed from 520", done.stderr)
            self.assertEqual(done.stdout, line)
            done = run("connect", "--no-compression", server.url, stdin=line)
            self.assertNotIn(b"permessage-deflate", done.stderr)
        with Serve("--no-compression") as server:
            done = run("connect", "--trace", server.url, stdin=line)
            self.assertNotIn(b", permessage-deflate", done.stderr)
            self.assertEqual(done.stdout, line)

    def test_subprotocol_is_agreed_on(self):
        with Serve("--subprotocol", "chat.v2") as server:
            done = run("connect", "--subprotocol", "chat.v3, chat.v2", server.url)
        self.assertIn(b"subprotocol chat.v2", done.stderr)

    def test_message_over_the_limit_ends_badly(self):
        with Serve("--max-size", "10") as server:
            small = run("connect", "-q", server.url, stdin=b"x" * 10 + b"\n")
            large = run("connect", "-q", server.url, stdin=b"x" * 11 + b"\n")
        self.assertEqual(small.returncode, 0, small)
        self.assertEqual(large.returncode, 1, large)
        self.assertIn(b"1009", large.stderr)


class Loops(unittest.TestCase):
    """The same server on loops, and a chat."""

    def test_lines_come_back_on_any_number_of_loops(self):
        lines = b"".join(b"line %d\n" % i for i in range(5000))
        for loops in ("1", "3", "0"):
            with Serve("--loops", loops, "-q") as server:
                done = run("connect", "-q", server.url, stdin=lines)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (0, lines, b""))
                self.assertEqual(server.stop(), 0)
                self.assertEqual(server.log, "")

    def test_options_hold_there_too(self):
        with Serve("--loops", "2", "--max-size", "10", "--subprotocol", "chat.v2", "--no-compression") as server:
            small = run("connect", "--subprotocol", "chat.v2", server.url, stdin=b"x" * 10 + b"\n")
            large = run("connect", "-q", server.url, stdin=b"x" * 11 + b"\n")
        self.assertEqual(small.returncode, 0, small)
        self.assertIn(b"subprotocol chat.v2", small.stderr)
        self.assertNotIn(b"permessage-deflate", small.stderr)
        self.assertEqual(large.returncode, 1, large)
        self.assertRegex(server.log, r"127\.0\.0\.1:\d+ opened")
        self.assertRegex(server.log, r"127\.0\.0\.1:\d+ closed with 1000")

    def chat(self, *args):
        """Two listen, one speaks and hears nothing of it."""
        with Serve("--publish", *args) as server:
            listeners = []
            for _ in range(2):
                listeners.append(subprocess.Popen([CLI, "connect", "-q", server.url], stdin=subprocess.PIPE,
                                                  stdout=subprocess.PIPE))
                self.assertIn(b"opened", server.process.stderr.readline())
            done = run("connect", "-q", server.url, stdin=b"one\ntwo\n")
            self.assertEqual((done.returncode, done.stdout), (0, b""), done)
            for p in listeners:
                self.assertEqual([p.stdout.readline() for _ in range(2)], [b"one\n", b"two\n"])
                p.communicate(timeout=LIMIT)
                self.assertEqual(p.returncode, 0)

    def test_a_chat(self):
        self.chat()

    def test_a_chat_over_several_loops(self):
        self.chat("--loops", "3")

    def test_it_says_1001_and_gives_up_on_the_silent(self):
        with Serve("--loops", "2", "--grace", "0.3") as server:
            host, port = re.match(r"ws://(.*):(\d+)/", server.url).groups()
            polite = subprocess.Popen([CLI, "connect", server.url], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertIn(b"opened", server.process.stderr.readline())
            with socket.create_connection((host, int(port))) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
                self.assertIn(b"101", s.recv(4096))
                self.assertEqual(server.stop(signal.SIGTERM), 0)
                self.assertIn("cut", server.log)
            _, log = polite.communicate(timeout=LIMIT)
            self.assertEqual(polite.returncode, 0, log)
            self.assertIn(b"closed by the peer with 1001", log)

    def test_wrong_numbers(self):
        for value in ("-1", "x", "1025", "1.5", ""):
            done = run("serve", "--loops", value)
            self.assertEqual(done.returncode, 2, done)
            self.assertIn(b"--loops", done.stderr)


class HostilePeer(unittest.TestCase):
    def show(self, payload):
        server = RawServer(says(frame(1, payload)))
        done = run("connect", "-q", server.url, stdin=b"")
        self.assertEqual(done.returncode, 0, done)
        return done.stdout

    def test_controls_are_shown_not_obeyed(self):
        self.assertEqual(self.show(b"\x1b]0;owned\x07"), b"\\x1b]0;owned\\x07\n")
        self.assertEqual(self.show(b"a\nb\tc\rd\x00e\x7f"), b"a\\nb\\tc\\rd\\x00e\\x7f\n")
        self.assertEqual(self.show("\u0085 \u009b31m".encode()), b"\\x85 \\x9b31m\n")

    def test_text_that_reorders_or_hides_is_shown(self):
        self.assertEqual(self.show("\u202eabc\u2066\u200b\ufeff".encode()),
                         b"\\u{202e}abc\\u{2066}\\u{200b}\\u{feff}\n")

    def test_other_characters_are_left_alone(self):
        text = "gr\u00fc\u00dfe \u65e5\u672c \U0001f44b \\n ~".encode()
        self.assertEqual(self.show(text), text + b"\n")

    def test_reason_of_the_close_is_escaped(self):
        server = RawServer(says(close=(1001, b"\x1b[2Jbye")))
        done = run("connect", server.url)
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"closed by the peer with 1001: \\x1b[2Jbye", done.stderr)
        self.assertNotIn(b"\x1b", done.stderr)

    def test_http_answer_is_a_failure_and_its_text_is_escaped(self):
        server = RawServer(lambda s: s.shutdown(socket.SHUT_WR),
                           head=b"HTTP/1.1 403 Go \x1b[31maway\r\nContent-Length: 0\r\n\r\n")
        done = run("connect", server.url)
        self.assertEqual(done.returncode, 1)
        self.assertNotIn(b"\x1b", done.stderr)


class Endings(unittest.TestCase):
    def test_codes_decide_the_status(self):
        for code, status in ((1000, 0), (1001, 0), (1011, 1), (4000, 1)):
            server = RawServer(says(close=(code, b"")))
            self.assertEqual(run("connect", "-q", server.url).returncode, status, code)

    def test_messages_before_the_close_are_printed(self):
        server = RawServer(says(frame(1, b"one"), frame(1, b"two")))
        self.assertEqual(run("connect", "-q", server.url).stdout, b"one\ntwo\n")

    def test_connection_cut_is_a_failure(self):
        server = RawServer(lambda s: s.shutdown(socket.SHUT_RDWR))
        done = run("connect", "-q", server.url)
        self.assertEqual(done.returncode, 1, done)
        self.assertNotEqual(done.stderr, b"")

    def test_nobody_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        done = run("connect", f"ws://127.0.0.1:{port}/")
        self.assertEqual((done.returncode, done.stdout), (1, b""))

    def test_bad_uri_is_a_failure_that_says_so(self):
        done = run("connect", "http://127.0.0.1/")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr.decode(), r"thrum: .*(http|scheme|URL|ws://)")

    def test_timeout_of_a_server_that_says_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            done = run("connect", "--timeout", "0.2", f"ws://127.0.0.1:{s.getsockname()[1]}/")
        self.assertEqual(done.returncode, 1)

    def test_headers_and_origin_are_sent(self):
        server = RawServer(says())
        run("connect", "-q", "--origin", "http://example.org", "--header", "X-One: 1", "--header", "X-Two:two",
            server.url)
        for line in (b"X-One: 1", b"X-Two: two", b"Origin: http://example.org"):
            self.assertIn(b"\r\n" + line + b"\r\n", server.request)

    def test_header_injection_is_refused(self):
        with Serve() as server:
            done = run("connect", "--header", "X-One: 1\r\nX-Two: 2", server.url)
        self.assertEqual(done.returncode, 1)

    def test_reader_of_the_output_goes(self):
        with Serve() as server:
            p = subprocess.Popen([CLI, "connect", "-q", server.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
            p.stdout.close()
            p.stdin.write(b"hello\n")
            p.stdin.flush()
            self.assertEqual(p.wait(LIMIT), 1)
            p.stdin.close()
            p.stderr.close()


class Signals(unittest.TestCase):
    def start(self, url, *args):
        """A client that has echoed once, its standard input still open."""
        p = subprocess.Popen([CLI, "connect", *args, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        p.stdin.write(b"hello\n")
        p.stdin.flush()
        self.assertEqual(p.stdout.readline(), b"hello\n")
        return p

    def test_interrupt_closes_politely(self):
        for sig in (signal.SIGINT, signal.SIGTERM):
            with Serve() as server:
                p = self.start(server.url)
                p.send_signal(sig)
                _, log = p.communicate(timeout=LIMIT)
                self.assertEqual(p.returncode, 0, log)
                self.assertIn(b"closed by us with 1000", log)
                server.stop()
                self.assertIn("closed with 1000", server.log)

    def test_second_interrupt_ends_at_once(self):
        def silent(s):  # answers nothing, not even Close
            s.sendall(frame(1, b"hello"))
            while s.recv(4096):
                pass
        server = RawServer(silent)
        p = self.start(server.url, "-q")
        p.send_signal(signal.SIGINT)
        time.sleep(0.2)  # a merged pair of signals would count as one
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=LIMIT)
        self.assertEqual(p.returncode, 130)

    def test_server_says_1001_and_ends_with_0(self):
        for sig in (signal.SIGINT, signal.SIGTERM):
            with Serve() as server:
                p = self.start(server.url)
                self.assertEqual(server.stop(sig), 0, server.log)
                _, log = p.communicate(timeout=LIMIT)
                self.assertEqual(p.returncode, 0, log)
                self.assertIn(b"closed by the peer with 1001", log)

    def test_server_gives_up_on_a_silent_client_after_the_grace(self):
        with Serve("--grace", "0.3") as server:
            host, port = re.match(r"ws://(.*):(\d+)/", server.url).groups()
            with socket.create_connection((host, int(port))) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
                self.assertIn(b"101", s.recv(4096))
                self.assertEqual(server.stop(), 0)
                self.assertIn("cut", server.log)


class Terminal(unittest.TestCase):
    """`thrum connect` on a pseudo-terminal, as typed by hand."""

    def type_at(self, url):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.execv(CLI, [CLI, "connect", url])
        self.addCleanup(self.end)
        self.seen = b""
        self.wait_for(b"> ")

    def setUp(self):
        self.pid = self.fd = None
        server = Serve("-q")
        self.addCleanup(server.stop)
        self.url = server.url

    def end(self):
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def wait_for(self, what, since=0):
        """Reads until `what` is seen; gives the place behind it."""
        until = time.monotonic() + LIMIT
        while what not in self.seen[since:]:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                self.fail(f"no {what!r} in {self.seen!r}")
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                data = b""
            if not data:
                self.fail(f"ended without {what!r}: {self.seen!r}")
            self.seen += data
        return self.seen.index(what, since) + len(what)

    def status(self):
        """Reads until the terminal is let go of, then the exit status."""
        while select.select([self.fd], [], [], LIMIT)[0]:
            try:
                self.seen += os.read(self.fd, 4096)
            except OSError:  # EIO: nobody holds the other side
                pid, self.pid = self.pid, None
                return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.fail(f"does not end: {self.seen!r}")

    def test_line_is_sent_answer_is_marked_and_ctrl_d_closes(self):
        self.type_at(self.url)
        os.write(self.fd, b"hello\r")
        self.wait_for(b"< hello")
        os.write(self.fd, b"\x04")
        self.wait_for(b"closed by us with 1000")
        self.assertEqual(self.status(), 0)

    def test_ctrl_c_closes_politely(self):
        self.type_at(self.url)
        os.write(self.fd, b"\x03")
        self.wait_for(b"closed by us with 1000")
        self.assertEqual(self.status(), 0)

    def test_history_brings_the_last_line_back(self):
        self.type_at(self.url)
        os.write(self.fd, b"again\r")
        first = self.wait_for(b"< again")
        os.write(self.fd, b"\x1b[A\r")
        self.wait_for(b"< again", first)
        os.write(self.fd, b"\x04")
        self.assertEqual(self.status(), 0)

    def test_message_does_not_garble_the_line_being_typed(self):
        typed = threading.Event()

        def interrupts(s):
            typed.wait(LIMIT)
            s.sendall(frame(1, b"news"))
        server = RawServer(interrupts, answer_close=True)
        self.type_at(server.url)
        os.write(self.fd, b"half a li")
        self.wait_for(b"half a li")
        typed.set()
        # The line is cleared, the message has one of its own, and the half line comes back behind the prompt.
        self.wait_for(b"\r\x1b[J< news\r\n> half a li")
        os.write(self.fd, b"ne\r")
        os.write(self.fd, b"\x04")
        self.assertEqual(self.status(), 0)
        self.assertIn((1, b"half a line"), server.frames())

    def test_peer_that_closes_ends_the_prompt(self):
        server = RawServer(says(frame(1, b"bye"), close=(1001, b"")))
        self.type_at(server.url)
        self.assertEqual(self.status(), 0)
        self.assertIn(b"< bye", self.seen)


SERVER_OF_WEBSOCKETS = """
from websockets.sync.server import serve
import sys
def echo(ws):
    for m in ws: ws.send(m)
    print(ws.close_code, flush=True)
with serve(echo, "127.0.0.1", 0) as s:
    print(s.socket.getsockname()[1], flush=True)
    s.serve_forever()
"""


@unittest.skipUnless(PYTHON, "THRUM_PYTHON is not set")
class IndependentPeer(unittest.TestCase):
    def test_echo_and_close_code(self):
        with subprocess.Popen([PYTHON, "-c", SERVER_OF_WEBSOCKETS], stdout=subprocess.PIPE, text=True) as server:
            try:
                port = server.stdout.readline().strip()
                done = run("connect", "-q", f"ws://127.0.0.1:{port}/", stdin=b"hello\n")
                self.assertEqual((done.returncode, done.stdout), (0, b"hello\n"), done)
                self.assertEqual(server.stdout.readline().strip(), "1000")
            finally:
                server.kill()


if __name__ == "__main__":
    CLI = os.path.abspath(CLI) if os.sep in CLI else CLI
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]])

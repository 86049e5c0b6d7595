#!/usr/bin/env python3
"""Writes the first seeds of the fuzz corpora, tests/fuzz/corpus/NAME/*. Run by hand; what it wrote is kept in git."""
import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent / "corpus"


def frame(opcode, payload=b"", fin=True, mask=True, rsv=0):
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    n = len(payload)
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", n)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", n)
    key = b"\x01\x02\x03\x04"
    if mask:
        head += key
        payload = bytes(b ^ key[i % 4] for i, b in enumerate(payload))
    return head + payload


def frames(mask):
    yield "text", frame(1, b"hello", mask=mask)
    yield "empty", frame(2, b"", mask=mask)
    yield "126", frame(2, b"x" * 126, mask=mask)
    yield "65536", frame(2, b"y" * 65536, mask=mask)[:30000]
    yield "parts", frame(1, "h\u00e9".encode()[:2], fin=False, mask=mask) + frame(9, b"p", mask=mask) + frame(
        0, "h\u00e9".encode()[2:], mask=mask)
    yield "close", frame(8, struct.pack(">H", 1000) + b"bye", mask=mask)
    yield "close-bare", frame(8, mask=mask)
    yield "close-one-byte", frame(8, b"x", mask=mask)
    yield "close-bad-code", frame(8, struct.pack(">H", 1005), mask=mask)
    yield "close-bad-text", frame(8, struct.pack(">H", 1000) + b"\xff", mask=mask)
    yield "not-utf8", frame(1, b"ab\xed\xa0\x80", mask=mask)
    yield "reserved", frame(3, b"x", mask=mask)
    yield "rsv1", frame(1, b"x", rsv=4, mask=mask)
    yield "stray", frame(0, b"x", mask=mask)
    yield "twice", frame(1, b"x", fin=False, mask=mask) + frame(1, b"y", mask=mask)
    yield "long-ping", frame(9, b"x" * 126, mask=mask)
    yield "cut-ping", frame(9, b"x", fin=False, mask=mask)
    yield "msb", b"\x82" + (b"\xff" if mask else b"\x7f") + b"\x80" + b"\0" * 7 + b"abcd"
    yield "not-shortest", b"\x82" + (b"\xfe" if mask else b"\x7e") + b"\0\x05abcdhello"
    yield "wrong-mask", frame(1, b"x", mask=not mask)
    yield "pings", b"".join(frame(9, bytes([i]), mask=mask) for i in range(100))


REQUEST = (b"GET /chat?x=1 HTTP/1.1\r\nHost: example.org:8080\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
           b"Sec-WebSocket-Protocol: chat, superchat\r\nOrigin: http://example.org:8080\r\n\r\n")
ANSWER = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\nSec-WebSocket-Protocol: a\r\n\r\n")


def heads():
    for name, text in (("good", REQUEST), ("get", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
                       ("post", REQUEST.replace(b"GET", b"POST")), ("old", REQUEST.replace(b": 13", b": 8")),
                       ("http10", REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0")), ("lf", REQUEST.replace(b"\r\n", b"\n")),
                       ("fold", REQUEST.replace(b"Origin: ", b"Origin:\r\n ")), ("nul", REQUEST.replace(b"chat", b"c\0t")),
                       ("two-hosts", REQUEST.replace(b"Origin", b"Host")), ("body", REQUEST.replace(
                           b"Origin: http://example.org:8080", b"Content-Length: 5") + b"hello"),
                       ("frames", REQUEST + frame(1, b"hello")), ("long", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n"),
                       ("many", REQUEST[:-2] + b"A: b\r\n" * 200 + b"\r\n"), ("tls", b"\x16\x03\x01\x02\x00\x01\x00")):
        yield "server-" + name, b"\1" + b"seed" + text
    for name, text in (("good", ANSWER), ("404", b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnope\n"),
                       ("100", b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER), ("accept", ANSWER.replace(b"ICX", b"ICY")),
                       ("extension", ANSWER.replace(b"Protocol: a", b"Extensions: x; y=1")),
                       ("other", ANSWER.replace(b": a", b": c")), ("bare", b"HTTP/1.1 200\r\n\r\n"),
                       ("frames", ANSWER + frame(1, b"hello", mask=False))):
        yield "client-" + name, b"\0" + b"seed" + text


URIS = ["ws://localhost", "ws://example.org:8080/a/b?c=d", "wss://[::1]:9/", "ws+unix:/run/x.sock:/p?q", "ws://u:p@h/",
        "ws://h:99999/", "ws://h/#f", "http://h/", "ws://", "ws://h/%zz", "ws://*:0/", "ws://[fe80::1%25eth0]/", "WS://H?q",
        "ws:///", "ws+unix:///a/b", "//h", "ws://h:/", "ws://h h/", "https://example.org", "example.org:80", "/a?b"]
FIELDS = ["permessage-deflate; client_max_window_bits", 'a; b="c", d;e=f', ", ,", 'x="', "a;;b", "a;", "a=1;b", "a b",
          '"a,b", c', "permessage-deflate; server_no_context_takeover; server_max_window_bits=10, x"]


def write(folder, name, data):
    path = HERE / folder
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_bytes(data)


for role, masked in ((b"\1", True), (b"\0", False)):
    for name, data in frames(masked):
        write("frame", ("server-" if masked else "client-") + name, role + b"seed" + data)
for name, data in heads():
    write("handshake", name, data)
for i, text in enumerate(URIS):
    write("uri", f"{i:02}", text.encode())
for i, text in enumerate(FIELDS):
    write("field", f"{i:02}", text.encode())

#!/usr/bin/env python3
"""Writes the first seeds of the fuzz corpora, tests/fuzz/corpus/NAME/*. Run by hand; what it wrote is kept in git."""
import pathlib
import struct
import zlib

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

ROUTES = {"parameter": "/chat/:room\n/chat/a%2Fb?x", "two-parameters": "/:a/x/:b\n/1/x/%C3%a9", "rest": "/f/*\n/f/a//b%2f..",
          "empty-rest": "/*\n/", "first-wins": "/a/b\n/a/:x\n/*\n/%61/%62", "rest-for-earlier": "/:a\n/*\n/a/b",
          "none": "/a\n/b\n/c", "nul": "/*\n/a%00b", "cut": "/*\n/a%4", "no-slash": "/*\nhttp://a/",
          "bad-name": "/:\n/", "twice": "/:a/:a\n/b/c", "star-inside": "/*/a\n/b/a", "no-routes": "/a"}


# RFC 7692 section 7.2.3, without the tail; then faults, and two of them in one stream.
STREAMS = {
    "hello": b"\xf2\x48\xcd\xc9\xc9\x07\x00", "hello-tail": b"\xf2\x48\xcd\xc9\xc9\x07\x00\0\0\xff\xff",
    "back-reference": b"\xf2\x00\x11\x00\x00", "stored": b"\x00\x05\x00\xfa\xffHello\x00",
    "final": b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "two-blocks": b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
    "no-type": b"\x07", "utf8-then-no-type": b"\x00\x02\x00\xfd\xffa\xff\x07", "stored-cut": b"\x00\x05\x00\xfa\xffHe",
    "zeros": zlib.compress(bytes(60000), 9)[2:-4],
    "dynamic": zlib.compress(bytes(i * i % 11 * (i % 9) for i in range(400)), 9)[2:-4],
}
WORDS = b'{"n":1,"word":"warp","square":1}{"n":2,"word":"weft","square":4}'


def streams():
    for i, (name, data) in enumerate(STREAMS.items()):
        yield name, bytes([7 - i % 3, i, i % 4, 0]) + b"seed\0" + data
    yield "long", bytes([0, 0, 0, 20]) + b"seed\x7f" + WORDS
    yield "small-state", bytes([1, 8, 1, 200]) + b"seed\x5f" + WORDS * 8
    yield "noise", bytes([2, 0, 0, 30]) + b"seed\x41" + bytes(i * i * 7919 >> 7 & 255 for i in range(700))


EXTENSIONS = ["permessage-deflate", "permessage-deflate; client_max_window_bits; server_max_window_bits=10",
              "permessage-deflate; client_max_window_bits=8; server_no_context_takeover; client_no_context_takeover",
              "permessage-deflate; server_max_window_bits=8, permessage-deflate",
              "permessage-deflate; server_max_window_bits=16",
              'permessage-deflate; server_max_window_bits="9"', "permessage-deflate; unknown, x; y=1",
              "foo, bar; baz=2",
              "permessage-deflate; client_max_window_bits=15; client_max_window_bits",
              "PerMessage-Deflate;server_max_window_bits=015",
              "permessage-deflate; x==", "permessage-deflate,,", ";", ""]
KERNELS = {"ascii": (0, 255, 20, b"z"), "two": (1, 90, 90, b"\xc3"), "three": (10, 70, 70, b"\xe2\x82"),
           "four": (15, 60, 60, b"\xf0\x9f\x98"), "surrogate": (2, 60, 60, b"\xed\xa0\x80"),
           "over": (8, 200, 9, b"\xf4\x90\x80\x80"), "overlong": (4, 100, 100, b"\xc0\xaf"), "stray": (0, 127, 1, b"\x80")}


# What connection_fuzz.c's `describe` reads.
def by_hand(first, payload=b""):
    return bytes([0, first, len(payload)]) + payload


def by_hand_long(first, how, pattern):
    return bytes([2, first, how]) + pattern


def said(text, kind=1, last=True, how=0x03):
    return bytes([how, len(text) << 3 | (0 if last else 2) | kind]) + text


def said_long(how, pattern, kind=1, last=True, turned=b""):
    return bytes([0x0e if turned else 0x0b, (0 if last else 2) | kind, how]) + pattern + turned


def control(which, payload=b""):
    return bytes([5 | which << 4, len(payload)]) + payload


def connections():
    close, ping, pong = 0, 1, 2
    words = WORDS[:13]
    yield "said", said(b"hello hello hello") + said(b"hello hello hello") + control(ping, b"p") + said(b"x", 0)
    yield "parts", said(b"one two ", last=False) + control(pong) + said(b"one two ", last=False) + said(b"", last=True)
    yield "long", said_long(0x38, words) + said_long(0x3b, words) + by_hand_long(0x82, 0x0a, b"x") + said_long(0x38,
    words)
    yield "window", by_hand_long(0x02, 0x0b, b"a") + by_hand_long(0x80, 0x09, b"b") + by_hand_long(0x81, 0x07, b"c")
    yield "turned", said_long(0x35, words, turned=b"\x09") + said(b"behind")
    yield "closed", said(b"bye") + control(close, b"\x03\xe8bye") + said(b"behind")
    yield "pings", control(ping, b"1") * 40 + control(pong, b"2") * 30 + said(b"x")
    yield "too-big", said_long(0x3b, words) * 3
    yield "not-utf8", by_hand(0x01, b"\xe2\x82") + control(ping) + by_hand(0x80, b"\xac\xff")
    yield "wrong-mask", bytes([0xf0]) + by_hand(0x82, b"x")[1:]
    yield "raw", bytes([7, 3]) + b"\x82\x85\x01" + said(b"x")
    for name, data in STREAMS.items():
        yield "stream-" + name, by_hand(0xc1, data) + said(b"hello")
        if name in ("hello", "final"):
            yield "stream-cut-" + name, by_hand(0x42, data[:3]) + control(ping) + by_hand(0x80, data[3:])


SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
DIGEST = (b'Digest realm="r", nonce="n", qop="auth,auth-int", algorithm=SHA-256, opaque="o", stale=true',
          b'Digest realm="a\\"b", nonce="n"', b'Basic realm="r", charset="UTF-8", Bearer', b'NTLM abc==\nBasic realm=x')
TRANSPORT = (  # by the first byte of transport_fuzz.c
    (b"5\r\nhello\r\n0\r\n\r\nrest", b"A;x=\"y\"\r\n0123456789\r\n0\r\nX: y\r\n\r\n", b"ffffffffffffffff\r\n", b"5\nhello"),
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65535\r\nGET", b"PROXY TCP6 ::1 ::2 80 81\r\n", b"PROXY UNKNOWN what\r\n",
     SIGNATURE + b"\x21\x11\0\x0c\1\2\3\4\5\6\7\x08\0\1\0\2GET", SIGNATURE + b"\x20\0\0\0", SIGNATURE + b"\x21\x21\0\x24" + bytes(36),
     SIGNATURE + b"\x21\x31\0\xd8" + bytes(216), b"GET / HTTP/1.1\r\n"),
    (b"/x", b"//other/y", b"https://example.com/z#f", b"../../a/./b?q", b"?q", b"", b"ftp://x", b"http:rel"),
    DIGEST,
    (b"socks5h://me:s%20x@[::1]:1080/", b"proxy:3128", b"http://", b"10.0.0.0/8", b"[2001:db8::]/32", b"192.0.2.1:443", b"[::1%lo]:80"))
TUNNEL = (
    (0, b"HTTP/1.1 200 OK\r\n\r\nserver first"), (0, b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\nno way\nxx"),
    (0, b"HTTP/1.1 502 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwhy?\r\n0\r\n\r\n"), (0, b"HTTP/1.0 403 No\r\n\r\n<html>"),
    (1, b"HTTP/1.1 407 A\r\nProxy-Authenticate: " + DIGEST[0] + b"\r\nContent-Length: 2\r\n\r\nno" + b"HTTP/1.1 200 OK\r\n\r\nx"),
    (1, b"HTTP/1.1 407 A\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\nHTTP/1.1 407 B\r\n\r\n"),
    (2, b"\0\x5a\0\0\0\0\0\0rest"), (3, b"\0\x5a\1\xbb\1\2\3\4rest"), (3, b"\0\x5b\0\0\0\0\0\0"),
    (4, b"\5\2\1\0\5\0\0\1\1\2\3\4\0\x50rest"), (4, b"\5\2\1\1"), (4, b"\5\xff"), (5, b"\5\0\5\0\0\3\3abc\0\x50rest"),
    (5, b"\5\0\5\0\0\4" + bytes(18) + b"rest"), (5, b"\5\0\5\5\0\1" + bytes(6)))


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
for name, text in ROUTES.items():
    write("route", name, text.encode())
for i, text in enumerate(FIELDS):
    write("field", f"{i:02}", text.encode())
for name, data in streams():
    write("deflate", name, data)
for i, text in enumerate(EXTENSIONS):
    write("extension", f"{i:02}", bytes([i * 37 & 0xbb, i * 29 & 255, i * 53 & 255]) + text.encode())
for name, (how, before, after, data) in KERNELS.items():
    write("kernel", name, b"seed" + bytes([how, before, after]) + data)
for i, (name, data) in enumerate(connections()):
    write("connection", name, bytes([2 | i * 5 & 0x7d, i * 11 & 255, i * 7 & 255]) + b"seed" + data)
write("connection", "raw-to-client", b"\x04\x24\0seed" + frame(1, b"hello", mask=False) + frame(1, STREAMS["hello"],
    mask=False, rsv=4))
write("connection", "raw-to-server", b"\x05\x24\0seed" + frame(1, b"hello") + frame(1, STREAMS["hello"], rsv=4))
for i, texts in enumerate(TRANSPORT):
    for j, text in enumerate(texts):
        write("transport", f"{i}-{j}", bytes([i]) + b"seed" + text)
for i, (kind, text) in enumerate(TUNNEL):
    write("tunnel", f"{i:02}", bytes([kind]) + b"seed" + text)

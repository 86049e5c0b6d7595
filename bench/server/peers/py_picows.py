"""bench/server/peers/py_picows.py: picows on uvloop: `py_picows.py PORT MODE [CERT KEY]`. It does not compress."""
import asyncio
import os
import ssl
import sys

import uvloop
from picows import WSListener, WSMsgType, ws_create_server

everyone = set()
DATA = (WSMsgType.TEXT, WSMsgType.BINARY)


class Echo(WSListener):
    def on_ws_frame(self, transport, frame):
        if frame.msg_type in DATA:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


class ToAll(WSListener):
    def on_ws_connected(self, transport):
        everyone.add(transport)

    def on_ws_disconnected(self, transport):
        everyone.discard(transport)

    def on_ws_frame(self, transport, frame):
        if frame.msg_type in DATA:
            payload = frame.get_payload_as_bytes()
            for other in everyone:
                other.send(frame.msg_type, payload)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


async def main(port, mode, *files):
    tls = None
    if mode == "tls":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*files)
    kind = ToAll if mode == "broadcast" else Echo
    options = {"reuse_port": True} if "BENCH_REUSEPORT" in os.environ else {}
    server = await ws_create_server(lambda request: kind(), "127.0.0.1", int(port), ssl=tls, max_frame_size=16 << 20,
                                    backlog=4096, **options)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    uvloop.run(main(*sys.argv[1:]))

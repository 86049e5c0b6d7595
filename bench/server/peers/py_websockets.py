"""bench/server/peers/py_websockets.py: Python's websockets, its asyncio server, on uvloop, which halves its cost:
`py_websockets.py PORT MODE [CERT KEY]`."""
import asyncio
import os
import ssl
import sys

import uvloop
from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed

everyone = set()


async def echo(ws):
    try:
        async for message in ws:
            await ws.send(message)
    except ConnectionClosed:
        pass


async def to_all(ws):
    everyone.add(ws)
    try:
        async for message in ws:
            broadcast(everyone, message)
    except ConnectionClosed:
        pass
    finally:
        everyone.discard(ws)


async def main(port, mode, *files):
    tls = None
    if mode == "tls":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*files)
    options = {"reuse_port": True} if "BENCH_REUSEPORT" in os.environ else {}
    async with serve(to_all if mode == "broadcast" else echo, "127.0.0.1", port, ssl=tls, max_size=None,
                     compression="deflate" if mode == "deflate" else None, ping_interval=None, backlog=4096, **options):
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    uvloop.run(main(int(sys.argv[1]), *sys.argv[2:]))

"""bench/peers/ws_sync.py: the exchange by Python's websockets.sync: `ws_sync.py PORT SIZE COUNT`.

Prints one line: round trips, wall, user and system seconds, threads of the library."""
import os
import resource
import sys
import threading
import time

from websockets.sync.client import connect


def main(port, size, count):
    os.sched_setaffinity(0, {0})
    payload = bytes(size)
    with connect(f"ws://127.0.0.1:{port}/", compression=None, max_size=None) as ws:
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        for _ in range(count):
            ws.send(payload)
            if len(ws.recv()) != size:
                sys.exit("ws_sync: another message came back")
        wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_SELF)
        print(count, f"{wall:.6f}", f"{after.ru_utime - before.ru_utime:.6f}",
              f"{after.ru_stime - before.ru_stime:.6f}", threading.active_count() - 1, sep="\t")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

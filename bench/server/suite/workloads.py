"""What is measured, and what is wanted of it."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    key: str  # for --only
    title: str
    mode: str
    conns: int
    depth: int = 1
    size: int = 32

    @property
    def small(self):
        return self.size < 65536

    @property
    def many(self):
        return self.conns > 1000

    def arguments(self):
        flags = {"tls": ["--tls"], "deflate": ["--deflate"], "broadcast": ["--broadcast"]}.get(self.mode, [])
        return ["--conns", str(self.conns), "--depth", str(self.depth), "--size", str(self.size), *flags]


WORKLOADS = [
    Workload("1x1", "1 x 1 x 32 B", "echo", 1),
    Workload("100x1", "100 x 1 x 32 B", "echo", 100),
    Workload("100x1k", "100 x 1 x 1 KiB", "echo", 100, size=1024),
    Workload("100x16", "100 x 16 x 32 B", "echo", 100, depth=16),
    Workload("10x4x64k", "10 x 4 x 64 KiB", "echo", 10, depth=4, size=65536),
    Workload("10x1m", "10 x 1 x 1 MiB", "echo", 10, size=1 << 20),
    Workload("10000x1", "10,000 x 1 x 32 B", "echo", 10000),
    Workload("tls", "TLS, 100 x 1 x 16 KiB", "tls", 100, size=16384),
    Workload("deflate", "deflate, 100 x 1 x 4 KiB of JSON", "deflate", 100, size=4096),
    Workload("broadcast", "broadcast of 32 B to 10,000", "broadcast", 10000),
]

# Processor time of the server per message, as a ratio of one run: workload, total or user, against whom, at most.
GOALS = [
    ("100x1", "cpu_us", "bun", 0.92),
    ("100x1", "cpu_us", "the best floor", 1.02),
    ("100x1", "user_us", "bun", 0.3),
    ("100x16", "cpu_us", "bun", 0.70),
    ("100x16", "cpu_us", "the best floor", 1.08),
    ("10x4x64k", "cpu_us", "bun", 0.40),
    ("10000x1", "cpu_us", "bun", 0.85),
    ("tls", "cpu_us", "bun", 1.0),
    ("deflate", "cpu_us", "bun", 0.5),
]
DEFLATE_RATIO = 0.24  # of the size, at most, with context takeover
# The row of thrum that the goals are of; the others stand beside it.
MAIN = "thrum (epoll)"

"""The servers of bench/run-server and bench/run-idle: one entry a row. Each takes PORT MODE and says `ready`."""
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PEERS = ROOT / "bench" / "server" / "peers"
VENV = ROOT / "build" / "venv-bench" / "bin" / "python"
RUST = ROOT / "build" / "bench-rust" / "target" / "release"
NODE_MODULES = ROOT / "build" / "bench-node" / "node_modules"
OPENSSL = ROOT / "build" / "bench-openssl" / "lib"  # for the servers that use the system's; see tools/setup
SERVER_CPU, LOAD_CPU = 0, 1
# Below the ports that the system hands out to clients, so that none of those is in the way of a listener.
FIRST_PORT, LAST_PORT = 20000, 32000
ALL = ("echo", "tls", "deflate", "broadcast")
PLAIN = ("echo", "tls", "broadcast")


@dataclass(frozen=True)
class Server:
    name: str
    kind: str  # floor, thrum or peer
    command: tuple
    modes: tuple
    lacking: str  # what to do where it cannot run
    check: tuple = ()  # a command that succeeds where it can
    raw: bool = False  # sends back what it gets
    small: bool = False  # only for small messages
    environment: dict = field(default_factory=dict)
    after: tuple = ()  # arguments behind PORT MODE
    newer_openssl: bool = False  # for TLS it gets OPENSSL instead of the system's

    @property
    def available(self):
        if not shutil.which(str(self.command[0])):
            return False
        return not self.check or subprocess.run(list(map(str, self.check)), check=False, stdout=subprocess.DEVNULL,
                                                stderr=subprocess.DEVNULL).returncode == 0


def thrum(programs, name, backend, modes=ALL, newer_openssl=True):
    program = programs / "thrum"
    return Server(f"thrum ({name})", "thrum", (program,), modes, f"it is not built, or this system has no {name} for it",
                  check=("env", f"THRUM_BACKEND={backend}", program, "0", "check"), environment={"THRUM_BACKEND": backend},
                  newer_openssl=newer_openssl)


def python(name, script, modes, module):
    return Server(name, "peer", (VENV, PEERS / script), modes, "`tools/setup bench` could not install it",
                  check=(VENV, "-c", f"import {module}"), newer_openssl=True)


def all_servers(programs):
    """Every row, in the order of the table."""
    setup = "`tools/setup bench` could not install it"
    bun = NODE_MODULES / "@oven" / "bun-linux-x64" / "bin" / "bun"
    node = shutil.which("node") or "node"
    return [
        Server("raw epoll", "floor", (programs / "raw_epoll",), ("echo",), "it is not built", raw=True),
        Server("raw io_uring", "floor", (programs / "raw_uring",), ("echo",), "liburing-dev is not installed", raw=True,
               small=True),
        Server("minimal epoll", "floor", (programs / "minimal_epoll",), ("echo", "broadcast"), "it is not built"),
        thrum(programs, "epoll", "epoll"),
        thrum(programs, "io_uring", "uring"),
        thrum(programs, "poll", "poll"),
        *([thrum(programs, "epoll, the system's OpenSSL", "epoll", ("tls",), False)] if OPENSSL.exists() else []),
        Server("bun", "peer", (bun, PEERS / "bun.js"), ALL, setup, check=(bun, "--version")),
        Server("bun, dedicated", "peer", (bun, PEERS / "bun.js"), ("deflate",), setup, check=(bun, "--version"),
               after=("dedicated",)),
        Server("libwebsockets", "peer", (programs / "lws",), ALL, "libwebsockets-dev is not installed",
               newer_openssl=True),
        Server("Boost.Beast", "peer", (programs / "beast",), ALL, "libboost-dev is not installed",
               newer_openssl=True),
        Server("fastwebsockets", "peer", (RUST / "thrum-bench-fastwebsockets",), PLAIN, setup),
        Server("gorilla", "peer", (ROOT / "build" / "bench-go" / "gorilla",), ALL, setup),
        Server("node ws", "peer", (node, PEERS / "node_ws.js"), ALL, setup, environment={"NODE_PATH": str(NODE_MODULES)},
               check=("env", f"NODE_PATH={NODE_MODULES}", node, "-e", "require('ws')")),
        python("picows", "py_picows.py", PLAIN, "picows, uvloop"),
        python("Python websockets", "py_websockets.py", ALL, "websockets.asyncio.server, uvloop"),
    ]


def chosen(programs, wanted):
    """Those that can run here and are wanted (all: None); what is left out is said."""
    there = []
    for server in all_servers(programs):
        if wanted is not None and not any(word.lower() in server.name.lower() for word in wanted):
            continue
        if server.available:
            there.append(server)
        else:
            print(f"no row for {server.name}: {server.lacking}", file=sys.stderr)
    return there


def of_python(*packages):
    """A command that prints their versions."""
    return [VENV, "-c", "import sys, importlib.metadata as m; print(*(p + ' ' + m.version(p) for p in sys.argv[1:]), "
            "'Python ' + sys.version.split()[0], sep=', ')", *packages]


def version(server):
    """What it calls itself, for the results; None: it is ours."""
    commands = {
        "bun": [server.command[0], "--version"],
        "node ws": [server.command[0], "-p", "'ws ' + require('ws/package.json').version + ', node ' + process.version"],
        "picows": of_python("picows", "uvloop"),
        "Python websockets": of_python("websockets", "uvloop"),
        "libwebsockets": ["dpkg-query", "-W", "-f=${Version}", "libwebsockets-dev"],
        "Boost.Beast": ["dpkg-query", "-W", "-f=Boost ${Version}", "libboost-dev"],
        "fastwebsockets": ["sed", "-n", r's/^fastwebsockets.*"=\([0-9.]*\)".*/\1/p', PEERS / "fastwebsockets" / "Cargo.toml"],
        "gorilla": ["sh", "-c", f"sed -n 's/^require .* v//p' {PEERS}/gorilla/go.mod; go version"],
    }
    if server.name not in commands:
        return None
    done = subprocess.run(list(map(str, commands[server.name])), capture_output=True, text=True, check=False,
                          env={**os.environ, **server.environment})
    return ", ".join(done.stdout.split("\n")).strip(", \n") or "?"


def openssl_versions():
    """(the system's, that of OPENSSL or None)"""
    def ask(environment):
        done = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=False, env={**os.environ, **environment})
        return done.stdout.rpartition("Library: OpenSSL ")[2].split(" ")[0] or "?"
    return ask({}), ask({"LD_LIBRARY_PATH": str(OPENSSL)}) if OPENSSL.exists() else None


def free_port():
    """One that the system lets us listen on now."""
    while True:
        port = random.randrange(FIRST_PORT, LAST_PORT)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def on_server_cpu():
    """In the child: stays on its processor, and ends with us."""
    os.sched_setaffinity(0, {SERVER_CPU})
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Running:
    """A server that listens."""

    def __init__(self, server, mode, certificate, port=None, shared=False):
        self.server, self.port = server, port or free_port()
        files = certificate if mode == "tls" else ()
        environment = {**os.environ, **server.environment, **({"BENCH_REUSEPORT": "1"} if shared else {})}
        if mode == "tls" and server.newer_openssl and OPENSSL.exists():
            environment["LD_LIBRARY_PATH"] = ":".join(filter(None, (str(OPENSSL), os.environ.get("LD_LIBRARY_PATH"))))
        command = [*server.command, self.port, mode, *files, *server.after]
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True, env=environment,
                                        preexec_fn=on_server_cpu)  # no threads of ours are there at this moment
        if self.process.stdout.readline().strip() != "ready":
            self.stop()
            raise RuntimeError(f"{server.name} does not serve {mode}")

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def memory(self, *fields):
        """Bytes, of /proc/PID/status."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.split(":")[0] in fields)

    def used(self):
        """Seconds of processor time, exactly (CPUCLOCK_SCHED of POSIX's clocks of a process)."""
        return time.clock_gettime(~self.pid << 3 | 2)

    def settle(self, patience=3.0):
        """Waits until it has done what was left to do: 10,000 connections take some servers a second to close."""
        end = time.monotonic() + patience
        while time.monotonic() < end and self.alive():
            before = self.used()
            time.sleep(0.01)
            if self.used() - before < 0.001:
                return

    def stop(self):
        if self.alive():
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def make_certificate(folder):
    """(certificate, key) of this run, for localhost."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                    key, "-out", cert, "-days", "2", "-subj", "/CN=localhost"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return cert, key


def find_programs(given, caller):
    """Builds what CMake builds, and gives the folder."""
    for place in [Path(given)] if given else [ROOT / "build" / "release", ROOT / "build"]:
        if (place / "CMakeCache.txt").exists():
            done = subprocess.run(["cmake", "--build", place, "--target", "bench_server_programs"], check=False,
                                  capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(f"{done.stdout[-4000:]}\n{caller}: the programs cannot be built")
            return place / "bench" / "suite"
    sys.exit(f"{caller}: no build found; `make build` first, or name one with --build DIR")


def check_machine(caller):
    """Two processors; as many descriptors as the system permits, for us and all that we start."""
    import resource
    if not {SERVER_CPU, LOAD_CPU} <= os.sched_getaffinity(0):
        sys.exit(f"{caller}: needs processors {SERVER_CPU} and {LOAD_CPU}: one for the server, one for the load")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def plots(folder, name):
    """By the Python that has matplotlib."""
    if not VENV.exists():
        print("no plots: `tools/setup bench` could not install matplotlib", file=sys.stderr)
        return
    done = subprocess.run([VENV, ROOT / "bench" / "server" / "suite" / "plots.py", folder, name], check=False,
                          capture_output=True, text=True)
    if done.returncode != 0:
        print(f"no plots of {name}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)

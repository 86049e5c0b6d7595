"""Rounds of one workload: the servers in turn, each on its processor, the load generator on the other."""
import json
import random
import statistics
import subprocess
import sys
from dataclasses import dataclass

from servers import LOAD_CPU, SERVER_CPU, Running

# Seconds that starting a server takes, and what a slice takes beside its phases: connecting, the last messages, the wait
# until the server has done with them.
START, OPEN, OPEN_MANY = 0.3, 0.05, 1.5
PATIENCE = 60  # seconds for one run of the load generator
PASSES = 2  # of a round, each with processes of its own
METRICS = ("rate", "cpu_us", "user_us", "p50_us", "p99_us", "p999_us", "rss_kib", "ratio")


@dataclass(frozen=True)
class Times:
    """Of one process: seconds of load that count for nothing, and of a slice's phases; so many slices, each with
    connections of its own."""
    settle: float
    slices: int
    warm: float
    run: float
    share: float

    def all(self, opening):
        beside = self.settle + opening if self.settle else 0
        return START + beside + self.slices * (opening + self.warm + self.run + self.share)


@dataclass(frozen=True)
class Plan:
    """How workloads are measured: those of few connections, and those to whose slices opening thousands adds a second."""
    few: Times
    many: Times

    def of(self, workload):
        return self.many if workload.many else self.few

    def seconds(self, workload):
        return self.of(workload).all(OPEN_MANY if workload.many else OPEN)


def fits(server, workload):
    return workload.mode in server.modes and (workload.small or not server.small)


def estimate(workloads, servers, rounds, plan):
    return sum(PASSES * rounds * plan.seconds(workload) * sum(fits(server, workload) for server in servers)
               for workload in workloads)


def run_load(programs, running, workload, times):
    """One slice: the figures that the generator prints, and those that follow from them."""
    command = [programs / "load", running.port, *workload.arguments(), "--server", running.pid, "--cpu", LOAD_CPU,
               "--server-cpu", SERVER_CPU, "--warm", times.warm, "--run", times.run, "--share", times.share]
    if running.server.raw:
        command.append("--raw")
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"the load generator ended with {done.returncode}")
    figures = json.loads(done.stdout)
    if figures["messages"] == 0:
        raise RuntimeError("no message came back in the measured time")
    sampled = "user_samples" in figures
    keys = ("user_samples", "kernel_samples") if sampled else ("user_ticks", "system_ticks")
    figures["user"], figures["kernel"] = (figures[key] for key in keys)
    figures["source"] = "samples" if sampled else "ticks"
    figures["user_us"] = figures["cpu_us"] * figures["user"] / max(1, figures["user"] + figures["kernel"])
    figures["ratio"] = figures["wire"] / figures["bytes"] if workload.mode == "deflate" else None
    return figures


def together(slices):
    """One round's figures of a server: the medians of its slices; samples of the processor add up."""
    middle = {key: None if None in (values := [figures[key] for figures in slices]) else statistics.median(values)
              for key in METRICS}
    both = {key: sum(figures[key] for figures in slices) for key in ("user", "kernel")}
    return slices[0] | middle | both | {"slices": slices}


class Cell:
    """A server in a workload: the figures of its rounds."""

    def __init__(self, server, runs):
        self.server, self.runs = server, runs

    def value(self, metric):
        if metric == "user_us":  # the share from all rounds' samples: one round has too few
            user = sum(run["user"] for run in self.runs)
            return self.value("cpu_us") * user / max(1, user + sum(run["kernel"] for run in self.runs))
        values = [run[metric] for run in self.runs]
        return None if None in values else statistics.median(values)

    def span(self, metric):
        values = [run[metric] for run in self.runs]
        return (None, None) if None in values else (min(values), max(values))


def paired(mine, other, metric):
    """The median of the rounds' ratios, each of which is the median of its slices' own: what disturbs the machine meets
    neighbours alike, and the slices of one turn are seconds apart."""
    if mine.value(metric) is None or not other.value(metric):
        return None
    if metric == "user_us":
        return mine.value(metric) / other.value(metric)
    return statistics.median(
        statistics.median(a[metric] / b[metric] for a, b in zip(one["slices"], two["slices"]) if b[metric])
        for one, two in zip(mine.runs, other.runs))


class Suite:
    def __init__(self, programs, servers, certificate, progress):
        self.programs, self.servers, self.certificate, self.progress = programs, servers, certificate, progress
        self.failed = []

    def give_up(self, server, workload, why):
        print(f"\nno figures for {server.name} in {workload.title}: {why}", file=sys.stderr)
        self.failed.append((server, workload))

    def run(self, workload, rounds, times):
        """{name: Cell} of the servers that got through all rounds. Each pass has processes of its own: which pages of
        memory one gets decides how well large messages fit into the cache, and is to be luck that the median levels. All of
        them are there at once, and take turns slice by slice, there and back, so that a machine that gets slower or faster
        meanwhile does so for all alike. Each pair of turns has an order of its own: who came before leaves the machine as it
        is. And each slice has connections of its own: at 100 x 1 one set of them differs from the next by a tenth, for as
        long as it lasts, with a server that does nothing, too."""
        seen, there = {}, [server for server in self.servers if fits(server, workload)]
        for number in range(rounds):
            dice, slices = random.Random(number), {}
            for _ in range(PASSES):
                self.one_pass(workload, number, times, dice, there, slices)
            for server in there:
                seen.setdefault(server.name, []).append(together(slices[server.name]))
        return {server.name: Cell(server, seen[server.name]) for server in there}

    def one_pass(self, workload, number, times, dice, there, slices):
        """Processes from their start to their end. A server that fails leaves `there`."""
        running, order = {}, []

        def in_turn(order, does):
            for server in order:
                if server not in there:
                    continue
                self.progress(workload, number, server)
                try:
                    does(server)
                except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                    self.give_up(server, workload, error)
                    there.remove(server)

        def start(server):
            running[server.name] = self.start(server, workload, times)

        def measure(server):
            slices.setdefault(server.name, []).append(self.slice(running[server.name], workload, times))

        try:
            in_turn(dice.sample(there, len(there)), start)
            for turn in range(times.slices):
                order = order[::-1] if turn % 2 else dice.sample(there, len(there))
                in_turn(order, measure)
        finally:
            for process in running.values():
                process.stop()

    def start(self, server, workload, times):
        running = Running(server, workload.mode, self.certificate)
        try:
            if times.settle:
                run_load(self.programs, running, workload, Times(0, 1, times.settle, times.run, 0))
                running.settle()
        except BaseException:
            running.stop()
            raise
        return running

    def slice(self, running, workload, times):
        """The next server finds a processor that has done with this one's connections."""
        figures = run_load(self.programs, running, workload, times)
        running.settle()
        return figures

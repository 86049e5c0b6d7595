"""Tables, goals and files of results."""
import os
import platform
import subprocess
from datetime import date

from measure import METRICS, paired
from servers import openssl_versions, version
from workloads import DEFLATE_RATIO, GOALS, MAIN

COLUMNS = (("rate", "messages/s", "{:,.0f}", 1), ("cpu_us", "CPU us", "{:.2f}", 1), ("user_us", "user us", "{:.2f}", 1),
           ("p50_us", "p50 us", "{:,.0f}", 1), ("p99_us", "p99 us", "{:,.0f}", 1), ("p999_us", "p99.9 us", "{:,.0f}", 1),
           ("rss_kib", "RSS MiB", "{:.1f}", 1 / 1024))


def against(cells):
    """The row that the others are compared with: thrum's, and as long as there is none, bun's."""
    return cells.get(MAIN) or cells.get("bun")


def figure(value, form, scale=1):
    return "-" if value is None else form.format(value * scale)


def table(cells):
    """Rows of text, the header first."""
    base = against(cells)
    with_ratio = any(cell.value("ratio") is not None for cell in cells.values())
    header = ["server", *(title for _, title, _, _ in COLUMNS)] + (["size"] if with_ratio else [])
    yield header + ([f"CPU, {base.server.name} / it"] if base else [])
    for name, cell in cells.items():
        row = [name, *(figure(cell.value(metric), form, scale) for metric, _, form, scale in COLUMNS)]
        if with_ratio:
            row.append(figure(cell.value("ratio"), "{:.3f}"))
        yield row + ([figure(paired(base, cell, "cpu_us"), "{:.2f}")] if base else [])


def print_table(workload, cells):
    rows = list(table(cells))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(f"\n{workload.title}")
    for row in rows:
        print("  " + row[0].ljust(widths[0]) + "".join("  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:])))


# ---- goals ----------------------------------------------------------------------------------------------------------

def best_floor(cells):
    floors = [cell for cell in cells.values() if cell.server.kind == "floor"]
    return min(floors, key=lambda cell: cell.value("cpu_us"), default=None)


def deflate_goal(cell):
    small = cell.value("ratio")
    takeover = all(run.get("server_takeover") for run in cell.runs)
    kept = "with" if takeover else "without"
    yield (f"size of compressed JSON, {kept} context takeover", f"{small:.3f}", f"<= {DEFLATE_RATIO}, with it",
           takeover and small <= DEFLATE_RATIO)


def goals(results):
    """(what, value, goal, met) of all workloads that were measured with thrum."""
    for workload, cells in results.items():
        mine = cells.get(MAIN)
        if mine is None:
            continue
        for key, metric, whom, limit in GOALS:
            other = best_floor(cells) if whom == "the best floor" else cells.get(whom)
            if key != workload.key or other is None:
                continue
            value, what = paired(mine, other, metric), "total" if metric == "cpu_us" else "user"
            yield f"{workload.title}: {what} CPU against {other.server.name}", f"{value:.3f}", f"<= {limit}", value <= limit
        if workload.mode == "deflate":
            yield from deflate_goal(mine)
        peers = {name: paired(mine, cell, "cpu_us") for name, cell in cells.items() if cell.server.kind == "peer"}
        if peers:
            name = max(peers, key=peers.get)
            yield f"{workload.title}: ahead of every peer, the nearest is {name}", f"{peers[name]:.3f}", "< 1", peers[name] < 1


def print_goals(results):
    """How many were missed; None: there is no thrum to ask."""
    missed, asked = 0, 0
    for what, value, goal, met in goals(results):
        asked += 1
        missed += not met
        print(f"  {'met   ' if met else 'MISSED'}  {what}: {value} (goal {goal})")
    return missed if asked else None


# ---- files ----------------------------------------------------------------------------------------------------------

def text(value):
    return "-" if value is None else f"{value:.4f}"


def write_tsv(path, header, rows):
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in (header, *rows)), encoding="utf-8")


def summary_rows(results):
    """workload, metric, thrum, peer, peer_value, ratio"""
    for workload, cells in results.items():
        mine = cells.get(MAIN)
        for name, cell in cells.items():
            for metric in METRICS:
                value = cell.value(metric)
                if cell is mine or value is None:
                    continue
                own = mine.value(metric) if mine else None
                yield workload.key, metric, text(own), name, text(value), text(paired(mine, cell, metric) if mine else None)


def all_rows(results):
    for workload, cells in results.items():
        for name, cell in cells.items():
            for metric in METRICS:
                if cell.value(metric) is not None:
                    low, high = cell.span(metric)
                    yield (workload.key, workload.title, name, cell.server.kind, metric, text(cell.value(metric)), text(low),
                           text(high))


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def describe(servers, root):
    """Lines on the machine and the versions."""
    commit = subprocess.run(["git", "-C", root, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    yield (f"{date.today()}, thrum {commit.stdout.strip() or '?'}; {processor()}, {os.cpu_count()} processors, "
           f"Linux {platform.release()}.")
    versions = [(server.name, version(server)) for server in servers]
    system, newer = openssl_versions()
    yield (f"TLS of thrum, libwebsockets, Boost.Beast and Python: OpenSSL {newer or system}"
           f"{f' (the system has {system})' if newer else ''}; the other peers bring their own.")
    yield "Peers: " + "; ".join(f"{name} {v}" for name, v in versions if v) + "."


def user_source(results):
    sources = {run["source"] for cells in results.values() for cell in cells.values() for run in cell.runs}
    return "samples of the server's processor" if sources == {"samples"} else "the kernel's clock ticks, which are coarse"


def write_markdown(path, results, lines, rounds):
    with open(path, "w", encoding="utf-8") as out:
        out.write("# Servers\n\n")
        out.write("\n\n".join(lines) + "\n\n")
        out.write(f"Medians of {rounds} rounds; the last column is the median of the rounds' own ratios. CPU: microseconds\n"
                  "of the server's processor time per message, which is seconds per million messages; the part of it in\n"
                  f"user space is told by {user_source(results)}.\n"
                  "bench/README.md says how all this was measured.\n")
        for workload, cells in results.items():
            out.write(f"\n## {workload.title}\n\n")
            for number, row in enumerate(table(cells)):
                out.write("| " + " | ".join(row) + " |\n")
                if number == 0:
                    out.write("|---|" + "---:|" * (len(row) - 1) + "\n")
        told = list(goals(results))
        if told:
            out.write("\n## Goals\n\n| | what | value | goal |\n|---|---|---:|---|\n")
            for what, value, goal, met in told:
                out.write(f"| {'met' if met else '**missed**'} | {what} | {value} | {goal} |\n")


def write_all(folder, results, servers, root, rounds):
    folder.mkdir(parents=True, exist_ok=True)
    write_tsv(folder / "summary.tsv", ("workload", "metric", "thrum", "peer", "peer_value", "ratio"), summary_rows(results))
    header = ("workload", "title", "server", "kind", "metric", "median", "low", "high")
    write_tsv(folder / "server.tsv", header, all_rows(results))
    write_markdown(folder / "server.md", results, list(describe(servers, root)), rounds)

"""plots.py FOLDER server|idle: PNG and SVG of the figures in FOLDER/server.tsv or FOLDER/idle.tsv. Needs matplotlib."""
import csv
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "thrum"  # the same figures give the same file
from matplotlib import pyplot  # noqa: E402

COLOURS = {"thrum": ("#0b5fa5", "#8fc1e8"), "peer": ("#5a5a5a", "#c4c4c4"), "floor": ("#6b8e23", "#cfe0a5")}
ACROSS = 2


def read(path):
    with open(path, encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def pivot(rows):
    """{title: {server: {"kind": ..., metric: (median, low, high)}}}"""
    seen = {}
    for row in rows:
        cell = seen.setdefault(row["title"], {}).setdefault(row["server"], {"kind": row["kind"]})
        cell[row["metric"]] = tuple(float(row[k]) for k in ("median", "low", "high"))
    return seen


def panels(figures, name, xlabel, draw, folder):
    down = -(-len(figures) // ACROSS)
    _, axes = pyplot.subplots(down, ACROSS, figsize=(13, 0.7 + 3.6 * down), squeeze=False)
    for axis in axes.flat[len(figures):]:
        axis.set_visible(False)
    for axis, (title, cells) in zip(axes.flat, figures.items()):
        names = list(reversed(cells))
        draw(axis, cells, names)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel(xlabel, fontsize=8)
        axis.grid(axis="x", alpha=0.3)
    save(folder, name)


def save(folder, name):
    pyplot.tight_layout()
    pyplot.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})
    pyplot.savefig(folder / f"{name}.svg", metadata={"Date": None})
    pyplot.close()


def draw_cpu(axis, cells, names):
    """Kernel first, then user; the line is from the best round to the worst. A bar may leave the panel."""
    totals = sorted(cells[n]["cpu_us"][0] for n in names)
    limit = min(totals[-1] * 1.1, 4 * totals[len(totals) // 2])
    for y, name in enumerate(names):
        total, low, high = cells[name]["cpu_us"]
        user = cells[name]["user_us"][0]
        dark, light = COLOURS[cells[name]["kind"]]
        axis.barh(y, total - user, color=light)
        axis.barh(y, user, left=total - user, color=dark)
        axis.plot([low, high], [y, y], color="black", linewidth=0.8)
        label = {"va": "center", "fontsize": 7, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.8}}
        inside = total > limit * 0.8
        axis.text(limit * 0.99 if inside else total + limit * 0.01, y, f"{total:.2f} ({user:.2f})",
                  ha="right" if inside else "left", **label)
    axis.set_xlim(0, limit)


def draw_latency(axis, cells, names):
    for metric, marker in (("p50_us", "o"), ("p99_us", "s"), ("p999_us", "^")):
        for y, name in enumerate(names):
            axis.plot(cells[name][metric][0], y, marker, color=COLOURS[cells[name]["kind"]][0], markersize=5)
    for y, name in enumerate(names):
        axis.plot([cells[name]["p50_us"][0], cells[name]["p999_us"][0]], [y, y], color="#aaaaaa", linewidth=1, zorder=0)
    axis.set_xscale("log")


def draw_rate(axis, cells, names):
    for y, name in enumerate(names):
        rate = cells[name]["rate"][0]
        axis.barh(y, rate, color=COLOURS[cells[name]["kind"]][0 if cells[name]["kind"] == "thrum" else 1])
        axis.text(rate, y, f" {rate:,.0f}", va="center", fontsize=7)
    axis.margins(x=0.15)


def server(folder):
    figures = pivot(read(folder / "server.tsv"))
    panels(figures, "server-cpu", "us of the server's processor per message: kernel, and user (dark)", draw_cpu, folder)
    panels(figures, "server-latency", "us: p50 (circle), p99 (square), p99.9 (triangle)", draw_latency, folder)
    panels(figures, "server-rate", "messages a second", draw_rate, folder)


def idle(folder):
    """A panel for each state; user and kernel bytes of a connection."""
    figures = {}
    for row in read(folder / "idle.tsv"):
        figures.setdefault(row["state"], {})[row["server"]] = row

    def draw(axis, cells, names):
        for y, name in enumerate(names):
            user, kernel = float(cells[name]["user_bytes"]), float(cells[name]["kernel_bytes"])
            dark, light = COLOURS[cells[name]["kind"]]
            axis.barh(y, kernel, color=light)
            axis.barh(y, user, left=kernel, color=dark)
            axis.text(kernel + user, y, f" {user:,.0f} + {kernel:,.0f}", va="center", fontsize=7)
        axis.margins(x=0.25)

    panels(figures, "idle", "bytes per connection: kernel, and user (dark)", draw, folder)


if __name__ == "__main__":
    {"server": server, "idle": idle}[sys.argv[2]](Path(sys.argv[1]))

"""Table, figures and plot of a fan-out run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.machine import Provenance

if TYPE_CHECKING:
    from bench.fanout import Row

HEADER = (
    "| players x rate, burst | server | CPU ns/packet | x floor | x best peer | delay p50 ms | delay p99 ms "
    "| KiB/player | loss | packets/s | server CPU | load CPU | others on CPU 0 |"
)
METHOD = """
CPU is user and system time of the server's process over the window, divided by the packets that players
really received in it. The sink is loopback with one live socket per player, drained by CPU 1: receiving
is charged to the sender there, which a network card would not do. Delay is from just before the publisher
encrypts a packet to its arrival in the player's socket (kernel stamp), packets of the window, sampled players.
Players beyond the sampled ones only count; all answer consent checks; sampled ones send receiver reports.
Janus 1.1.2 has no WHIP: it gets plain RTP and is spared one decryption per incoming packet.
MediaMTX packetizes again. "full": it lost more than 1 % or did not take all players; "x" columns use the
lowest figure of the peers that were not full.
""".strip()


def write(
    out: Path,
    *,
    provenance: Provenance,
    settings: dict[str, Any],
    peers: dict[str, str],
    rows: Sequence[Row],
    floors: dict[str, float],
    notes: list[str],
) -> None:
    """Write `out`.json, .md and .png."""
    out.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "provenance": asdict(provenance),
        "settings": settings,
        "peers": peers,
        "floor_ns_per_packet": floors,
        "rows": [asdict(row) for row in rows],
        "notes": notes,
    }
    out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
    text = ["# Fan-out", "", *provenance.lines(), f"- settings: `{json.dumps(settings)}`", ""]
    text += [f"- {name}: {what}" for name, what in peers.items()]
    text += ["", HEADER, "|" + "---|" * 13, *table(rows, floors), "", "## Against the goals", ""]
    text += [*verdicts(rows, floors), "", "## Method and limits", "", METHOD]
    text += ["", *(f"- {note}" for note in notes)] if notes else []
    out.with_suffix(".md").write_text("\n".join(text) + "\n")
    plot(out.with_suffix(".png"), rows, floors)


def best_peer(rows: Sequence[Row], label: str) -> float | None:
    """Lowest CPU per packet of the others in a cell."""
    costs = [
        row.figures["server_cpu_ns_per_packet"]
        for row in rows
        if row.cell.label == label and row.peer != "edge" and not row.saturated
    ]
    return min(costs, default=None)


def table(rows: Sequence[Row], floors: dict[str, float]) -> list[str]:
    """One line per cell and server."""
    lines = []
    for row in rows:
        label, figures = row.cell.label, row.figures
        cost = figures["server_cpu_ns_per_packet"]
        floor, best = floors.get(label), best_peer(rows, label)
        cells = (
            label,
            row.peer + (" (full)" if row.saturated else ""),
            f"{cost:.0f}",
            f"{cost / floor:.2f}" if floor else "-",
            f"{cost / best:.2f}" if best else "-",
            f"{figures['delay_p50_ms']:.2f}",
            f"{figures['delay_p99_ms']:.2f}",
            f"{figures['server_rss_per_player_bytes'] / 1024:.0f}",
            f"{figures['loss']:.4f}",
            f"{figures['packets_per_second']:.0f}",
            f"{figures['server_cpu']:.2f}",
            f"{figures['own_cpu']:.2f}",
            f"{figures['other_load_on_server_cpu']:.2f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    known = {row.cell.label for row in rows}
    lines += [
        f"| {label} | floor | {cost:.0f} |" + " |" * 10
        for label, cost in floors.items()
        if label in known
    ]
    return lines


def verdicts(rows: Sequence[Row], floors: dict[str, float]) -> list[str]:
    """Each goal, kept or missed, cell by cell."""
    lines = []
    for row in (row for row in rows if row.peer == "edge"):
        label, cost = row.cell.label, row.figures["server_cpu_ns_per_packet"]
        whole = row.cell.burst == "frame" and row.cell.bitrate_bps == 2_500_000
        best, floor = best_peer(rows, label), floors.get(label)
        share = 0.25 if whole else 0.5
        if best is not None:
            lines.append(
                f"- {label}: {cost / best:.2f} of the best peer, goal {share}: {kept(cost <= share * best)}"
            )
        if floor is not None and whole:
            lines.append(
                f"- {label}: {cost / floor:.2f} of the floor, goal 1.5: {kept(cost <= 1.5 * floor)}"
            )
    return lines or ["- The edge was not in this run."]


def kept(met: bool) -> str:
    """The word for it."""
    return "kept" if met else "**missed**"


def plot(path: Path, rows: Sequence[Row], floors: dict[str, float]) -> None:
    """Cost and delay, a group of bars per cell."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    labels = list(dict.fromkeys(row.cell.label for row in rows))
    names = list(dict.fromkeys(row.peer for row in rows))
    figure, axes = plt.subplots(2, 1, figsize=(max(8.0, 1.6 * len(labels)), 9.0), sharex=True)
    keys = (
        ("server_cpu_ns_per_packet", "CPU ns per packet"),
        ("delay_p99_ms", "forwarding delay p99, ms"),
    )
    width = 0.8 / max(1, len(names))
    for axis, (key, title) in zip(axes, keys, strict=True):
        for index, name in enumerate(names):
            values = {row.cell.label: row.figures[key] for row in rows if row.peer == name}
            positions = [
                labels.index(label) + (index - (len(names) - 1) / 2) * width for label in values
            ]
            axis.bar(positions, list(values.values()), width, label=name)
        if key.endswith("ns_per_packet"):
            known = [
                (labels.index(label), cost) for label, cost in floors.items() if label in labels
            ]
            axis.plot(
                [x for x, _ in known], [y for _, y in known], "k_", markersize=24, label="floor"
            )
        axis.set_yscale("log")
        axis.set_title(title)
        axis.grid(visible=True, axis="y", alpha=0.3)
    axes[0].legend()
    axes[1].set_xticks(range(len(labels)), labels, rotation=30, ha="right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)

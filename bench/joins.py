"""Join storms: joins per second, join time, and what players already connected feel of it.

    python -m bench.joins [--peer edge] [--burst 500] [--rates 100,200,300]

Watchers are connected first; their packets are timed by the kernel's stamp, so that the load
tool's own handshakes on CPU 1 do not count as delay. A packet is late after `--late-ms`: by default the time of a frame, when the next one is due.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import choices
from bench.machine import socket_drops, write_result
from bench.peers import NAMES, Peer, peer
from bench.runner import Cell, Report, Settings, play, play_command, publishing

SERIES_MS = 200
SETTLE_S = 2.0
REST_S = 2.0


def watchers_delay(series: list[dict[str, Any]], start_ns: int, end_ns: int) -> dict[str, float]:
    """Worst p99 and maximum of the watchers' intervals that overlap a span of CLOCK_MONOTONIC."""
    touched = [
        one["delay_ms"]
        for one in series
        if start_ns <= one["at_ns"] <= end_ns + SERIES_MS * 1_000_000
    ]
    return {
        "worst_p99_ms": max((delay["p99"] for delay in touched), default=0.0),
        "max_ms": max((delay["max"] for delay in touched), default=0.0),
        "packets": float(sum(delay["count"] for delay in touched)),
    }


def storm(
    load: Path,
    server: Peer,
    cell: Cell,
    settings: Settings,
    storms: list[tuple[str, int, float]],
    late_ms: float,
) -> list[Report]:
    """Watchers stay; storms (name, players, joins per second; 0 is all at once) come one after another."""
    longest = 30.0 + sum(25.0 + (players / rate if rate else 0.0) for _, players, rate in storms)
    results = []
    with publishing(load, server, cell, settings, longest + 20):
        watching = replace(settings, seconds=longest)
        extra = ["--series-ms", str(SERIES_MS), "--late-ms", str(late_ms)]
        command = play_command(load, server, cell.players, watching, extra)
        watchers = subprocess.Popen(command, stdout=subprocess.PIPE)
        time.sleep(cell.players / settings.join_rate + SETTLE_S + 1)
        spans = []
        for name, players, rate in storms:
            drops, start = socket_drops(server.pid), time.monotonic_ns()
            one = replace(settings, seconds=1.0, join_rate=rate, sample=0)
            report = play(load, server, players, one, ["--settle", "0.5", "--join-timeout", "20"])
            report.pop("series")
            report |= {
                "storm": name,
                "rate_asked": rate,
                "socket_drops": socket_drops(server.pid) - drops,
            }
            spans.append((start, time.monotonic_ns()))
            results.append(report)
            time.sleep(REST_S)
        watchers.send_signal(signal.SIGTERM)
        watched = json.loads(watchers.communicate(timeout=30)[0])
    for report, (start, end) in zip(results, spans, strict=True):
        report["watchers"] = watchers_delay(watched["series"], start, end)
        report["watchers_loss"] = watched["loss"]
        report["watchers_late"] = watched["late"]
    return results


def main() -> None:
    """Run and write `bench/results/joins.*`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", default="edge", choices=NAMES)
    parser.add_argument("--watchers", type=int, default=100)
    parser.add_argument("--bitrate", type=int, default=1_000_000)
    parser.add_argument("--burst", type=int, default=500, help="players that join at once")
    parser.add_argument(
        "--rates", default="100,200,300", help="sustained joins per second, 3 s each"
    )
    parser.add_argument("--late-ms", type=float, default=33.3)
    choices.add_arguments(parser)
    options = parser.parse_args()
    load = choices.load_binary(options)
    server = peer(options.peer, choices.peer_options(options))
    storms = [
        (f"{rate}/s for 3 s", int(rate) * 3, float(rate)) for rate in options.rates.split(",")
    ]
    storms.append((f"{options.burst} at once", options.burst, 0.0))
    cell = Cell(players=options.watchers, bitrate_bps=options.bitrate, burst="frame")
    server.start()
    try:
        results = storm(
            load, server, cell, Settings(profile=options.profile), storms, options.late_ms
        )
    finally:
        server.stop()
    name = "joins" if options.peer == "edge" else f"joins-{options.peer}"
    write_result(
        name, f"Joins: {server.describe()}", table(results, cell, options.late_ms), results
    )


def table(results: list[Report], cell: Cell, late_ms: float) -> list[str]:
    """One line per storm."""
    lines = [
        f"{cell.players} watchers at {cell.bitrate_bps / 1e6:g} Mbit/s in whole frames while others join. Join time is",
        "from the POST to the first packet of a key frame. Client handshakes share CPU 1 with the watchers and the",
        "publisher, so joins per second are what both ends manage together on two CPUs, not the server's limit.",
        "",
        "| storm | joined | joins/s | join p50 ms | p95 | p99 | connected p95 ms | server CPU s/join | watchers' worst p99 ms | max ms | socket drops |",
        "|" + "---|" * 11,
    ]
    for report in results:
        join, watchers = report["join_to_key_frame_ms"], report["watchers"]
        cells = (
            report["storm"],
            f"{report['connected']}/{report['players']}",
            f"{report['joins_per_second']:.0f}",
            *(f"{join[share] or 0:.0f}" for share in ("p50", "p95", "p99")),
            f"{report['join_to_connected_ms']['p95'] or 0:.0f}",
            f"{report['join_server_cpu_s_per_player']:.4f}",
            f"{watchers['worst_p99_ms']:.2f}",
            f"{watchers['max_ms']:.2f}",
            str(report["socket_drops"]),
        )
        lines.append("| " + " | ".join(cells) + " |")
    if results:
        lines += [
            "",
            f"Whole run: watchers' loss {results[0]['watchers_loss']:.5f}, packets later than {late_ms:g} ms: {results[0]['watchers_late']}.",
        ]
    return lines


if __name__ == "__main__":
    main()

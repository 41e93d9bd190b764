"""Hours of steady playing: is memory flat?

python -m bench.soak [--seconds 3600] [--players 200]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench import choices
from bench.machine import RESULTS, socket_drops, write_result
from bench.peers import NAMES, Peer, peer
from bench.runner import Cell, Report, Settings, play, play_command, publishing

INTERVAL_S = 10.0
VISIT_S = 2.0
"""How long a player stays that comes and goes."""
WARM_UP_SHARE = 0.2
FLAT_SHARE = 0.02
"""Growth of the fitted line over the whole run, as a share of the memory, that still counts as flat."""


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def soak(
    load: Path, server: Peer, cell: Cell, settings: Settings, churn: int
) -> tuple[list[tuple[float, int]], Report]:
    """Play for the time of the settings, with `churn` more players coming and going each interval.

    Returns (seconds, RSS) each interval, and the report of the players that stayed.
    """
    series: list[tuple[float, int]] = []
    visits = 0
    with publishing(load, server, cell, settings, settings.seconds + 120):
        command = play_command(
            load, server, cell.players, settings, ["--series-ms", str(INTERVAL_S * 1000)]
        )
        players = subprocess.Popen(command, stdout=subprocess.PIPE)
        began = time.monotonic()
        output = b""
        while not output:
            try:
                output = players.communicate(timeout=INTERVAL_S)[0]
            except subprocess.TimeoutExpired:
                if churn and time.monotonic() - began < settings.seconds - INTERVAL_S:
                    short = replace(settings, seconds=VISIT_S, sample=1, join_rate=churn)
                    visits += int(play(load, server, churn, short)["connected"])
                series.append((time.monotonic() - began, rss_bytes(server.pid)))
                if series[-1][1] == 0:
                    players.kill()
                    raise RuntimeError(
                        f"{server.name} died after {series[-1][0]:.0f} s:\n{server.log_tail()}"
                    ) from None
        report: Report = json.loads(output)
        report["visits"] = visits
        report["socket_drops"] = socket_drops(server.pid)
    return series, report


def slope(series: list[tuple[float, int]]) -> tuple[float, float]:
    """Bytes per hour of the line fitted after the warm-up, and that growth over the run as a share of RSS."""
    settled = np.array(series[int(len(series) * WARM_UP_SHARE) :], dtype=float)
    if len(settled) < 3:
        return 0.0, 0.0
    per_second = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0])
    return per_second * 3600, per_second * float(settled[-1, 0] - settled[0, 0]) / float(
        settled[:, 1].mean()
    )


def plot(path: Path, series: list[tuple[float, int]], title: str) -> None:
    """RSS over time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(9, 4))
    axis.plot([second / 60 for second, _ in series], [rss / 2**20 for _, rss in series])
    axis.set(xlabel="minutes", ylabel="RSS, MiB", title=title, ylim=(0, None))
    axis.grid(visible=True, alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Run and write `bench/results/soak.*`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--players", type=int, default=200)
    parser.add_argument("--churn", type=int, default=10, help="players that come and go each 10 s")
    parser.add_argument("--bitrate", type=int, default=400_000)
    parser.add_argument("--peer", default="edge", choices=NAMES)
    parser.add_argument("--data-channel", action="store_true")
    choices.add_arguments(parser)
    options = parser.parse_args()
    load, server = choices.load_binary(options), peer(options.peer, choices.peer_options(options))
    cell = Cell(players=options.players, bitrate_bps=options.bitrate, burst="frame")
    settings = replace(
        Settings(profile=options.profile, data_channel=options.data_channel),
        seconds=options.seconds,
    )
    server.start()
    try:
        series, report = soak(load, server, cell, settings, options.churn)
    finally:
        server.stop()
    per_hour, share = slope(series)
    flat = abs(share) <= FLAT_SHARE
    verdict = f"{'flat' if flat else '**not flat**'} (limit {FLAT_SHARE * 100:.0f} %)"
    delay = report["delay_ms"]
    body = [
        f"- {cell.label}, {report['seconds']:.0f} s, {report['connected']} of {report['players']} players connected",
        f"- {report['visits']} more players came, watched for {VISIT_S:g} s and went",
        f"- RSS {series[0][1] / 2**20:.1f} MiB at the first sample, {series[-1][1] / 2**20:.1f} MiB at the last",
        f"- slope after warm-up: {per_hour / 2**10:.0f} KiB/h, {share * 100:.2f} % of RSS over the run: {verdict}",
        f"- loss {report['loss']:.6f}, forged {report['forged']}, delay p50 {delay['p50']:.2f} ms, p99 {delay['p99']:.2f} ms, max {delay['max']:.1f} ms",
        f"- CPU {report['server_cpu_ns_per_packet']:.0f} ns/packet, receive drops of the server {report['socket_drops']}",
        "",
        "![RSS over time](soak.png)",
    ]
    figures = {"rss": series, "bytes_per_hour": per_hour, "share": share, "players": report}
    write_result("soak", f"Soak: {server.describe()}", body, figures)
    plot(RESULTS / "soak.png", series, f"{options.peer}: {cell.label}")


if __name__ == "__main__":
    main()

"""Forwarding delay at a given load: several streams of whole frames, one worker.

    python -m bench.delay [--target 0.7] [--streams 20]

A single stream cannot show it: a whole frame to all players takes the very share of the frame's time that the
load says (23 ms of 33 ms at 70 %), so the last player's packet is late by arithmetic. Many streams whose frames
fall at different times, as in a studio with many tables, are what a loaded node sees; a row with spaced packets
stands beside it. The number of players is raised until the worker uses the target share of CPU 0.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench import choices
from bench.machine import write_result
from bench.peers import Peer, peer
from bench.peers.edge import EdgePeer
from bench.runner import Cell, Report, Settings, play, publishing

GOAL_P99_MS = 2.0
FIRST_PLAYERS = 100
MOST_PLAYERS = 1500
STEPS = 4


class Streams:
    """The edge again, with one URL per stream."""

    def __init__(self, edge: Peer, publish: list[str], watch: list[str]) -> None:
        self._edge = edge
        self._publish = publish
        self._watch = watch
        self.name = edge.name
        self.pid = edge.pid

    def start(self) -> None:
        """It runs."""

    def stop(self) -> None:
        """Its owner stops it."""

    def log_tail(self) -> str:
        """Of the edge."""
        return self._edge.log_tail()

    def profile(self, wanted: str) -> str:
        """Whatever is wanted."""
        return wanted

    def publish_arguments(self) -> list[str]:
        """The first URL that has no publisher yet."""
        return [self._publish.pop(0)]

    def play_arguments(self) -> list[str]:
        """All: players go round."""
        return self._watch

    def describe(self) -> str:
        """How many."""
        return f"{self._edge.describe()}, {len(self._watch)} streams"


def at_load(
    load: Path, edge: EdgePeer, cell: Cell, settings: Settings, streams: int, target: float
) -> list[Report]:
    """Runs with ever more players until the target, the load tool's limit or `STEPS` is reached."""
    reports: list[Report] = []
    players = cell.players
    for _ in range(STEPS):
        edge.start()
        try:
            base = f"http://127.0.0.1:{edge.port}"
            publish = [f"{base}/whip/table{number}" for number in range(streams)]
            many = Streams(edge, publish, [url.replace("/whip/", "/whep/") for url in publish])
            with ExitStack() as stack:
                longest = streams * 2 + players / settings.join_rate + settings.seconds + 60
                for _ in range(streams):
                    stack.enter_context(
                        publishing(load, many, cell, settings, longest, start_s=0.2)
                    )
                report = play(load, many, players, settings)
        finally:
            edge.stop()
        report.pop("series")
        report["streams"], report["burst"] = streams, cell.burst
        reports.append(report)
        share = report["server_cpu"]
        full = share > target * 0.95 or report["own_cpu"] > 0.9 or players >= MOST_PLAYERS
        if full or report["loss"] > 0.01:
            break
        players = min(MOST_PLAYERS, round(players * target / max(share, 0.01)))
    return reports


def main() -> None:
    """Run and write `bench/results/delay.*`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", type=float, default=0.7)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--bitrate", type=int, default=2_500_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    choices.add_arguments(parser)
    options = parser.parse_args()
    load, edge = choices.load_binary(options), peer("edge", choices.peer_options(options))
    assert isinstance(edge, EdgePeer)
    settings = replace(Settings(profile=options.profile), seconds=options.seconds)
    reports = []
    for streams, burst in ((options.streams, "frame"), (options.streams, "spaced"), (1, "frame")):
        cell = Cell(players=FIRST_PLAYERS, bitrate_bps=options.bitrate, burst=burst)
        reports += at_load(load, edge, cell, settings, streams, options.target)
    lines = [
        "| streams | burst | players | server CPU | load CPU | delay p50 ms | p99 | p99.9 | loss |",
        "|" + "---|" * 9,
    ]
    lines += [
        f"| {run['streams']} | {run['burst']} | {run['players']} | {run['server_cpu']:.2f} | {run['own_cpu']:.2f} "
        f"| {run['delay_ms']['p50']:.2f} | {run['delay_ms']['p99']:.2f} | {run['delay_ms']['p999']:.2f} | {run['loss']:.4f} |"
        for run in reports
    ]
    note = (
        f"Goal: p99 below {GOAL_P99_MS:g} ms at {options.target:.0%} of CPU 0. Publishers and players share CPU 1: rows "
        "whose load CPU is near 1 measure the load, not the edge, and mean that two CPUs do not reach the target."
    )
    write_result("delay", f"Forwarding delay: {edge.describe()}", [*lines, "", note], reports)


if __name__ == "__main__":
    main()

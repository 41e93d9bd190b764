"""Resident memory per player, without and with a data channel.

python -m bench.memory [--players 500] [--peers edge]
"""

from __future__ import annotations

import argparse
import statistics

from bench import choices
from bench.machine import write_result
from bench.peers import peer
from bench.runner import Cell, Settings, measure

GOALS_KIB = {False: 150.0, True: 250.0}


def main() -> None:
    """Run and write `bench/results/memory.*`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--players", type=int, default=500)
    parser.add_argument("--bitrate", type=int, default=400_000)
    parser.add_argument("--peers", default="edge")
    parser.add_argument("--repeats", type=int, default=3)
    choices.add_arguments(parser)
    options = parser.parse_args()
    load, adapters = choices.load_binary(options), choices.peer_options(options)
    cell = Cell(players=options.players, bitrate_bps=options.bitrate, burst="frame")
    lines = [
        "| server | data channel | KiB/player joined | KiB/player 5 s later | connected | channels open | goal |",
        "|" + "---|" * 7,
    ]
    figures = []
    for name in options.peers.split(","):
        for channel in (False, True) if name == "edge" else (False,):
            settings = Settings(profile=options.profile, data_channel=channel)
            runs = [
                measure(load, peer(name, adapters), cell, settings) for _ in range(options.repeats)
            ]
            joined = statistics.median(run["server_rss_per_player_bytes"] for run in runs) / 1024
            later = (
                statistics.median(
                    (run["server_rss_after_bytes"] - run["server_rss_before_bytes"])
                    / max(1, run["connected"])
                    for run in runs
                )
                / 1024
            )
            goal = GOALS_KIB[channel]
            verdict = (
                f"{goal:.0f}: {'kept' if later <= goal else '**missed**'}"
                if name == "edge"
                else "-"
            )
            figures.append(
                {"peer": name, "data_channel": channel, "kib_joined": joined, "kib_later": later}
            )
            last = runs[-1]
            cells = (
                name,
                str(channel),
                f"{joined:.0f}",
                f"{later:.0f}",
                str(last["connected"]),
                str(last["channels"]),
                verdict,
            )
            lines.append("| " + " | ".join(cells) + " |")
    note = (
        "RSS of the server's process from just before the first player to after the last, divided by players: "
        "what the allocator keeps for the first burst of joins is in it."
    )
    write_result(
        "memory", f"Memory per player at {options.players} players", [*lines, "", note], figures
    )


if __name__ == "__main__":
    main()

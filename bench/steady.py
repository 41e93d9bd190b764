"""Hold a steady load and run a command meanwhile; `{pid}` in it is the server's.

python -m bench.steady --players 200 --seconds 20 -- perf record -g -F 999 -p {pid} -- sleep 10
"""

from __future__ import annotations

import argparse
import subprocess
import time
from dataclasses import replace

from bench import choices
from bench.peers import NAMES, peer
from bench.runner import Cell, Settings, play_command, publishing


def main() -> None:
    """Start everything, run the command when all players are in, end everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", default="edge", choices=NAMES)
    parser.add_argument("--players", type=int, default=200)
    parser.add_argument("--bitrate", type=int, default=2_500_000)
    parser.add_argument("--burst", default="frame", choices=("frame", "spaced"))
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("command", nargs="+")
    choices.add_arguments(parser)
    options = parser.parse_args()
    load, server = choices.load_binary(options), peer(options.peer, choices.peer_options(options))
    cell = Cell(players=options.players, bitrate_bps=options.bitrate, burst=options.burst)
    settings = replace(Settings(profile=options.profile), seconds=options.seconds)
    server.start()
    try:
        with publishing(load, server, cell, settings, options.seconds + 60):
            command = play_command(load, server, cell.players, settings)
            players = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            time.sleep(cell.players / settings.join_rate + 3)
            subprocess.run(
                [word.replace("{pid}", str(server.pid)) for word in options.command], check=True
            )
            players.terminate()
            players.wait()
    finally:
        server.stop()


if __name__ == "__main__":
    main()

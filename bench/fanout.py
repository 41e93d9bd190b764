"""CPU, delay and memory of forwarding one stream to many players: this edge against its peers, in one run.

    python -m bench.fanout                       # the quick set
    python -m bench.fanout --full --seconds 10   # every cell of the table
    python -m bench.fanout --peers edge,janus --cells 200x2.5:frame --repeats 5

Every run starts the server anew on CPU 0; publisher and players are on CPU 1. Peers alternate, the
order turns round each time, the first round is dropped and medians are kept.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import choices, lower_bound, report
from bench.machine import RESULTS, provenance
from bench.peers import NAMES, Peer, peer
from bench.peers.base import RemotePeer
from bench.runner import Cell, Report, Settings, await_quiet, measure

PLAYERS = (50, 200, 500, 1000)
BITRATES = (400_000, 1_000_000, 2_500_000)
BURSTS = ("frame", "spaced")
QUICK = ("50x2.5:frame", "200x2.5:frame", "200x2.5:spaced", "200x0.4:frame", "500x1:frame")
DISTURBED_SHARE = 0.1
"""A run during which others used more than this of the server's CPU is repeated, and flagged if it stays so."""
RETRIES = 2
SATURATED_LOSS = 0.01
"""More loss than this, or fewer players than asked for, and larger cells of the peer are left out."""
FIGURES = (
    "server_cpu_ns_per_packet",
    "server_cpu",
    "own_cpu",
    "loss",
    "packets_per_second",
    "server_rss_per_player_bytes",
    "joins_per_second",
    "receive_drops",
    "other_load_on_server_cpu",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Medians of one peer in one cell."""

    peer: str
    cell: Cell
    figures: dict[str, float]
    saturated: bool
    runs: tuple[Report, ...]


def parse_cell(text: str) -> Cell:
    """`PLAYERSxMBIT:BURST`. Raises ValueError."""
    size, _, burst = text.partition(":")
    players, _, bitrate = size.partition("x")
    if burst not in BURSTS:
        raise ValueError(f"{text}: the burst is one of {', '.join(BURSTS)}")
    return Cell(players=int(players), bitrate_bps=round(float(bitrate) * 1e6), burst=burst)


def medians(runs: list[Report]) -> dict[str, float]:
    """Of the figures of the table; delays in milliseconds."""
    values = {name: statistics.median(run[name] or 0.0 for run in runs) for name in FIGURES}
    for share in ("p50", "p99"):
        values[f"delay_{share}_ms"] = statistics.median(run["delay_ms"][share] for run in runs)
        values[f"join_{share}_ms"] = statistics.median(
            run["join_to_key_frame_ms"][share] or 0.0 for run in runs
        )
    return values


def is_saturated(run: Report) -> bool:
    """Whether the server (or this machine) did not keep up."""
    return bool(run["loss"] > SATURATED_LOSS or run["connected"] < run["players"])


class Fanout:
    """The rounds."""

    def __init__(
        self, load: Path, peers: list[Peer], settings: Settings, repeats: int, quiet_s: float
    ) -> None:
        self._load = load
        self._peers = peers
        self._settings = settings
        self._repeats = repeats
        self._quiet_s = quiet_s
        self._full: set[tuple[str, int, str]] = set()
        self.notes: list[str] = []

    def cell(self, cell: Cell) -> list[Row]:
        """Measure every peer that is not known to be full at fewer players."""
        peers = [
            one for one in self._peers if (one.name, cell.bitrate_bps, cell.burst) not in self._full
        ]
        runs: dict[str, list[Report]] = {one.name: [] for one in peers}
        for round_number in range(self._repeats + 1):
            for one in peers if round_number % 2 == 0 else reversed(peers):
                outcome = self._run(one, cell, round_number)
                if outcome is not None and round_number > 0:
                    runs[one.name].append(outcome)
        return [self._row(name, cell, outcomes) for name, outcomes in runs.items() if outcomes]

    def _run(self, one: Peer, cell: Cell, round_number: int) -> Report | None:
        try:
            outcome = self._undisturbed(one, cell, RETRIES if round_number else 0)
        except (RuntimeError, OSError) as error:
            self.notes.append(f"{one.name}, {cell.label}, round {round_number}: {error}")
            print(f"{one.name}, {cell.label}: {error}", file=sys.stderr, flush=True)
            return None
        outcome.pop("series", None)
        print(
            f"{cell.label:34} {one.name:16} round {round_number} {outcome['server_cpu_ns_per_packet']:8.0f} ns/packet "
            f"p99 {outcome['delay_ms']['p99']:7.2f} ms loss {outcome['loss']:.4f} players {outcome['connected']} "
            f"server {outcome['server_cpu']:.2f} load {outcome['own_cpu']:.2f} others {outcome['other_load_on_server_cpu']:.2f}",
            flush=True,
        )
        return outcome

    def _undisturbed(self, one: Peer, cell: Cell, retries: int) -> Report:
        await_quiet(self._quiet_s)
        outcome = measure(self._load, one, cell, self._settings)
        if outcome["other_load_on_server_cpu"] > DISTURBED_SHARE and retries > 0:
            return self._undisturbed(one, cell, retries - 1)
        return outcome

    def _row(self, name: str, cell: Cell, runs: list[Report]) -> Row:
        quiet = [run for run in runs if run["other_load_on_server_cpu"] <= DISTURBED_SHARE]
        if not quiet:
            self.notes.append(
                f"{name}, {cell.label}: other work used the server's CPU in every run"
            )
        runs = quiet or runs
        saturated = sum(map(is_saturated, runs)) * 2 > len(runs)
        if saturated and quiet:
            self._full.add((name, cell.bitrate_bps, cell.burst))
            self.notes.append(f"{name} is full at {cell.label}; larger cells of it are left out")
        return Row(
            peer=name, cell=cell, figures=medians(runs), saturated=saturated, runs=tuple(runs)
        )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", default="edge,janus,mediamtx", help=f"of {', '.join(NAMES)}")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=PUBLISH,PLAY,PID",
        help="a running server",
    )
    parser.add_argument("--cells", help=f"like {','.join(QUICK[:2])}")
    parser.add_argument("--full", action="store_true", help="every cell")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument(
        "--repeats", type=int, default=2, help="rounds kept; one more is run and dropped"
    )
    parser.add_argument(
        "--quiet-s", type=float, default=60.0, help="wait this long for a quiet machine"
    )
    parser.add_argument("--join-rate", type=float, default=100.0)
    parser.add_argument("--audio", action="store_true", help="with an Opus track of 50 packets/s")
    choices.add_arguments(parser)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--no-floor", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS / "fanout")
    return parser.parse_args()


def cells(options: argparse.Namespace) -> list[Cell]:
    """Smallest first, so that a full peer is found before its time is wasted."""
    if options.full:
        return [
            Cell(players=players, bitrate_bps=bitrate, burst=burst)
            for burst, bitrate, players in itertools.product(BURSTS, BITRATES, PLAYERS)
        ]
    return [parse_cell(text) for text in (options.cells.split(",") if options.cells else QUICK)]


def peers(options: argparse.Namespace) -> list[Peer]:
    """Adapters of the command line."""
    adapters = choices.peer_options(options, options.workers)
    names = [name for name in options.peers.split(",") if name]
    if options.libsrtp and "janus" in names and "janus-openssl" not in names:
        names.append("janus-openssl")
    if options.srs and "srs" not in names:
        names.append("srs")
    return [peer(name, adapters) for name in names] + [
        RemotePeer.parse(text) for text in options.peer
    ]


def main() -> None:
    """Run, and write the table, the figures and the plot."""
    options = arguments()
    settings = Settings(
        profile=options.profile,
        seconds=options.seconds,
        join_rate=options.join_rate,
        audio=options.audio,
    )
    load = choices.load_binary(options)
    servers = peers(options)
    fanout = Fanout(load, servers, settings, options.repeats, options.quiet_s)
    rows: list[Row] = []
    floors: dict[str, float] = {}
    for cell in cells(options):
        if not options.no_floor:
            floors.update(lower_bound.measure(cell, settings, fanout.notes))
        rows += fanout.cell(cell)
        report.write(
            options.out,
            provenance=provenance(),
            settings=asdict(settings),
            peers={one.name: one.describe() for one in servers},
            rows=rows,
            floors=floors,
            notes=fanout.notes,
        )
    print(f"written: {options.out}.json, .md, .png")


if __name__ == "__main__":
    main()

"""One measurement: a server, a publisher, players, one window."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import CACHE, ROOT, busy_s, receive_drops
from bench.peers import Peer
from bench.peers.base import SERVER_CPU, ahead

LOAD_CPU = 1
"""CPU of the publisher and of the players."""
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", CACHE / "target"))
PUBLISH_START_S = 1.5
"""Time for the publisher to connect before players ask for the stream."""

QUIET_PROBE_S = 1.0
QUIET_SHARE = 0.1
"""CPUs in use by others, of two, below which the machine counts as quiet."""

Report = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One point of the table."""

    players: int
    bitrate_bps: int
    burst: str
    """`frame` (whole frames back to back) or `spaced` (packets evenly over the frame's time)."""

    @property
    def label(self) -> str:
        """As in the table."""
        return f"{self.players} x {self.bitrate_bps / 1e6:g} Mbit/s, {self.burst}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What all runs of a benchmark share."""

    profile: str = "gcm128"
    seconds: float = 5.0
    join_rate: float = 100.0
    sample: int = 20
    audio: bool = False
    data_channel: bool = False


def build(crate: str, binary: str) -> Path:
    """The release binary of a crate under `bench/`, built when it is out of date."""
    command = [
        "cargo",
        "build",
        "--release",
        "--locked",
        "--manifest-path",
        str(ROOT / "bench" / crate / "Cargo.toml"),
    ]
    subprocess.run(command, check=True, env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)})
    return TARGET / "release" / binary


@contextmanager
def publishing(
    load: Path,
    peer: Peer,
    cell: Cell,
    settings: Settings,
    seconds: float,
    start_s: float = PUBLISH_START_S,
) -> Iterator[subprocess.Popen[bytes]]:
    """A publisher for at most `seconds`; ended on leaving."""
    command = [*ahead(), str(load), "publish", *peer.publish_arguments(), "--json", "--fifo"]
    command += [
        "--bitrate",
        str(cell.bitrate_bps),
        "--burst",
        cell.burst,
        "--seconds",
        str(seconds),
    ]
    command += ["--profile", peer.profile(settings.profile), "--cpu", str(LOAD_CPU)]
    command += ["--audio"] if settings.audio else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        time.sleep(start_s)
        if process.poll() is not None:
            raise RuntimeError(f"{peer.name}: the publisher did not connect")
        yield process
    finally:
        process.terminate()
        process.wait()


def play_command(
    load: Path, peer: Peer, players: int, settings: Settings, extra: Sequence[str] = ()
) -> list[str]:
    """`load play` against this server."""
    command = [
        *ahead(),
        str(load),
        "play",
        *peer.play_arguments(),
        "--json",
        "--pid",
        str(peer.pid),
    ]
    command += [
        "--players",
        str(players),
        "--seconds",
        str(settings.seconds),
        "--rate",
        str(settings.join_rate),
    ]
    command += [
        "--profile",
        peer.profile(settings.profile),
        "--cpu",
        str(LOAD_CPU),
        "--sample",
        str(settings.sample),
    ]
    command += ["--audio"] if settings.audio else []
    command += ["--data-channel"] if settings.data_channel else []
    return [*command, *extra]


def play(
    load: Path, peer: Peer, players: int, settings: Settings, extra: Sequence[str] = ()
) -> Report:
    """Run `load play` to its end. Raises RuntimeError when it fails."""
    command = play_command(load, peer, players, settings, extra)
    outcome = subprocess.run(command, capture_output=True, check=False)
    if outcome.returncode != 0:
        raise RuntimeError(f"{peer.name}: {outcome.stderr.decode()[-2000:]}")
    report: Report = json.loads(outcome.stdout)
    return report


def await_quiet(longest_s: float) -> None:
    """Wait until nobody else uses much of the two CPUs, or until the time is up."""
    deadline = time.monotonic() + longest_s
    while time.monotonic() < deadline:
        before = busy_s(SERVER_CPU) + busy_s(LOAD_CPU)
        time.sleep(QUIET_PROBE_S)
        if (busy_s(SERVER_CPU) + busy_s(LOAD_CPU) - before) / QUIET_PROBE_S < QUIET_SHARE:
            return


def measure(load: Path, peer: Peer, cell: Cell, settings: Settings) -> Report:
    """Start the server, measure one cell, stop the server."""
    peer.start()
    try:
        longest = PUBLISH_START_S + cell.players / settings.join_rate + settings.seconds + 90
        with publishing(load, peer, cell, settings, longest):
            drops, busy, began = receive_drops(), busy_s(SERVER_CPU), time.monotonic()
            server = _cpu_s(peer.pid)
            report = play(load, peer, cell.players, settings, ["--join-timeout", "60"])
            elapsed = time.monotonic() - began
            report["receive_drops"] = receive_drops() - drops
            others = busy_s(SERVER_CPU) - busy - (_cpu_s(peer.pid) - server)
            report["other_load_on_server_cpu"] = max(0.0, others / elapsed)
    finally:
        peer.stop()
    return report


def _cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

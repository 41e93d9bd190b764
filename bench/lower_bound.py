"""The same crypto and the same sends without a gateway (`bench/floor`)."""

from __future__ import annotations

import json
import subprocess

from bench.machine import ROOT
from bench.peers.base import SERVER_CPU
from bench.runner import LOAD_CPU, Cell, Settings, build


def measure(cell: Cell, settings: Settings, notes: list[str]) -> dict[str, float]:
    """CPU ns per packet of this cell by its label; empty, with a note, when it cannot be had."""
    if not (ROOT / "bench" / "floor" / "Cargo.toml").exists():
        notes.append("bench/floor is not there: no floor")
        return {}
    binary = build("floor", "floor")
    command = [
        str(binary),
        "--receivers",
        str(cell.players),
        "--rate-bps",
        str(cell.bitrate_bps),
        "--fps",
        "30",
    ]
    command += [
        "--burst",
        cell.burst,
        "--profile",
        settings.profile,
        "--seconds",
        str(settings.seconds),
    ]
    command += ["--pin-cpu", str(SERVER_CPU), "--reader-cpu", str(LOAD_CPU), "--json"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        report = json.loads(outcome.stdout.strip().splitlines()[-1])
        return {cell.label: float(report["cpu_ns_per_packet"])}
    except (IndexError, KeyError, ValueError):
        notes.append(f"floor, {cell.label}: {outcome.stderr[-500:] or outcome.stdout[-500:]}")
        return {}

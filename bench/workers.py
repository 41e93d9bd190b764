"""One worker against two: what a second one carries.

    python -m bench.workers [--players 400]

With four CPUs or more the server has CPUs 0 and 1 and the load has others. With two, the second worker
shares CPU 1 with publisher and players: the delivered rate is then no measure of the server, and what is
reported is the CPU each packet costs with one and with two workers, from which the capacity follows.
"""

from __future__ import annotations

import argparse
import os
import statistics
from dataclasses import replace

from bench import choices
from bench.machine import write_result
from bench.peers import peer
from bench.runner import Cell, Report, Settings, measure

GOAL = 1.7


def main() -> None:
    """Run and write `bench/results/workers.*`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--players", type=int, default=400)
    parser.add_argument("--bitrate", type=int, default=2_500_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=3)
    choices.add_arguments(parser)
    options = parser.parse_args()
    load = choices.load_binary(options)
    settings = replace(Settings(profile=options.profile), seconds=options.seconds)
    cell = Cell(players=options.players, bitrate_bps=options.bitrate, burst="frame")
    runs: dict[int, list[Report]] = {1: [], 2: []}
    for repeat in range(options.repeats + 1):
        for workers in (1, 2) if repeat % 2 == 0 else (2, 1):
            adapters = choices.peer_options(options, workers, tuple(range(workers)))
            outcome = measure(load, peer("edge", adapters), cell, settings)
            outcome.pop("series")
            if repeat > 0:
                runs[workers].append(outcome)
    lines = [
        "| workers | CPU ns/packet | packets/s delivered | loss | server CPUs used | delay p99 ms |",
        "|" + "---|" * 6,
    ]
    cost = {}
    for workers, outcomes in runs.items():
        cost[workers] = statistics.median(run["server_cpu_ns_per_packet"] for run in outcomes)
        rate, loss, cpu = (
            statistics.median(run[key] for run in outcomes)
            for key in ("packets_per_second", "loss", "server_cpu")
        )
        p99 = statistics.median(run["delay_ms"]["p99"] for run in outcomes)
        lines.append(
            f"| {workers} | {cost[workers]:.0f} | {rate:.0f} | {loss:.4f} | {cpu:.2f} | {p99:.2f} |"
        )
    implied = 2 * cost[1] / cost[2]
    verdict = f"Capacity of two workers implied by CPU per packet: {implied:.2f} x one (goal {GOAL}: {'kept' if implied >= GOAL else '**missed**'})."
    cpus = os.cpu_count() or 1
    limit = (
        f"This machine has {cpus} CPUs: the second worker shares CPU 1 with the load, so the throughput of two workers "
        "**cannot be measured here**; the ratio above is what CPU per packet implies, contention on memory included."
        if cpus < 4
        else "Run `--players` up to where one worker loses packets to see the delivered rate scale."
    )
    write_result("workers", f"Workers: {cell.label}", [*lines, "", verdict, "", limit], runs)


if __name__ == "__main__":
    main()

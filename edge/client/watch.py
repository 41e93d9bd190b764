"""``edge watch``: a headless player that says how well playing went."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from edge.client.arguments import positive
from edge.client.expect import Expectation, parse_expectations
from edge.client.failure import ClientError
from edge.client.probe import Probe, ProbeOptions
from edge.client.report import WatchResult, known_names, table
from edge.client.signalling import checked_url

DEFAULT_DURATION_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    Declare the arguments of ``edge watch``.
    """
    parser.add_argument(
        "url", metavar="URL", help="WHEP endpoint, such as http://HOST:8080/whep/STREAM"
    )
    parser.add_argument(
        "--duration", type=positive, default=DEFAULT_DURATION_S, metavar="S", help="default 10"
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("--token", help="bearer token with the watch scope")
    parser.add_argument(
        "--expect", default="", metavar="LIMITS", help="such as fps>=25,freezes<=0,join_ms<=500"
    )
    parser.add_argument(
        "--decode",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="decode pictures, or only count complete frames",
    )
    parser.add_argument(
        "--clock", action="store_true", help="measure delay by the clock in the test card"
    )
    parser.add_argument(
        "--data-channel", action="store_true", help="open a data channel and time a ping"
    )


def run(args: argparse.Namespace) -> int:
    """
    Watch, print what was measured, and return 0 if every expectation was met and pictures came.
    """
    try:
        limits = parse_expectations(args.expect, known_names()) if args.expect else []
        options = ProbeOptions(
            url=checked_url(args.url),
            token=args.token,
            duration_s=args.duration,
            decode=args.decode,
            clock=args.clock,
            data_channel=args.data_channel,
        )
        result = asyncio.run(_probe(options))
    except ClientError as error:
        print(f"edge watch: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    failures = _failures(result, limits)
    if args.json:
        print(json.dumps({**result.values(), "failures": failures}))
    else:
        print(table(result))
        for failure in failures:
            print(f"{'NOT MET':13}{failure}")
    return 1 if failures else 0


def _failures(result: WatchResult, limits: list[Expectation]) -> list[str]:
    values = result.values()
    failures = [text for limit in limits if (text := limit.failure(values)) is not None]
    if not result.frames:
        failures.insert(0, "no complete picture came")
    if result.ended not in ("duration", "signal"):
        failures.insert(0, f"session lost: {result.ended}")
    return failures


async def _probe(options: ProbeOptions) -> WatchResult:
    return await Probe(options).run()

"""`edge serve|push|watch|check-host|token`: parses arguments, starts the command."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "serve": ("edge.server.serve", "run the gateway"),
    "push": ("edge.client.push", "publish a file, device, RTMP or RTSP source with WHIP"),
    "watch": ("edge.client.watch", "play a stream with WHEP without a screen, and measure it"),
    "check-host": ("edge.server.host", "say whether this node is tuned for UDP media"),
    "token": ("edge.server.mint", "make keys and tokens for development"),
}
"""Command to the module that has `add_arguments(parser)` and `run(args) -> int`, and its summary."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; only its own module is imported, so that every command starts fast."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="edge", description="WHIP/WHEP edge gateway for live tables."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = next((word for word in words if word in COMMANDS), None)
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name == chosen:
            importlib.import_module(module).add_arguments(command)
    args = parser.parse_args(words)
    return int(importlib.import_module(COMMANDS[args.command][0]).run(args))


if __name__ == "__main__":
    sys.exit(main())

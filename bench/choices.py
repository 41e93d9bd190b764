"""Command line options that several benchmarks share."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.machine import CACHE
from bench.peers import PeerOptions
from bench.runner import build


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the programs are and how the media is protected."""
    parser.add_argument(
        "--edge", help="command of the edge up to `serve`; default: this interpreter's"
    )
    parser.add_argument("--load", type=Path, help="the load binary; built when absent")
    parser.add_argument("--profile", default="gcm128", choices=("gcm128", "gcm256", "cm80"))
    parser.add_argument("--libsrtp", type=Path, help="OpenSSL-built libsrtp2 for janus-openssl")
    parser.add_argument(
        "--mediamtx", type=Path, help="a MediaMTX binary; default: built as a Go module"
    )
    parser.add_argument("--srs", type=Path, help="an SRS binary")


def peer_options(
    options: argparse.Namespace, workers: int = 1, cpus: tuple[int, ...] = (0,)
) -> PeerOptions:
    """For the adapters."""
    return PeerOptions(
        cache=CACHE / "bin",
        edge_command=tuple(options.edge.split()) if options.edge else (),
        workers=workers,
        cpus=cpus,
        libsrtp=options.libsrtp,
        mediamtx=options.mediamtx,
        srs=options.srs,
    )


def load_binary(options: argparse.Namespace) -> Path:
    """The one given, or the one built."""
    given: Path | None = options.load
    return given or build("load", "load")

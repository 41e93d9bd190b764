"""Types of command line arguments that both commands use."""

from __future__ import annotations

import argparse
import re


def bitrate(text: str) -> int:
    """
    Bits per second from a number with an optional k or M.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", text)
    factor = {"": 1, "k": 1000, "m": 1_000_000}
    value = int(float(match[1]) * factor[match[2].lower()]) if match else 0
    if value < 10_000:
        raise argparse.ArgumentTypeError(f"not a bit rate of at least 10k: {text!r}")
    return value


def positive(text: str) -> float:
    """
    A number above zero.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"not a positive number: {text!r}")
    return value


def size(text: str) -> tuple[int, int]:
    """
    Width and height in multiples of 8, so that the smaller layers come out even.
    """
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    if not match or int(match[1]) % 8 or int(match[2]) % 8:
        raise argparse.ArgumentTypeError(f"not WIDTHxHEIGHT in multiples of 8: {text!r}")
    return int(match[1]), int(match[2])

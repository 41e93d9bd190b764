"""
Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).

Times on the wire: a reference in 64 ms units, then a delta of 250 us per received packet.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

REFERENCE_S = 0.064
DELTA_S = 0.00025

MAX_BOUNDARY_LOSS = 500
"""A longer hole before a report is a restart of the numbers, not loss."""

_ABSENT, _SMALL, _LARGE = 0, 1, 2
_VECTOR_SYMBOLS = 7
"""Two-bit symbols in one status vector chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """Which of a run of packets arrived, and when."""

    base: int
    """Transport-wide number of the first packet spoken of (16 bits)."""
    count: int
    reference: int
    """Reference time in 64 ms units (24 bits, signed)."""
    number: int
    """Feedback packet count (8 bits)."""
    deltas: tuple[int | None, ...]
    """Per packet ``None`` if it did not arrive, else 250 us units since the one before."""

    def __bytes__(self) -> bytes:
        head = struct.pack(
            "!HHI", self.base, self.count, ((self.reference & 0xFFFFFF) << 8) | self.number & 0xFF
        )
        symbols = [_symbol(delta) for delta in self.deltas]
        chunks = b"".join(
            _vector(symbols[at : at + _VECTOR_SYMBOLS])
            for at in range(0, len(symbols), _VECTOR_SYMBOLS)
        )
        return head + chunks + b"".join(map(_pack_delta, self.deltas))

    def arrivals(self) -> dict[int, float]:
        """
        Arrival in the receiver's seconds by transport-wide number, received packets only.
        """
        found = {}
        now = self.reference * REFERENCE_S
        for index, delta in enumerate(self.deltas):
            if delta is not None:
                now += delta * DELTA_S
                found[(self.base + index) & 0xFFFF] = now
        return found


def build(
    arrivals: Mapping[int, float], number: int, expected_from: int | None = None
) -> Feedback | None:
    """
    Feedback for arrivals (monotonic seconds) keyed by extended transport-wide number.

    ``expected_from`` is the first number not reported yet, so that packets lost between two reports
    are reported too. Returns ``None`` for no arrivals; a delta that does not fit its 16 bits ends
    the packet early.
    """
    if not arrivals:
        return None
    earliest = min(arrivals)
    reference = int(arrivals[earliest] // REFERENCE_S)
    first = earliest
    if expected_from is not None and 0 < earliest - expected_from <= MAX_BOUNDARY_LOSS:
        first = expected_from
    previous = round(reference * REFERENCE_S / DELTA_S)
    deltas: list[int | None] = []
    for sequence in range(first, max(arrivals) + 1):
        arrival = arrivals.get(sequence)
        if arrival is None:
            deltas.append(None)
            continue
        ticks = round(arrival / DELTA_S)
        if not -0x8000 <= ticks - previous <= 0x7FFF:
            break
        deltas.append(ticks - previous)
        previous = ticks
    return Feedback(
        base=first & 0xFFFF,
        count=len(deltas),
        reference=reference,
        number=number & 0xFF,
        deltas=tuple(deltas),
    )


def parse(body: bytes) -> Feedback:
    """
    Parse what follows the two SSRCs of a feedback packet; raises `ValueError` if it is cut.
    """
    if len(body) < 8:
        raise ValueError("transport feedback is cut")
    base, count, word = struct.unpack_from("!HHI", body)
    symbols, at = _parse_chunks(body, count)
    deltas: list[int | None] = []
    for symbol in symbols:
        size = {_SMALL: 1, _LARGE: 2}.get(symbol, 0)
        if at + size > len(body):
            raise ValueError("transport feedback deltas are cut")
        raw = body[at : at + size]
        deltas.append(int.from_bytes(raw, "big", signed=size == 2) if size else None)
        at += size
    reference = word >> 8
    return Feedback(
        base=base,
        count=count,
        reference=reference - (1 << 24) if reference & 0x800000 else reference,
        number=word & 0xFF,
        deltas=tuple(deltas),
    )


def _parse_chunks(body: bytes, count: int) -> tuple[list[int], int]:
    symbols: list[int] = []
    at = 8
    while len(symbols) < count:
        if at + 2 > len(body):
            raise ValueError("transport feedback chunks are cut")
        (chunk,) = struct.unpack_from("!H", body, at)
        at += 2
        if not chunk & 0x8000:
            symbols += [chunk >> 13 & 3] * min(chunk & 0x1FFF, count - len(symbols))
            if not chunk & 0x1FFF:
                raise ValueError("transport feedback has an empty run")
        elif chunk & 0x4000:
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        else:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
    return symbols[:count], at


def _symbol(delta: int | None) -> int:
    if delta is None:
        return _ABSENT
    return _SMALL if 0 <= delta <= 0xFF else _LARGE


def _vector(symbols: list[int]) -> bytes:
    chunk = 0xC000
    for index, symbol in enumerate(symbols):
        chunk |= symbol << (12 - 2 * index)
    return struct.pack("!H", chunk)


def _pack_delta(delta: int | None) -> bytes:
    if delta is None:
        return b""
    return struct.pack("!B", delta) if 0 <= delta <= 0xFF else struct.pack("!h", delta)

"""One direction of a bad network: decides what happens to each datagram, and does nothing.

Given the same seed and the same datagrams at the same times, the decisions are the same. Every
datagram draws the same number of random values, so that changing one condition does not shift the
others.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

HEADER_BYTES = 28
"""IPv4 and UDP headers, which a rate limit counts too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a direction does to datagrams; the default does nothing to them."""

    loss: float = 0.0
    """Probability that a datagram is lost (Bernoulli), outside bursts."""
    burst_start: float = 0.0
    """Probability per datagram that a burst of loss begins (Gilbert)."""
    burst_end: float = 0.5
    """Probability per datagram that the burst is over; its mean length is the inverse."""
    delay_s: float = 0.0
    """Added to every datagram."""
    jitter_s: float = 0.0
    """Largest further delay, evenly distributed; it does not change the order."""
    reorder: float = 0.0
    """Probability that a datagram is held back by `reorder_s`, and overtaken."""
    reorder_s: float = 0.02
    """How long a datagram is held back."""
    duplicate: float = 0.0
    """Probability that a datagram comes twice."""
    rate_bps: float | None = None
    """Bits per second that leave the queue, headers included."""
    queue_s: float = 0.3
    """Longest time in the queue of a rate limit; what would wait longer is dropped."""


class Link:
    """One direction of one flow. `admit` says when each datagram comes out."""

    def __init__(self, conditions: Conditions, seed: int | str) -> None:
        self.conditions = conditions
        self.lost = 0
        """Datagrams lost at random."""
        self.overflowed = 0
        """Datagrams dropped because the queue was full."""
        self._random = random.Random(seed)
        self._in_burst = False
        self._free_at = 0.0
        self._last_out = 0.0

    def admit(self, size: int, now: float) -> tuple[float, ...]:
        """Times at which a datagram of `size` bytes comes out: none, one or two of them."""
        conditions = self.conditions
        burst, loss, jitter, reorder, duplicate = (self._random.random() for _ in range(5))
        self._in_burst = (
            burst >= conditions.burst_end if self._in_burst else burst < conditions.burst_start
        )
        if self._in_burst or loss < conditions.loss:
            self.lost += 1
            return ()
        departure = self._departure(size, now)
        if departure is None:
            self.overflowed += 1
            return ()
        out = departure + conditions.delay_s + jitter * conditions.jitter_s
        if reorder < conditions.reorder:
            out += conditions.reorder_s
        else:
            out = self._last_out = max(out, self._last_out)
        return (out, out) if duplicate < conditions.duplicate else (out,)

    def _departure(self, size: int, now: float) -> float | None:
        conditions = self.conditions
        if conditions.rate_bps is None:
            return now
        start = max(now, self._free_at)
        if start - now > conditions.queue_s:
            return None
        self._free_at = start + (size + HEADER_BYTES) * 8 / conditions.rate_bps
        return self._free_at

"""A token bucket per address against guessing and flooding without a valid token."""

from __future__ import annotations

from collections import OrderedDict

MAX_ADDRESSES = 10_000
"""Addresses remembered; the one seen longest ago is forgotten first."""


class AddressLimiter:
    """Counts failures per address: `rate` per second, `burst` at once."""

    def __init__(self, *, rate_per_s: float, burst: int) -> None:
        self._rate = rate_per_s
        self._burst = float(burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str, now: float) -> bool:
        """Spend one; False when the address has none left."""
        level, since = self._buckets.pop(address, (self._burst, now))
        level = min(self._burst, level + (now - since) * self._rate)
        allowed = level >= 1
        self._buckets[address] = (level - 1 if allowed else level, now)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return allowed

    def retry_after_s(self) -> int:
        """When the next try makes sense, in whole seconds."""
        return max(1, round(1 / self._rate))

"""The token bucket per address."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.server import limits
from edge.server.limits import AddressLimiter


def test_a_burst_then_the_rate() -> None:
    limiter = AddressLimiter(rate_per_s=2, burst=3)
    assert [limiter.take("a", 0) for _ in range(4)] == [True, True, True, False]
    assert limiter.take("b", 0)
    assert [limiter.take("a", 0.5), limiter.take("a", 0.5)] == [True, False]
    assert [limiter.take("a", 100) for _ in range(4)] == [True, True, True, False]
    assert limiter.retry_after_s() == 1


def test_memory_is_bounded() -> None:
    limiter = AddressLimiter(rate_per_s=1, burst=1)
    for number in range(limits.MAX_ADDRESSES + 10):
        limiter.take(str(number), 0)
    assert len(limiter) == limits.MAX_ADDRESSES
    # The one seen longest ago was forgotten, and so has a whole bucket again.
    assert limiter.take("0", 0)


@given(st.lists(st.floats(0, 2), max_size=60))
def test_never_more_than_burst_and_rate_allow(gaps: list[float]) -> None:
    limiter = AddressLimiter(rate_per_s=3, burst=5)
    now = 0.0
    taken = 0
    for gap in gaps:
        now += gap
        taken += limiter.take("a", now)
    assert taken <= 5 + 3 * now + 1e-6

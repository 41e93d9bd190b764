"""Freezes by the WebRTC definition."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.client.freezes import FreezeDetector

pytestmark = pytest.mark.timeout(30)


def _detector(gaps: list[float]) -> FreezeDetector:
    detector = FreezeDetector()
    for moment in accumulate([10.0, *gaps]):
        detector.frame(moment)
    return detector


@pytest.mark.parametrize(
    ("gaps", "freezes"),
    [
        ([1 / 30] * 100, 0),
        ([1 / 30] * 50 + [0.17] + [1 / 30] * 50, 0),  # 5 x mean, but not 150 ms more
        ([1 / 30] * 50 + [0.19] + [1 / 30] * 50, 1),
        ([0.2] * 20 + [0.5] + [0.2] * 20, 0),  # 300 ms more, but not 3 x mean
        ([0.2] * 20 + [0.61] + [0.2] * 20, 1),
        ([5.0], 0),  # the first gap has nothing to be compared with
        ([], 0),
    ],
)
def test_freezes_are_counted(gaps: list[float], freezes: int) -> None:
    assert _detector(gaps).freezes == freezes


def test_picture_that_stands_at_the_end_is_a_freeze() -> None:
    detector = _detector([1 / 30] * 60)
    assert detector.end(10 + 2 + 0.05) is False
    assert detector.end(10 + 2 + 1.0) is True
    assert detector.freezes == 1
    assert detector.freeze_s == pytest.approx(1.0)
    assert detector.longest_gap_s == pytest.approx(1.0)


@given(st.lists(st.floats(0, 0.149), max_size=60))
def test_gaps_below_150_ms_are_never_freezes(gaps: list[float]) -> None:
    assert _detector(gaps).freezes == 0

"""``--expect``: what is understood, what is refused by name, and what is not met."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.client.expect import parse_expectations
from edge.client.failure import ClientError
from edge.client.report import known_names

pytestmark = pytest.mark.timeout(30)


@pytest.mark.parametrize(
    ("text", "values", "failures"),
    [
        ("fps>=25", {"fps": 25}, []),
        ("fps>=25", {"fps": 24.9}, ["fps>=25: measured 24.9"]),
        ("fps >= 25 , freezes<=0", {"fps": 30, "freezes": 1}, ["freezes<=0: measured 1"]),
        ("join_ms<500", {"join_ms": None}, ["join_ms<500: not measured"]),
        ("join_ms>1.5,fps==3,fps=3", {"join_ms": 2, "fps": 3}, []),
        ("delay_ms>-5", {"delay_ms": -6}, ["delay_ms>-5: measured -6"]),
    ],
)
def test_limits(text: str, values: dict[str, object], failures: list[str]) -> None:
    limits = parse_expectations(text, known_names())
    assert [f for limit in limits if (f := limit.failure(values))] == failures


def test_every_bad_term_and_the_known_names_are_named() -> None:
    with pytest.raises(ClientError) as caught:
        parse_expectations("fps>>3,join_ms<=500,nonsense>1,,url==1", known_names())
    message = str(caught.value)
    for part in ("'fps>>3'", "'nonsense>1'", "'(empty)'", "'url==1'", "loss_after_percent"):
        assert part in message
    assert "'join_ms<=500'" not in message


@given(st.text(max_size=40))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        limits = parse_expectations(text, known_names())
    except ClientError:
        return
    assert limits

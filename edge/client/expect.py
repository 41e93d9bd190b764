"""Limits for ``edge watch --expect``: ``fps>=25,freezes<=0,join_ms<=500``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from edge.client.failure import ClientError

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}

_TERM = re.compile(r"\s*([a-z_]+)\s*(>=|<=|==|=|>|<)\s*(-?\d+(?:\.\d+)?)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One limit on one measured value."""

    name: str
    comparison: str
    limit: float

    def __str__(self) -> str:
        return f"{self.name}{self.comparison}{self.limit:g}"

    def failure(self, values: Mapping[str, object]) -> str | None:
        """
        Why the limit is not met, or ``None``; what was not measured does not meet any limit.
        """
        value = values.get(self.name)
        if not isinstance(value, int | float):
            return f"{self}: not measured"
        if _OPERATORS[self.comparison](value, self.limit):
            return None
        return f"{self}: measured {value:g}"


def parse_expectations(text: str, known: Collection[str]) -> list[Expectation]:
    """
    Parse a comma-separated list; raises `ClientError` naming every bad term and the known names.
    """
    found, bad = [], []
    for term in text.split(","):
        match = _TERM.fullmatch(term)
        if match is None or match[1] not in known:
            bad.append(term.strip() or "(empty)")
        else:
            found.append(Expectation(name=match[1], comparison=match[2], limit=float(match[3])))
    if bad:
        raise ClientError(
            f"cannot use {', '.join(map(repr, bad))} in --expect: want NAME>=NUMBER"
            f" (or <=, <, >, ==) with NAME one of {', '.join(sorted(known))}"
        )
    return found

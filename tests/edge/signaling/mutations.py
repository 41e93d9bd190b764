"""Recorded descriptions with damage: lines dropped, doubled, replaced, or edited inside."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

RECORDINGS = sorted((Path(__file__).parents[2] / "vectors" / "sdp").glob("*.sdp"))
_TEXTS = [path.read_bytes().decode() for path in RECORDINGS]

KNOWN_LINES = st.sampled_from(
    sorted({line for text in _TEXTS for line in text.split("\r\n") if line})
)
"""Any line of any recording."""


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A recording with one to six changes."""
    lines = draw(st.sampled_from(_TEXTS)).split("\r\n")
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        lines[at : at + 1] = _changed(draw, lines[at])
        lines = lines or [""]
    return "\r\n".join(lines)


def _changed(draw: st.DrawFn, line: str) -> list[str]:
    match draw(st.sampled_from(("drop", "double", "insert", "replace", "edit"))):
        case "drop":
            return []
        case "double":
            return [line, line]
        case "insert":
            return [line, draw(KNOWN_LINES)]
        case "replace":
            return [draw(KNOWN_LINES)]
        case _:
            at = draw(st.integers(0, len(line)))
            cut = draw(st.integers(0, 3))
            return [line[:at] + draw(st.text(max_size=4)) + line[at + cut :]]

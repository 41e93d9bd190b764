"""Trace contexts, and what a log line holds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.server.log import TraceContext

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_trace_is_joined_with_a_span_of_our_own() -> None:
    context = TraceContext.of(f"00-{TRACE}-{SPAN}-00")
    assert context.trace_id == TRACE
    assert context.span_id != SPAN
    assert context.traceparent == f"00-{TRACE}-{context.span_id}-00"


def test_a_later_version_is_joined_too() -> None:
    assert TraceContext.of(f"cc-{TRACE}-{SPAN}-01-more").trace_id == TRACE


@pytest.mark.parametrize(
    "header",
    [
        None, "", "x", f"00-{TRACE}-{SPAN}", f"ff-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{SPAN}-01",
    ],
)  # fmt: skip
def test_anything_else_starts_a_trace(header: str | None) -> None:
    context = TraceContext.of(header)
    assert context.trace_id != TRACE
    assert len(context.traceparent) == 55


@given(st.text())
def test_any_header_gives_a_context(header: str) -> None:
    """Invariant: a valid traceparent comes back."""
    assert len(TraceContext.of(header).traceparent) == 55


SCRIPT = """
import logging, structlog
from edge.config import LogConfig
from edge.server.log import configure
configure(LogConfig(format={format!r}, level="info"))
log = structlog.get_logger().bind(stream="t1")
log.debug("not_written")
log.info("session_moved", to="answered")
logging.getLogger("somebody").warning("a library says %s", "so")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("request_failed")
"""


def written(form: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(format=form)],
        check=True, capture_output=True, text=True, timeout=30,
    ).stderr  # fmt: skip


def test_json_lines() -> None:
    moved, library, failed = (json.loads(line) for line in written("json").splitlines())
    assert (moved["event"], moved["stream"], moved["level"]) == ("session_moved", "t1", "info")
    assert moved["timestamp"].endswith("Z")
    assert (library["event"], library["level"]) == ("a library says so", "warning")
    assert "ZeroDivisionError" in failed["exception"]


def test_console_lines() -> None:
    text = written("console")
    assert "session_moved" in text and "ZeroDivisionError" in text and "not_written" not in text

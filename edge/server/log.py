"""Structured logs on standard error, and the W3C trace context that joins them to a request."""

from __future__ import annotations

import logging
import re
import secrets
import sys
from dataclasses import dataclass

import structlog

from edge.config import LogConfig

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_TRACEPARENT = re.compile(r"^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$")


def configure(config: LogConfig) -> None:
    """Set up structlog, and route what libraries log through the standard module to it as well."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *_renderers(config)],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[config.level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_renderers(config),
        ],
    )
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # What a peer does wrong in SCTP is counted by us; aiortc would print a traceback for it.
    logging.getLogger("aiortc").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """The request's place in a trace (W3C Trace Context, section 3.2)."""

    trace_id: str
    span_id: str
    flags: str = "01"

    @classmethod
    def of(cls, header: str | None) -> TraceContext:
        """Join the trace of `header`, or start one where it is absent or invalid."""
        match = _TRACEPARENT.match(header.strip()) if header else None
        span_id = secrets.token_hex(8)
        if match is None or not _valid(match):
            return cls(trace_id=secrets.token_hex(16), span_id=span_id)
        return cls(trace_id=match[2], span_id=span_id, flags=match[4])

    @property
    def traceparent(self) -> str:
        """The header of the answer: same trace, our span."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def _valid(match: re.Match[str]) -> bool:
    version, trace_id, parent_id, rest = match[1], match[2], match[3], match[5]
    if version == "ff" or (version == "00" and rest):
        return False
    return trace_id.strip("0") != "" and parent_id.strip("0") != ""


def _renderers(config: LogConfig) -> list[structlog.typing.Processor]:
    if config.format == "console":
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]

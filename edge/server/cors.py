"""Cross-origin answers: players' pages come from other sites."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from edge.server.problems import TRACE

EXPOSED = "Location, ETag, Link, Retry-After, Accept-Patch, Accept-Post, Allow, traceparent"
METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
HEADERS = "Authorization, Content-Type, If-Match, traceparent, tracestate"
PREFLIGHT_AGE_S = 86_400

Signal = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


def answer_headers(origins: tuple[str, ...]) -> Signal:
    """A response signal that adds CORS and trace headers to every answer, streams included."""

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        # Not which library in which version listens here.
        response.headers["Server"] = "edge"
        trace = request.get(TRACE)
        if trace is not None:
            response.headers["traceparent"] = trace.traceparent
        origin = request.headers.get("Origin")
        if origin is None:
            return
        if "*" in origins:
            response.headers["Access-Control-Allow-Origin"] = "*"
        else:
            response.headers["Vary"] = "Origin"
            if origin not in origins:
                return
            response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = METHODS
            response.headers["Access-Control-Allow-Headers"] = HEADERS
            response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_AGE_S)

    return add

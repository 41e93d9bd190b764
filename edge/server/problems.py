"""The one place where codes become HTTP answers, and requests get their trace."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from aiohttp import web

from edge.errors import ErrorCode, PeerError
from edge.server.log import TraceContext

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TRACE = web.RequestKey("trace", TraceContext)

_HTTP_CODES = {
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    413: ErrorCode.BODY_TOO_LARGE,
}

log = structlog.get_logger()


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn PeerError into its problem document (RFC 9457) and anything else into a 500."""
    trace = TraceContext.of(request.headers.get("traceparent"))
    request[TRACE] = trace
    with structlog.contextvars.bound_contextvars(trace_id=trace.trace_id):
        try:
            return await handler(request)
        except PeerError as error:
            log.info("request_refused", path=request.path, code=error.code, detail=error.detail)
            return problem(error)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            if error.status == 405 and request.method == "OPTIONS":
                # A preflight for any path that exists.
                return web.Response(status=204, headers={"Allow": error.headers["Allow"]})
            return problem(_of_http(error))
        except Exception:
            log.exception("request_failed", path=request.path, method=request.method)
            return problem(PeerError(ErrorCode.INTERNAL_ERROR, "the edge failed; it was logged"))


def problem(error: PeerError) -> web.Response:
    """The problem document of an error, with its extra members and headers."""
    body = {
        "type": f"urn:live-edge:error:{error.code}",
        "title": HTTPStatus(error.code.status).phrase,
        "status": error.code.status,
        "detail": error.detail,
        "code": error.code,
        "retryable": error.code.retryable,
        **error.extra,
    }
    headers = dict(error.headers)
    if error.code.status == 401:
        # RFC 6750, section 3: a refused request without credentials names no error.
        challenge = "" if error.code is ErrorCode.MISSING_TOKEN else ', error="invalid_token"'
        headers.setdefault("WWW-Authenticate", f'Bearer realm="edge"{challenge}')
    headers["Content-Type"] = "application/problem+json"
    return web.Response(status=error.code.status, body=json.dumps(body).encode(), headers=headers)


def _of_http(error: web.HTTPException) -> PeerError:
    code = _HTTP_CODES.get(error.status, ErrorCode.MALFORMED_REQUEST)
    headers = {name: value for name, value in error.headers.items() if name == "Allow"}
    return PeerError(code, error.reason, headers)

"""Who asks: the bearer token of a request, verified, and the limit on those who have none."""

from __future__ import annotations

import time

from aiohttp import web

from edge.errors import ErrorCode, PeerError
from edge.model import StreamId
from edge.server.limits import AddressLimiter
from edge.server.tokens import Verifier
from edge.signaling.grant import Grant, Scope

_UNAUTHENTICATED = (ErrorCode.MISSING_TOKEN, ErrorCode.INVALID_TOKEN, ErrorCode.EXPIRED_TOKEN)


class Access:
    """Turns requests into grants."""

    def __init__(self, verifier: Verifier, limiter: AddressLimiter) -> None:
        self._verifier = verifier
        self._limiter = limiter

    async def require(
        self, request: web.Request, scope: Scope, stream: StreamId | None = None
    ) -> Grant:
        """The request's grant, if it covers scope and stream. Raises PeerError."""
        try:
            grant = await self._verifier.verify(bearer_token(request))
        except PeerError as error:
            if error.code in _UNAUTHENTICATED:
                self._count_failure(request)
            raise
        grant.require(scope, stream)
        return grant

    async def check_resource(self, request: web.Request, scope: Scope, stream: StreamId) -> None:
        """Guard a session resource: its unguessable URL is the permission, but a token that is
        sent must be good for it. EventSource and keep-alive beacons cannot send one."""
        if "Authorization" in request.headers:
            await self.require(request, scope, stream)

    def unknown_resource(self, request: web.Request, error: PeerError) -> PeerError:
        """Count a guess at a session's URL like a bad token."""
        self._count_failure(request)
        return error

    def _count_failure(self, request: web.Request) -> None:
        if not self._verifier.open and not self._limiter.take(
            request.remote or "", time.monotonic()
        ):
            raise PeerError(
                ErrorCode.TOO_MANY_REQUESTS,
                "too many requests without a valid token from this address",
                {"Retry-After": str(self._limiter.retry_after_s())},
            )


def bearer_token(request: web.Request) -> str | None:
    """The token of `Authorization: Bearer`, or of `?token=` where a page cannot set headers."""
    header = request.headers.get("Authorization")
    if header is None:
        return request.query.get("token")
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise PeerError(ErrorCode.INVALID_TOKEN, "Authorization must be of the scheme Bearer")
    return token.strip()

"""What the HTTP handlers need, put together in `app.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from aiohttp import web

from edge.config import EdgeConfig
from edge.errors import ErrorCode, PeerError
from edge.model import Role, StreamId
from edge.server.access import Access
from edge.server.driver import Driver
from edge.server.engine import Engine

Redirect = Callable[[StreamId, Role], str | None]
"""Base URL of the edge that should take a request instead, or None to take it here."""


@dataclass(kw_only=True, eq=False)
class Gateway:
    """The parts of a running edge."""

    config: EdgeConfig
    access: Access
    driver: Driver
    engine: Engine
    redirect: Redirect
    draining: bool = False
    stopped: str | None = None
    """Why the data plane is dead, if it is."""
    untuned: str | None = None
    """What the node lacks, if it lacks something, and the remedy."""

    def admit(self, request: web.Request, stream: StreamId, role: Role) -> None:
        """Send a new session elsewhere, or refuse it while draining. Raises."""
        target = self.redirect(stream, role)
        if target is not None:
            # 307 keeps method and body (RFC 9725, section 4.5).
            raise web.HTTPTemporaryRedirect(target.rstrip("/") + request.path_qs)
        if self.draining:
            raise PeerError(
                ErrorCode.DRAINING,
                "this edge takes no new sessions",
                {"Retry-After": str(self.config.limits.retry_after_s)},
            )


GATEWAY = web.AppKey("gateway", Gateway)


def configured_redirect(targets: dict[str, str]) -> Redirect:
    """Redirect by the patterns of the configuration."""

    def redirect(stream: StreamId, _role: Role) -> str | None:
        return next((url for pattern, url in targets.items() if fnmatchcase(stream, pattern)), None)

    return redirect

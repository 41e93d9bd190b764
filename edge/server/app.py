"""Puts the edge together. The only place where parts meet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import structlog
from aiohttp import web

from edge.config import EdgeConfig
from edge.server import api, pages, whep, whip
from edge.server.access import Access
from edge.server.cors import answer_headers
from edge.server.driver import Driver
from edge.server.engine import Engine, Plane, open_plane
from edge.server.gateway import GATEWAY, Gateway, configured_redirect
from edge.server.limits import AddressLimiter
from edge.server.metrics import EdgeMetrics
from edge.server.problems import answer_problems
from edge.server.tokens import Verifier
from edge.server.transport import Certificate

log = structlog.get_logger()


def build(config: EdgeConfig, plane: Plane | None = None) -> web.Application:
    """The application; its sockets are bound now, its loop is joined when it starts.

    Raises EdgeError `config_invalid`, OSError when a media port is taken.
    """
    verifier = Verifier(config.auth)
    engine = Engine(plane or open_plane(config.data_plane))
    driver = Driver(config, engine, Certificate())
    limiter = AddressLimiter(
        rate_per_s=config.limits.unauthenticated_per_s, burst=config.limits.unauthenticated_burst
    )
    gateway = Gateway(
        config=config,
        access=Access(verifier, limiter),
        driver=driver,
        engine=engine,
        redirect=configured_redirect(config.redirect),
    )
    gateway.untuned = _shortcoming(config, engine)
    app = web.Application(middlewares=[answer_problems], client_max_size=config.http.max_body_bytes)
    app[GATEWAY] = gateway
    app[api.METRICS] = EdgeMetrics(gateway)
    for routes in (whip.routes(), whep.routes(), api.routes(), pages.routes()):
        app.add_routes(routes)
    app.on_response_prepare.append(answer_headers(config.http.cors_origins))

    async def life(_app: web.Application) -> AsyncIterator[None]:
        engine.listen(driver)
        await verifier.start()
        yield
        driver.close()
        # Goodbyes are on their way down; one turn of the loop lets event streams end.
        await asyncio.sleep(0)
        engine.close()

    app.cleanup_ctx.append(life)
    return app


def _shortcoming(config: EdgeConfig, engine: Engine) -> str | None:
    wanted = config.data_plane.receive_buffer_bytes
    granted = min(
        (worker.receive_buffer_bytes for worker in engine.stats().workers), default=wanted
    )
    if granted >= wanted:
        return None
    shortcoming = (
        f"the kernel grants {granted} of {wanted} bytes of receive buffer: "
        f"sysctl -w net.core.rmem_max={wanted}"
    )
    log.warning("node_untuned", detail=shortcoming)
    return shortcoming


def describe(app: web.Application) -> dict[str, Any]:
    """What the log says at the start."""
    gateway = app[GATEWAY]
    return {
        "udp_ports": gateway.engine.ports,
        "addresses": gateway.driver.addresses,
        "workers": len(gateway.engine.ports),
        "region": gateway.config.region,
        "insecure_open": gateway.config.auth.insecure_open,
    }

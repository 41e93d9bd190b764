"""WHIP: studios publish (RFC 9725)."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from edge.model import Role
from edge.server import resources
from edge.server.gateway import GATEWAY
from edge.server.problems import TRACE
from edge.signaling.grant import Scope

ENDPOINT = "/whip/{stream}"
RESOURCE = "/whip/{stream}/{session}"


def routes() -> list[web.RouteDef]:
    """The endpoint and the sessions behind it."""
    return [
        web.post(ENDPOINT, publish),
        web.options(ENDPOINT, resources.options),
        web.patch(RESOURCE, partial(resources.patch, role=Role.PUBLISHER)),
        web.delete(RESOURCE, partial(resources.delete, role=Role.PUBLISHER)),
        web.options(RESOURCE, resources.options_resource),
    ]


async def publish(request: web.Request) -> web.Response:
    """Answer a studio's offer with 201."""
    gateway = request.app[GATEWAY]
    stream = resources.stream_of(request)
    grant = await gateway.access.require(request, Scope.PUBLISH, stream)
    gateway.admit(request, stream, Role.PUBLISHER)
    offer = await resources.offer_of(request)
    record = gateway.driver.publish(stream, offer, grant, request[TRACE].trace_id)
    return resources.created(request, record, [])

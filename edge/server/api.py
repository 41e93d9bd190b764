"""Operations over HTTP: what is there, tiers, draining, probes and metrics."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from edge.errors import ErrorCode, PeerError
from edge.model import Role
from edge.server import resources
from edge.server.gateway import GATEWAY, Gateway
from edge.server.metrics import CONTENT_TYPE, EdgeMetrics
from edge.server.records import LiveStream, SessionRecord
from edge.signaling.grant import Scope
from edge.signaling.session import State

METRICS = web.AppKey("metrics", EdgeMetrics)
TIERS = range(5)


def routes() -> list[web.RouteDef]:
    """Paths of DESIGN section 4 that belong to operations."""
    return [
        web.get("/v1/streams", list_streams),
        web.get("/v1/sessions", list_sessions),
        web.put("/v1/tier", set_tier),
        web.post("/v1/drain", start_drain),
        web.delete("/v1/drain", stop_drain),
        web.get("/healthz", health),
        web.get("/readyz", ready),
        web.get("/metrics", metrics),
    ]


async def list_streams(request: web.Request) -> web.Response:
    """Every stream with its publisher's state, layers, tier and viewers."""
    gateway = await _operator(request)
    gateway.driver.refresh_layers()
    return web.json_response({"streams": [_stream(stream) for stream in gateway.driver.streams]})


async def list_sessions(request: web.Request) -> web.Response:
    """Every session; ids are cut short, because a whole one is the permission to end it."""
    gateway = await _operator(request)
    now = time.monotonic()
    rows = [_session(record, now) for record in gateway.driver.sessions]
    return web.json_response({"sessions": rows})


async def set_tier(request: web.Request) -> web.Response:
    """`{"tier": 0-4, "stream": name}`; without a stream it is for all of them."""
    gateway = await _operator(request)
    body = await resources.json_of(request)
    if not isinstance(body, dict):
        raise PeerError(ErrorCode.MALFORMED_REQUEST, "the body must be an object with tier")
    tier, stream = body.get("tier"), body.get("stream")
    if isinstance(tier, bool) or not isinstance(tier, int) or tier not in TIERS:
        raise PeerError(ErrorCode.MALFORMED_REQUEST, "tier must be a whole number from 0 to 4")
    if stream is not None and not isinstance(stream, str):
        raise PeerError(ErrorCode.MALFORMED_REQUEST, "stream must be a string")
    gateway.driver.set_tier(resources.stream_name(stream) if stream is not None else None, tier)
    return web.json_response({"tier": tier, "stream": stream})


async def start_drain(request: web.Request) -> web.Response:
    """Take no new sessions; with `{"tell_players": true}` ask those inside to join elsewhere."""
    gateway = await _operator(request)
    body = await resources.json_of(request) if request.can_read_body else None
    tell = isinstance(body, dict) and body.get("tell_players") is True
    gateway.draining = True
    if tell:
        gateway.driver.announce_reconnect()
    return _drain_state(gateway)


async def stop_drain(request: web.Request) -> web.Response:
    """Take new sessions again."""
    gateway = await _operator(request)
    gateway.draining = False
    return _drain_state(gateway)


async def health(_request: web.Request) -> web.Response:
    """The process answers: its event loop turns."""
    return web.json_response({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    """Whether new sessions are taken."""
    gateway = request.app[GATEWAY]
    limits = gateway.config.limits
    headers = {"Retry-After": str(limits.retry_after_s)}
    if gateway.draining:
        raise PeerError(ErrorCode.DRAINING, "this edge takes no new sessions", headers)
    if gateway.stopped is not None:
        raise PeerError(ErrorCode.NOT_READY, gateway.stopped, headers)
    if gateway.untuned is not None and gateway.config.node.require_tuned:
        raise PeerError(ErrorCode.NOT_READY, gateway.untuned, headers)
    if len(gateway.driver.sessions) >= limits.max_sessions:
        raise PeerError(ErrorCode.NODE_FULL, "all sessions are taken", headers)
    return web.json_response({"status": "ready"})


async def metrics(request: web.Request) -> web.Response:
    """Prometheus text, computed now."""
    return web.Response(body=request.app[METRICS].expose(), headers={"Content-Type": CONTENT_TYPE})


async def _operator(request: web.Request) -> Gateway:
    gateway = request.app[GATEWAY]
    await gateway.access.require(request, Scope.OPS)
    return gateway


def _drain_state(gateway: Gateway) -> web.Response:
    sessions = len(gateway.driver.sessions)
    return web.json_response({"draining": gateway.draining, "sessions": sessions})


def _stream(stream: LiveStream) -> dict[str, Any]:
    machine = stream.machine
    return {
        "stream": stream.name,
        "state": machine.state.name.lower(),
        "tier": stream.tier,
        "viewers": machine.viewers,
        "tracks": [
            {"kind": track.kind, "codec": track.codec, "fmtp": track.fmtp}
            for track in machine.tracks
        ],
        "layers": [
            {
                "rid": layer.rid,
                "rank": layer.rank,
                "width": layer.width,
                "height": layer.height,
                "bitrate_bps": layer.bitrate_bps,
                "fps": layer.fps,
                "active": layer.active,
                "b_frames": layer.b_frames,
            }
            for layer in machine.layers
        ],
    }


def _session(record: SessionRecord, now: float) -> dict[str, Any]:
    protocol = "whip" if record.role is Role.PUBLISHER else "whep"
    return {
        "session": record.id[:8],
        "stream": record.stream.name,
        "role": record.role,
        "protocol": protocol,
        "state": record.machine.state.name.lower(),
        "connected": record.machine.state is State.CONNECTED,
        "age_s": round(now - record.opened_at, 1),
        "path": record.path,
        "layer": record.layer,
        "subject": record.grant.subject,
        "data_channel": record.transport is not None and record.transport.has_channels,
    }

"""WHEP: players watch (draft-ietf-wish-whep), with layer selection and server-sent events."""

from __future__ import annotations

import asyncio
import math
import secrets
from functools import partial

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import ErrorCode, PeerError
from edge.model import Role
from edge.server import resources
from edge.server.events import ALL, Feed, Notice
from edge.server.gateway import GATEWAY
from edge.server.problems import TRACE
from edge.server.records import SessionRecord
from edge.signaling.grant import Scope

ENDPOINT = "/whep/{stream}"
RESOURCE = "/whep/{stream}/{session}"
LAYER = RESOURCE + "/layer"
EVENTS = RESOURCE + "/events"
FEED = EVENTS + "/{feed}"

MAX_FEEDS = 4
"""Event streams of one session."""

KEEP_ALIVE_S = 15.0
"""A comment this often keeps proxies from closing a silent event stream."""


def routes() -> list[web.RouteDef]:
    """The endpoint, the sessions behind it and their extensions."""
    return [
        web.post(ENDPOINT, subscribe),
        web.options(ENDPOINT, resources.options),
        web.patch(RESOURCE, partial(resources.patch, role=Role.SUBSCRIBER)),
        web.delete(RESOURCE, partial(resources.delete, role=Role.SUBSCRIBER)),
        web.options(RESOURCE, resources.options_resource),
        web.post(LAYER, select_layer),
        web.delete(LAYER, reset_layer),
        web.post(EVENTS, open_feed),
        web.get(EVENTS, read_all_events, allow_head=False),
        web.get(FEED, read_feed, allow_head=False),
        web.delete(FEED, close_feed),
    ]


async def subscribe(request: web.Request) -> web.Response:
    """Answer a player's offer with 201; `?wait=5` waits that long for a publisher."""
    gateway = request.app[GATEWAY]
    name = resources.stream_of(request)
    grant = await gateway.access.require(request, Scope.WATCH, name)
    gateway.admit(request, name, Role.SUBSCRIBER)
    wait_s = _wait(request, gateway.config.streams.wait_max_s)
    offer = await resources.offer_of(request)
    stream = await gateway.driver.wait_for_publisher(name, wait_s)
    gateway.admit(request, name, Role.SUBSCRIBER)
    record = gateway.driver.subscribe(stream, offer, grant, request[TRACE].trace_id)
    return resources.created(request, record, _extension_links(record))


class LayerWish(BaseModel):
    """The body of a layer selection (draft, section 4.9.2). `encodingId` is its older name of rid."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    mediaId: str | None = None
    rid: str | None = None
    encodingId: str | None = None
    spatialLayerId: int | None = Field(default=None, ge=0, le=7)
    temporalLayerId: int | None = Field(default=None, ge=0, le=7)
    maxSpatialLayerId: int | None = Field(default=None, ge=0, le=7)
    maxTemporalLayerId: int | None = Field(default=None, ge=0, le=7)
    maxWidth: int | None = Field(default=None, ge=1)
    maxHeight: int | None = Field(default=None, ge=1)
    paused: bool = False


async def select_layer(request: web.Request) -> web.Response:
    """Send the layer that the player wishes; an empty wish returns the choice to the edge."""
    record = await resources.record_of(request, Role.SUBSCRIBER)
    try:
        wish = LayerWish.model_validate(await resources.json_of(request) or {})
    except ValidationError as error:
        problems = [
            f"{item['loc'][0] if item['loc'] else 'body'}: {item['msg']}" for item in error.errors()
        ]
        raise PeerError(ErrorCode.MALFORMED_REQUEST, "; ".join(problems)) from error
    if wish.mediaId is not None and wish.mediaId != str(record.video_line):
        raise PeerError(ErrorCode.LAYER_NOT_FOUND, f"m-line {wish.mediaId} is not the video's")
    request.app[GATEWAY].engine.select_layer(
        record.worker_handle,
        rid=_known_rid(record, wish.rid or wish.encodingId),
        max_rank=_max_rank(record, wish),
        max_temporal=_least(wish.temporalLayerId, wish.maxTemporalLayerId),
        paused=wish.paused,
    )
    return web.Response(status=200)


async def reset_layer(request: web.Request) -> web.Response:
    """Return the choice of the layer to the edge."""
    record = await resources.record_of(request, Role.SUBSCRIBER)
    request.app[GATEWAY].engine.select_layer(record.worker_handle)
    return web.Response(status=200)


async def open_feed(request: web.Request) -> web.Response:
    """Make an event stream for some event types; 201 with its Location (draft, section 4.9.1)."""
    record = await resources.record_of(request, Role.SUBSCRIBER)
    wanted = _wanted(await resources.json_of(request))
    name = secrets.token_urlsafe(9)
    _watch(request, record, name, Feed(record.video_line, wanted, _queue_size(request)))
    where = f"{resources.location(record)}/events/{name}"
    return web.Response(status=201, headers={"Location": where})


async def read_feed(request: web.Request) -> web.StreamResponse:
    """Read an event stream made by POST."""
    record = await resources.record_of(request, Role.SUBSCRIBER)
    feed = record.feeds.get(request.match_info["feed"])
    if feed is None:
        raise PeerError(ErrorCode.SESSION_NOT_FOUND, "there is no such event stream")
    return await _stream(request, feed)


async def read_all_events(request: web.Request) -> web.StreamResponse:
    """Read every event without a POST before: what EventSource can do by itself."""
    record = await resources.record_of(request, Role.SUBSCRIBER)
    feed = Feed(record.video_line, ALL, _queue_size(request))
    _watch(request, record, secrets.token_urlsafe(9), feed)
    try:
        return await _stream(request, feed)
    finally:
        feed.watcher.close()


async def close_feed(request: web.Request) -> web.Response:
    """Drop an event stream and what waits in it."""
    record = await resources.record_of(request, Role.SUBSCRIBER)
    feed = record.feeds.get(request.match_info["feed"])
    if feed is None:
        raise PeerError(ErrorCode.SESSION_NOT_FOUND, "there is no such event stream")
    feed.watcher.close()
    return web.Response(status=200)


async def _stream(request: web.Request, feed: Feed) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    try:
        await response.prepare(request)
        while True:
            try:
                message = await asyncio.wait_for(feed.next(), KEEP_ALIVE_S)
            except TimeoutError:
                message = ":\n\n"
            if message is None:
                break
            # A reader whose socket stays full for so long is gone.
            await asyncio.wait_for(response.write(message.encode()), KEEP_ALIVE_S)
        await response.write_eof()
    except (ConnectionError, TimeoutError):
        if request.transport is not None:
            request.transport.abort()
    return response


def _watch(request: web.Request, record: SessionRecord, name: str, feed: Feed) -> None:
    if len(record.feeds) >= MAX_FEEDS:
        raise PeerError(
            ErrorCode.TOO_MANY_REQUESTS,
            f"a session has at most {MAX_FEEDS} event streams",
            {"Retry-After": str(request.app[GATEWAY].config.limits.retry_after_s)},
        )
    record.feeds[name] = feed
    request.app[GATEWAY].driver.refresh_layers()

    def closed() -> None:
        record.feeds.pop(name, None)
        feed.end()

    record.watch(name, feed.watcher, closed)


def _queue_size(request: web.Request) -> int:
    return request.app[GATEWAY].config.limits.events_queue


def _wanted(body: object) -> frozenset[Notice]:
    if body is None:
        return ALL
    if not isinstance(body, list) or not all(isinstance(item, str) for item in body):
        raise PeerError(ErrorCode.MALFORMED_REQUEST, "the body must be an array of event types")
    # A player may know types that we never send, such as scte35.
    return frozenset(notice for notice in Notice if notice in body)


def _wait(request: web.Request, longest_s: float) -> float:
    text = request.query.get("wait", "0")
    try:
        wait_s = float(text)
    except ValueError:
        wait_s = math.nan
    if not math.isfinite(wait_s) or wait_s < 0:
        raise PeerError(ErrorCode.MALFORMED_REQUEST, "wait must be a number of seconds")
    return min(wait_s, longest_s)


def _extension_links(record: SessionRecord) -> list[str]:
    where = resources.location(record)
    names = ",".join(Notice)
    return [
        f'<{where}/events>; rel="urn:ietf:params:whep:ext:core:server-sent-events"; events="{names}"',
        f'<{where}/layer>; rel="urn:ietf:params:whep:ext:core:layer"',
    ]


def _known_rid(record: SessionRecord, rid: str | None) -> str | None:
    layers = record.stream.machine.layers
    if rid is not None and layers and all(layer.rid != rid for layer in layers):
        raise PeerError(
            ErrorCode.LAYER_NOT_FOUND,
            f"there is no layer {rid}",
            supported=[layer.rid for layer in layers],
        )
    return rid


def _max_rank(record: SessionRecord, wish: LayerWish) -> int | None:
    """Translate limits of size into a rank: the best layer that fits, or the lowest."""
    limit = _least(wish.spatialLayerId, wish.maxSpatialLayerId)
    if wish.maxWidth is None and wish.maxHeight is None:
        return limit
    fitting = [
        layer.rank
        for layer in record.stream.machine.layers
        if layer.width <= (wish.maxWidth or layer.width)
        and layer.height <= (wish.maxHeight or layer.height)
    ]
    return _least(limit, max(fitting, default=0))


def _least(first: int | None, second: int | None) -> int | None:
    values = [value for value in (first, second) if value is not None]
    return min(values, default=None)

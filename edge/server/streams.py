"""Drives the machines of streams: feeds events, performs effects, keeps their timers."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

import structlog

from edge.config import EdgeConfig
from edge.errors import ErrorCode, PeerError
from edge.model import SessionId, StreamId
from edge.server.engine import Engine
from edge.server.events import Notice
from edge.server.opening import node_full
from edge.server.records import LiveStream
from edge.server.timer import Timer
from edge.sfu import stream as sfu
from edge.signaling.session import CloseReason

REMEASURE_S = 2.0
"""After a change of layers, when their bit rates are meaningful."""

log = structlog.get_logger()


class SessionEnds(Protocol):
    """What streams ask of sessions."""

    def adopt(self, session: SessionId) -> None: ...
    def end(self, session: SessionId, reason: CloseReason) -> None: ...


class Streams:
    """Owns the streams of this node."""

    def __init__(self, config: EdgeConfig, engine: Engine, ends: SessionEnds) -> None:
        self._config = config
        self._engine = engine
        self._ends = ends
        self._by_name: dict[StreamId, LiveStream] = {}
        self._by_number: dict[int, LiveStream] = {}
        self._next_number = 1
        self._adopted = asyncio.Event()

    @property
    def all(self) -> tuple[LiveStream, ...]:
        """Every stream that is known, with or without publisher."""
        return tuple(self._by_name.values())

    def named(self, name: StreamId) -> LiveStream | None:
        """The stream of this name, if it is known."""
        return self._by_name.get(name)

    def numbered(self, number: int) -> LiveStream | None:
        """The stream of the data plane's number."""
        return self._by_number.get(number)

    async def wait_for_publisher(self, name: StreamId, timeout_s: float) -> LiveStream:
        """The stream once it has a publisher. Raises PeerError `stream_not_found` after the timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                while (found := self._published(name)) is None:
                    await self._adopted.wait()
                return found
        except TimeoutError:
            raise self.not_found(name) from None

    def open(self, name: StreamId) -> LiveStream:
        """The stream of this name, made if need be. Raises PeerError `node_full`."""
        if (known := self._by_name.get(name)) is not None:
            return known
        limit = self._config.limits.max_streams
        if len(self._by_name) >= limit:
            raise node_full(self._config, f"all {limit} streams are taken")
        machine = sfu.Stream(grace_s=self._config.streams.reconnect_grace_s, now=time.monotonic())
        stream = LiveStream(name=name, number=self._next_number, machine=machine)
        stream.timer = Timer(lambda: self.feed(stream, sfu.DeadlineReached()))
        stream.timer.set(machine.deadline)
        self._next_number += 1
        self._by_name[name] = self._by_number[stream.number] = stream
        return stream

    def feed(self, stream: LiveStream, event: sfu.Event) -> None:
        """Give the stream's machine an event and do what it says."""
        before = stream.machine.state
        effects = stream.machine.handle(event, time.monotonic())
        after = stream.machine.state
        if after is not before:
            moved = {"to": after.name.lower(), "by": type(event).__name__}
            log.info("stream_moved", stream=stream.name, **moved)
        for effect in effects:
            self._perform(stream, effect)
        if stream.name in self._by_name:
            stream.timer.set(stream.machine.deadline)

    def leave(self, stream: LiveStream, event: sfu.Event) -> None:
        """A session of the stream ended; with its last one it may be forgotten."""
        stream.pending -= 1
        self.feed(stream, event)
        self._drop_if_unused(stream)

    def measure(self, stream: LiveStream, event: sfu.LayersMeasured) -> None:
        """Take measured layers. A new layer has no bit rate yet: once it has one, it is told again."""
        self.feed(stream, event)
        asyncio.get_running_loop().call_later(REMEASURE_S, self.refresh_layers)

    def refresh_layers(self) -> None:
        """Take bit and frame rates of all layers from the data plane's statistics."""
        if not self._by_name:
            return
        try:
            stats = self._engine.stats()
        except ValueError:
            return
        for stream in self.all:
            layers = stats.video_layers(stream.number)
            if layers and stream.machine.publisher is not None:
                self.feed(stream, sfu.LayersMeasured(layers=layers, fmtp=""))

    def set_tier(self, name: StreamId | None, tier: int) -> None:
        """Set the degradation tier of one stream or of all. Raises PeerError `stream_not_found`."""
        if name is None:
            self._engine.set_tier(None, tier)
            for stream in self.all:
                stream.tier = tier
            return
        found = self._by_name.get(name)
        if found is None:
            raise self.not_found(name)
        found.tier = tier
        self._engine.set_tier(found.number, tier)

    def announce(self, notice: Notice) -> None:
        """Tell the players of every stream."""
        for stream in self.all:
            stream.announce(notice)

    def close(self) -> None:
        """Forget everything."""
        for stream in self.all:
            stream.timer.cancel()
        self._by_name.clear()
        self._by_number.clear()

    def not_found(self, name: StreamId) -> PeerError:
        """404, and when to come again."""
        headers = {"Retry-After": str(self._config.streams.retry_after_s)}
        detail = f"the stream {name} has no publisher"
        return PeerError(ErrorCode.STREAM_NOT_FOUND, detail, headers)

    def conflict(self, name: StreamId) -> PeerError:
        """409, and when to come again."""
        headers = {"Retry-After": str(self._config.streams.retry_after_s)}
        detail = f"the stream {name} has a publisher; the token would need take_over"
        return PeerError(ErrorCode.STREAM_CONFLICT, detail, headers)

    def _published(self, name: StreamId) -> LiveStream | None:
        stream = self._by_name.get(name)
        return stream if stream is not None and stream.machine.publisher is not None else None

    def _perform(self, stream: LiveStream, effect: sfu.Effect) -> None:
        match effect:
            case sfu.AdoptPublisher(session=session):
                self._ends.adopt(session)
                # Wakes those who wait now; the event stays unset for those who come later.
                self._adopted.set()
                self._adopted.clear()
            case sfu.EndSession(session=session, why=why):
                self._ends.end(session, CloseReason(why))
            case sfu.Announce(event=event):
                stream.announce(Notice(event))
            case sfu.ForgetStream():
                stream.forgotten = True
                self._drop_if_unused(stream)

    def _drop_if_unused(self, stream: LiveStream) -> None:
        """Forget a stream whose grace is over, or that never got a publisher."""
        never_used = not stream.machine.tracks
        if stream.pending or not (stream.forgotten or never_used):
            return
        if self._by_name.pop(stream.name, None) is not None:
            stream.timer.cancel()
            del self._by_number[stream.number]
            self._engine.remove_stream(stream.number)
            log.info("stream_forgotten", stream=stream.name)

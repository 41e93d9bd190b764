"""What the driver keeps of each session and stream beside its machine."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edge.model import Handle, PublisherSpec, Role, SessionId, StreamId, SubscriberSpec
from edge.server.events import Feed, Notice, Watcher
from edge.server.transport import Transport
from edge.sfu.stream import Stream
from edge.signaling.grant import Grant
from edge.signaling.negotiate import Candidate, Negotiated, Offer
from edge.signaling.session import CloseReason, Session

JOIN_BUCKETS_S = (0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of `edge_join_seconds`; the goal is 0.15."""


class Histogram:
    """Counts per bucket, as Prometheus wants them, without a registry."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        index = next((i for i, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))
        self.counts[index] += 1
        self.total += value


class Counters:
    """What happened since the start, for the metrics."""

    def __init__(self) -> None:
        self.closed: Counter[tuple[Role, CloseReason]] = Counter()
        self.join_seconds = Histogram(JOIN_BUCKETS_S)
        self.messages_ignored = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patched:
    """The answer to a PATCH: 204 without a body, 200 with one."""

    etag: str
    body: str | None


@dataclass(slots=True, kw_only=True, eq=False)
class LiveStream:
    """A stream of this node."""

    name: StreamId
    number: int
    """The data plane's number for it."""
    machine: Stream
    tier: int = 0
    pending: int = 0
    """Sessions of it that are open, connected or not."""
    forgotten: bool = False
    """Its grace is over: it goes with its last session."""
    watchers: set[Watcher] = field(default_factory=set)
    timer: asyncio.TimerHandle | None = None
    deadline: float | None = None

    def announce(self, notice: Notice) -> None:
        """Tell everybody who listens."""
        for watcher in tuple(self.watchers):
            watcher.tell(notice, self.machine)

    def disarm(self) -> None:
        """Stop the timer."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.deadline = None


@dataclass(slots=True, kw_only=True, eq=False)
class SessionRecord:
    """A session of this node."""

    id: SessionId
    role: Role
    stream: LiveStream
    grant: Grant
    offer: Offer
    opened_at: float
    """Monotonic seconds at the POST."""
    machine: Session
    log: Any
    """Bound to stream, session and trace."""
    handle: Handle | None = None
    """Set once a worker took the session."""
    etag: str = ""
    candidates: tuple[Candidate, ...] = ()
    transport: Transport | None = None
    path: tuple[str, str] | None = None
    layer: str | None = None
    watchers: dict[str, Watcher] = field(default_factory=dict)
    """Who listens on behalf of this session, by an id."""
    feeds: dict[str, Feed] = field(default_factory=dict)
    """Those of them that are read over HTTP."""
    timer: asyncio.TimerHandle | None = None
    deadline: float | None = None
    _negotiated: Negotiated[Any] | None = None

    @property
    def negotiated(self) -> Negotiated[Any]:
        """The answer and what follows from it, once there is one."""
        assert self._negotiated is not None
        return self._negotiated

    @negotiated.setter
    def negotiated(self, value: Negotiated[Any]) -> None:
        self._negotiated = value

    @property
    def publisher_spec(self) -> PublisherSpec:
        """For the data plane."""
        assert isinstance(self.negotiated.spec, PublisherSpec)
        return self.negotiated.spec

    @property
    def subscriber_spec(self) -> SubscriberSpec:
        """For the data plane."""
        assert isinstance(self.negotiated.spec, SubscriberSpec)
        return self.negotiated.spec

    @property
    def worker_handle(self) -> Handle:
        """The handle, where it must be there."""
        assert self.handle is not None
        return self.handle

    @property
    def video_line(self) -> int:
        """Index of the video's m-line in the answer; events and layers are named by it."""
        lines = [line for line in self.negotiated.answer.splitlines() if line.startswith("m=")]
        return next((index for index, line in enumerate(lines) if line.startswith("m=video")), 0)

    def watch(self, name: str, watcher: Watcher, closed: Callable[[], None] = lambda: None) -> None:
        """Let a watcher hear the stream's events until it or the session closes."""

        def forget() -> None:
            self.watchers.pop(name, None)
            self.stream.watchers.discard(watcher)
            closed()

        watcher.when_closed(forget)
        self.watchers[name] = watcher
        self.stream.watchers.add(watcher)
        watcher.greet(self.stream.machine)

    def disarm(self) -> None:
        """Stop the timer."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.deadline = None

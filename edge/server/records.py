"""What the driver keeps of each session and stream beside its machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edge.model import Handle, PublisherSpec, Role, SessionId, StreamId, StreamTrack, SubscriberSpec
from edge.server.events import Feed, Notice, Watcher
from edge.server.timer import Timer
from edge.server.transport import Transport
from edge.sfu.stream import Stream
from edge.signaling.grant import Grant
from edge.signaling.negotiate import Candidate, Offer
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
        self.b_frame_streams = 0


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
    timer: Timer = field(default_factory=lambda: Timer(lambda: None))

    def announce(self, notice: Notice) -> None:
        """Tell everybody who listens."""
        for watcher in tuple(self.watchers):
            watcher.tell(notice, self.machine)


@dataclass(slots=True, kw_only=True, eq=False)
class SessionRecord:
    """A session of this node."""

    id: SessionId
    role: Role
    stream: LiveStream
    grant: Grant
    offer: Offer | None
    """Until it is answered."""
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
    timer: Timer = field(default_factory=lambda: Timer(lambda: None))
    spec: PublisherSpec | SubscriberSpec | None = None
    """What the data plane needs, once there is an answer."""
    tracks: tuple[StreamTrack, ...] = ()
    """Publisher: what the stream carries."""
    video_line: int = 0
    """Index of the video's m-line in the answer; events and layers are named by it."""
    answer: str = ""
    """The answer until it is sent."""

    @property
    def publisher_spec(self) -> PublisherSpec:
        """For the data plane."""
        assert isinstance(self.spec, PublisherSpec)
        return self.spec

    @property
    def subscriber_spec(self) -> SubscriberSpec:
        """For the data plane."""
        assert isinstance(self.spec, SubscriberSpec)
        return self.spec

    @property
    def worker_handle(self) -> Handle:
        """The handle, where it must be there."""
        assert self.handle is not None
        return self.handle

    def take_answer(self) -> str:
        """The answer, to be sent now. A player keeps neither its texts nor the parsed offer."""
        answer, self.answer = self.answer, ""
        return answer

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

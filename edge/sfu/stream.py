"""The life of one stream: who publishes it, who waits for it, what its players are told.

Rules:

- VACANT has no publisher, HELD has one that is connected but has sent nothing yet, LIVE has media,
  IDLE has a publisher whose media stopped.
- A publisher that is HELD or LIVE blocks another, unless that one may take over. One that is IDLE
  does not: a studio whose program died must get back in before its old consent has lapsed.
- Sessions that are still connecting hold nothing. When two connect at once, the first wins and the
  second is ended, unless it may take over.
- The stream outlives its publisher by the grace time, with its players. If the next publisher
  sends other codecs than the players agreed to, they are told to reconnect and are ended.
- The count of viewers is told once a second at most: with N players it is N messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from edge.model import CodecName, Kind, Layer, SessionId, StreamTrack

COUNT_INTERVAL_S = 1.0
"""Shortest time between two viewer counts."""


class State(Enum):
    """What a stream's publisher is doing."""

    VACANT = auto()
    HELD = auto()
    LIVE = auto()
    IDLE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherConnected:
    """A publisher's transport is up; it wants the stream."""

    session: SessionId
    tracks: tuple[StreamTrack, ...]
    may_take_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherLeft:
    """A publisher's session ended."""

    session: SessionId


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaStarted:
    """Media flows, for the first time or again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaStopped:
    """No media for the idle timeout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersMeasured:
    """What the data plane measured of the video."""

    layers: tuple[Layer, ...]
    fmtp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberJoined:
    """A player's transport is up."""

    session: SessionId


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberLeft:
    """A player's session ended."""

    session: SessionId


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineReached:
    """`Stream.deadline` is due."""


Event = (
    PublisherConnected
    | PublisherLeft
    | MediaStarted
    | MediaStopped
    | LayersMeasured
    | SubscriberJoined
    | SubscriberLeft
    | DeadlineReached
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptPublisher:
    """From now on this session's media is the stream."""

    session: SessionId


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSession:
    """A publisher or player must go."""

    session: SessionId
    why: Literal["replaced", "stream_conflict", "stream_changed", "stream_ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Announce:
    """Tell everybody who listens to the stream's events."""

    event: Literal["active", "inactive", "layers", "viewercount", "reconnect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetStream:
    """Nothing is left of it."""


Effect = AdoptPublisher | EndSession | Announce | ForgetStream


class Stream:
    """The machine of one stream. Times are monotonic seconds."""

    def __init__(self, *, grace_s: float, now: float) -> None:
        self._grace_s = grace_s
        self._state = State.VACANT
        self._vacant_due: float | None = now + grace_s
        self._count_due: float | None = None
        self._publisher: SessionId | None = None
        self._tracks: tuple[StreamTrack, ...] = ()
        self._layers: tuple[Layer, ...] = ()
        self._subscribers: set[SessionId] = set()

    @property
    def state(self) -> State:
        """What the publisher is doing."""
        return self._state

    @property
    def publisher(self) -> SessionId | None:
        """The session whose media is the stream."""
        return self._publisher

    @property
    def tracks(self) -> tuple[StreamTrack, ...]:
        """What the stream carries, or carried when it last had a publisher."""
        return self._tracks

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The video's layers as last measured."""
        return self._layers

    @property
    def subscribers(self) -> frozenset[SessionId]:
        """Connected players."""
        return frozenset(self._subscribers)

    @property
    def viewers(self) -> int:
        """How many players are connected."""
        return len(self._subscribers)

    @property
    def codecs(self) -> Mapping[Kind, CodecName]:
        """Codecs a new publisher should keep, so that players need not renegotiate."""
        return {track.kind: track.codec for track in self._tracks} if self._subscribers else {}

    @property
    def deadline(self) -> float | None:
        """When DeadlineReached is due."""
        due = [time for time in (self._vacant_due, self._count_due) if time is not None]
        return min(due, default=None)

    def blocks(self, *, may_take_over: bool) -> bool:
        """Whether a further publisher is refused now."""
        return self._state in (State.HELD, State.LIVE) and not may_take_over

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take an event, return what must be done."""
        match event:
            case PublisherConnected():
                return self._connect(event)
            case PublisherLeft(session=session):
                return self._leave(session, now)
            case MediaStarted():
                return self._media(State.LIVE, "active")
            case MediaStopped():
                return self._media(State.IDLE, "inactive")
            case LayersMeasured(layers=layers, fmtp=fmtp):
                return self._measure(layers, fmtp)
            case SubscriberJoined(session=session):
                self._subscribers.add(session)
                return self._count(now)
            case SubscriberLeft(session=session):
                self._subscribers.discard(session)
                return self._count(now)
            case DeadlineReached():
                return self._deadline(now)

    def _connect(self, event: PublisherConnected) -> list[Effect]:
        if self.blocks(may_take_over=event.may_take_over):
            return [EndSession(session=event.session, why="stream_conflict")]
        effects: list[Effect] = []
        if self._publisher is not None:
            effects.append(EndSession(session=self._publisher, why="replaced"))
        changed = self._tracks and _codecs(self._tracks) != _codecs(event.tracks)
        self._publisher, self._tracks, self._layers = event.session, event.tracks, ()
        self._state, self._vacant_due = State.HELD, None
        # First the new one, then the old one's end: the stream is never without a publisher.
        effects.insert(0, AdoptPublisher(session=event.session))
        if changed and self._subscribers:
            effects.append(Announce(event="reconnect"))
            effects += self._end_subscribers("stream_changed")
        return effects

    def _leave(self, session: SessionId, now: float) -> list[Effect]:
        if session != self._publisher:
            return []
        was_live = self._state is State.LIVE
        self._publisher, self._state = None, State.VACANT
        self._vacant_due = now + self._grace_s
        return [Announce(event="inactive")] if was_live else []

    def _media(self, state: State, event: Literal["active", "inactive"]) -> list[Effect]:
        if self._state in (State.VACANT, state):
            return []
        self._state = state
        return [Announce(event=event)]

    def _measure(self, layers: tuple[Layer, ...], fmtp: str) -> list[Effect]:
        changed = _shape(layers) != _shape(self._layers)
        self._layers = layers
        if fmtp:
            self._tracks = tuple(
                StreamTrack(kind=track.kind, codec=track.codec, fmtp=fmtp, red=track.red)
                if track.kind == "video"
                else track
                for track in self._tracks
            )
        # Bit rates differ at every look; players are told when there is something to choose anew.
        return [Announce(event="layers")] if changed else []

    def _count(self, now: float) -> list[Effect]:
        if self._count_due is None:
            self._count_due = now + COUNT_INTERVAL_S
        return []

    def _deadline(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        if self._count_due is not None and now >= self._count_due:
            self._count_due = None
            effects.append(Announce(event="viewercount"))
        if self._vacant_due is not None and now >= self._vacant_due:
            self._vacant_due = None
            effects += [*self._end_subscribers("stream_ended"), ForgetStream()]
        return effects

    def _end_subscribers(self, why: Literal["stream_changed", "stream_ended"]) -> list[Effect]:
        return [EndSession(session=session, why=why) for session in sorted(self._subscribers)]


def _codecs(tracks: tuple[StreamTrack, ...]) -> dict[Kind, CodecName]:
    return {track.kind: track.codec for track in tracks}


def _shape(layers: tuple[Layer, ...]) -> list[tuple[object, ...]]:
    return [
        (layer.rid, layer.rank, layer.width, layer.height, layer.active, layer.bitrate_bps > 0)
        for layer in layers
    ]

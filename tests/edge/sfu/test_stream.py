"""The stream machine: who holds a stream, and what its players are told."""

from __future__ import annotations

import pytest

from edge.model import Layer, SessionId, StreamTrack
from edge.sfu.stream import (
    AdoptPublisher,
    Announce,
    DeadlineReached,
    EndSession,
    Event,
    ForgetStream,
    LayersMeasured,
    MediaStarted,
    MediaStopped,
    PublisherConnected,
    PublisherLeft,
    State,
    Stream,
    SubscriberJoined,
    SubscriberLeft,
)

OLD, NEW, PLAYER = SessionId("old"), SessionId("new"), SessionId("player")
H264 = (StreamTrack(kind="audio", codec="opus"), StreamTrack(kind="video", codec="H264"))
VP8 = (StreamTrack(kind="audio", codec="opus"), StreamTrack(kind="video", codec="VP8"))
GRACE_S = 30.0


def layer(rid: str, bitrate_bps: int = 0) -> Layer:
    return Layer(
        rid=rid, rank=0, width=1280, height=720, bitrate_bps=bitrate_bps, fps=30, active=True
    )


def connected(
    session: SessionId, *, take_over: bool = False, tracks: tuple[StreamTrack, ...] = H264
) -> PublisherConnected:
    return PublisherConnected(session=session, tracks=tracks, may_take_over=take_over)


def stream_in(state: State, *, player: bool = False) -> Stream:
    stream = Stream(grace_s=GRACE_S, now=0)
    way: dict[State, list[Event]] = {
        State.VACANT: [connected(OLD), PublisherLeft(session=OLD)],
        State.HELD: [connected(OLD)],
        State.LIVE: [connected(OLD), MediaStarted()],
        State.IDLE: [connected(OLD), MediaStarted(), MediaStopped()],
    }
    for event in way[state]:
        stream.handle(event, 0)
    if player:
        stream.handle(SubscriberJoined(session=PLAYER), 0)
        stream.handle(DeadlineReached(), 1)
    assert stream.state is state
    return stream


REPLACED = EndSession(session=OLD, why="replaced")
CONFLICT = EndSession(session=NEW, why="stream_conflict")
ADOPTED = AdoptPublisher(session=NEW)
ACTIVE, INACTIVE = Announce(event="active"), Announce(event="inactive")
V, H, L, I = State.VACANT, State.HELD, State.LIVE, State.IDLE

TABLE: dict[Event, dict[State, tuple[State, list[object]]]] = {
    connected(NEW): {
        V: (H, [ADOPTED]), H: (H, [CONFLICT]), L: (L, [CONFLICT]), I: (H, [ADOPTED, REPLACED]),
    },
    connected(NEW, take_over=True): {
        V: (H, [ADOPTED]), H: (H, [ADOPTED, REPLACED]), L: (H, [ADOPTED, REPLACED]),
        I: (H, [ADOPTED, REPLACED]),
    },
    PublisherLeft(session=OLD): {V: (V, []), H: (V, []), L: (V, [INACTIVE]), I: (V, [])},
    PublisherLeft(session=NEW): {V: (V, []), H: (H, []), L: (L, []), I: (I, [])},
    MediaStarted(): {V: (V, []), H: (L, [ACTIVE]), L: (L, []), I: (L, [ACTIVE])},
    MediaStopped(): {V: (V, []), H: (I, [INACTIVE]), L: (I, [INACTIVE]), I: (I, [])},
    LayersMeasured(layers=(layer("h"),), fmtp=""): {
        s: (s, [Announce(event="layers")]) for s in State
    },
    SubscriberJoined(session=PLAYER): {s: (s, []) for s in State},
    SubscriberLeft(session=PLAYER): {s: (s, []) for s in State},
    DeadlineReached(): {
        V: (V, [ForgetStream()]), H: (H, []), L: (L, []), I: (I, []),
    },
}  # fmt: skip


def test_the_table_is_complete() -> None:
    assert {type(event) for event in TABLE} == set(Event.__args__)
    assert all(set(row) == set(State) for row in TABLE.values())


@pytest.mark.parametrize(
    ("event", "state", "expected"),
    [(event, state, row[state]) for event, row in TABLE.items() for state in State],
    ids=lambda value: value.name if isinstance(value, State) else type(value).__name__,
)
def test_every_event_in_every_state(
    event: Event, state: State, expected: tuple[State, list[object]]
) -> None:
    stream = stream_in(state)
    effects = stream.handle(event, GRACE_S)
    assert (stream.state, effects) == expected


@pytest.mark.parametrize(
    ("state", "plain", "with_take_over"),
    [(V, False, False), (H, True, False), (L, True, False), (I, False, False)],
)
def test_who_is_refused_at_the_door(state: State, plain: bool, with_take_over: bool) -> None:
    stream = stream_in(state)
    assert stream.blocks(may_take_over=False) is plain
    assert stream.blocks(may_take_over=True) is with_take_over


def test_players_stay_through_the_grace_time() -> None:
    stream = stream_in(State.LIVE, player=True)
    stream.handle(PublisherLeft(session=OLD), 100)
    assert stream.deadline == 100 + GRACE_S
    assert stream.handle(connected(NEW), 129) == [ADOPTED]
    assert stream.subscribers == {PLAYER}
    assert [stream.deadline] == [None]


def test_players_are_ended_when_the_grace_time_is_over() -> None:
    stream = stream_in(State.LIVE, player=True)
    stream.handle(PublisherLeft(session=OLD), 100)
    assert stream.handle(DeadlineReached(), 129.9) == []
    assert stream.handle(DeadlineReached(), 130) == [
        EndSession(session=PLAYER, why="stream_ended"),
        ForgetStream(),
    ]


def test_other_codecs_send_players_through_a_new_negotiation() -> None:
    stream = stream_in(State.IDLE, player=True)
    effects = stream.handle(connected(NEW, tracks=VP8), 5)
    assert effects == [
        ADOPTED,
        REPLACED,
        Announce(event="reconnect"),
        EndSession(session=PLAYER, why="stream_changed"),
    ]


def test_a_new_publisher_is_asked_for_the_codecs_players_have() -> None:
    assert stream_in(State.LIVE).codecs == {}
    assert stream_in(State.LIVE, player=True).codecs == {"audio": "opus", "video": "H264"}


def test_viewers_are_told_once_a_second() -> None:
    stream = stream_in(State.LIVE)
    for number in range(50):
        assert stream.handle(SubscriberJoined(session=SessionId(str(number))), 10) == []
    assert stream.deadline == 11
    assert stream.handle(DeadlineReached(), 11) == [Announce(event="viewercount")]
    assert stream.viewers == 50
    assert stream.deadline is None


def test_layers_are_told_when_there_is_something_to_choose() -> None:
    stream = stream_in(State.LIVE)
    told = [Announce(event="layers")]
    assert stream.handle(LayersMeasured(layers=(layer("h"),), fmtp="640c1f"), 1) == told
    assert stream.handle(LayersMeasured(layers=(layer("h", 900),), fmtp=""), 2) == told
    assert stream.handle(LayersMeasured(layers=(layer("h", 950),), fmtp=""), 3) == []
    assert stream.layers[0].bitrate_bps == 950
    assert [track.fmtp for track in stream.tracks] == ["", "640c1f"]

"""The session machine: every event in every state, and the rules of RFC 9725 on ETags."""

from __future__ import annotations

import pytest

from edge.errors import ErrorCode
from edge.model import IceCredentials, Role
from edge.signaling.session import (
    AcceptCandidates,
    AddPublisher,
    AddSubscriber,
    CloseReason,
    CloseTransport,
    ConsentLapsed,
    DeadlineReached,
    DeleteReceived,
    Effect,
    Event,
    Evicted,
    OfferReceived,
    OfferRefused,
    OpenTransport,
    PatchReceived,
    PathSelected,
    Refuse,
    RestartIce,
    SendAnswer,
    Session,
    StartTransport,
    State,
    TransportClosed,
    TransportConnected,
    TransportFailed,
    TransportOpened,
    UnexpectedEvent,
)

REMOTE = IceCredentials(ufrag="peer", pwd="p" * 22)
FRESH = IceCredentials(ufrag="fresh", pwd="f" * 22)
NEXT = IceCredentials(ufrag="peer2", pwd="q" * 22)

OPENED = TransportOpened(answer="v=0", etag="one", remote=REMOTE)
PATH = PathSelected(address="192.0.2.1:5", protocol="udp")
CONNECTED = TransportConnected(profile="SRTP_AEAD_AES_128_GCM")

WAY: dict[State, list[Event]] = {
    State.NEW: [],
    State.OPENING: [OfferReceived()],
    State.ANSWERED: [OfferReceived(), OPENED],
    State.CONNECTING: [OfferReceived(), OPENED, PATH],
    State.CONNECTED: [OfferReceived(), OPENED, PATH, CONNECTED],
    State.CLOSED: [OfferReceived(), OPENED, DeleteReceived()],
}
"""Events that lead to each state."""


def patch(
    if_match: str | None, remote: IceCredentials | None = None, pwd: bool = True
) -> PatchReceived:
    return PatchReceived(
        if_match=if_match,
        ufrag=remote.ufrag if remote else None,
        pwd=remote.pwd if remote and pwd else None,
        fresh=FRESH,
        fresh_etag="two",
    )


def session_in(state: State, role: Role = Role.PUBLISHER, expires: float | None = None) -> Session:
    session = Session(role=role, setup_timeout_s=15, expires=expires)
    for event in WAY[state]:
        session.handle(event, 0)
    assert session.state is state
    return session


def closed(reason: CloseReason, detail: str = "") -> tuple[State, list[Effect]]:
    return State.CLOSED, [CloseTransport(reason=reason, detail=detail)]


DEFECT = "defect"
NOT_FOUND = Refuse(code=ErrorCode.SESSION_NOT_FOUND, detail="the session is over")
EVICTED = Evicted(reason=CloseReason.REPLACED)
TRICKLED = patch('"one"')

N, O, A, G, D, X = (
    State.NEW,
    State.OPENING,
    State.ANSWERED,
    State.CONNECTING,
    State.CONNECTED,
    State.CLOSED,
)

TABLE: dict[Event, dict[State, object]] = {
    OfferReceived(): {
        N: (O, [OpenTransport()]), O: DEFECT, A: DEFECT, G: DEFECT, D: DEFECT, X: DEFECT,
    },
    OfferRefused(): {
        N: closed(CloseReason.REFUSED), O: closed(CloseReason.REFUSED),
        A: DEFECT, G: DEFECT, D: DEFECT, X: DEFECT,
    },
    OPENED: {
        N: DEFECT, O: (A, [SendAnswer(answer="v=0", etag="one")]),
        A: DEFECT, G: DEFECT, D: DEFECT, X: DEFECT,
    },
    PATH: {
        N: DEFECT, O: DEFECT, A: (G, [StartTransport()]), G: (G, []), D: (D, []), X: (X, []),
    },
    CONNECTED: {
        N: DEFECT, O: DEFECT, A: DEFECT, G: (D, [AddPublisher()]), D: DEFECT, X: (X, []),
    },
    TransportFailed(detail="why"): {
        **{s: closed(CloseReason.TRANSPORT_FAILED, "why") for s in (N, O, A, G, D)}, X: (X, []),
    },
    TransportClosed(): {
        **{s: closed(CloseReason.PEER_LEFT) for s in (N, O, A, G, D)}, X: (X, []),
    },
    ConsentLapsed(): {
        **{s: closed(CloseReason.CONSENT_LAPSED) for s in (N, O, A, G, D)}, X: (X, []),
    },
    EVICTED: {
        **{s: closed(CloseReason.REPLACED) for s in (N, O, A, G, D)}, X: (X, []),
    },
    DeleteReceived(): {
        **{s: closed(CloseReason.DELETED) for s in (N, O, A, G, D)}, X: (X, [NOT_FOUND]),
    },
    TRICKLED: {
        N: DEFECT, O: DEFECT,
        **{s: (s, [AcceptCandidates(etag="one")]) for s in (A, G, D)}, X: (X, [NOT_FOUND]),
    },
    DeadlineReached(): {s: (s, []) for s in State},
}  # fmt: skip


def test_the_table_is_complete() -> None:
    assert {type(event) for event in TABLE} == set(Event.__args__)
    assert all(set(row) == set(State) for row in TABLE.values())


@pytest.mark.parametrize(
    ("event", "state", "expected"),
    [(event, state, row[state]) for event, row in TABLE.items() for state in State],
    ids=lambda value: value.name if isinstance(value, State) else type(value).__name__,
)
def test_every_event_in_every_state(event: Event, state: State, expected: object) -> None:
    session = session_in(state)
    if expected == DEFECT:
        with pytest.raises(UnexpectedEvent, match=state.name):
            session.handle(event, 1)
        assert session.state is state
        return
    effects = session.handle(event, 1)
    assert (session.state, effects) == expected


def test_a_player_is_added_as_subscriber() -> None:
    session = session_in(State.CONNECTING, Role.SUBSCRIBER)
    assert session.handle(CONNECTED, 1) == [AddSubscriber()]


@pytest.mark.parametrize("state", [State.ANSWERED, State.CONNECTING])
def test_setup_ends_in_time(state: State) -> None:
    session = session_in(state)
    assert session.deadline == 15
    assert session.handle(DeadlineReached(), 14.9) == []
    assert session.handle(DeadlineReached(), 15) == [
        CloseTransport(reason=CloseReason.SETUP_TIMED_OUT)
    ]
    assert session.deadline is None


def test_a_connected_session_has_only_its_grant_to_fear() -> None:
    assert session_in(State.CONNECTED).deadline is None
    session = session_in(State.CONNECTED, expires=100)
    assert session.deadline == 100
    assert session.handle(DeadlineReached(), 50) == []
    assert session.handle(DeadlineReached(), 100) == [
        CloseTransport(reason=CloseReason.GRANT_EXPIRED)
    ]


def test_a_grant_that_ends_before_setup_ends_it() -> None:
    assert session_in(State.ANSWERED, expires=3).deadline == 3


@pytest.mark.parametrize(
    ("if_match", "code"),
    [
        (None, ErrorCode.ETAG_REQUIRED),
        ('"old"', ErrorCode.ETAG_MISMATCH),
        ("one", ErrorCode.ETAG_MISMATCH),
        ('W/"one"', ErrorCode.ETAG_MISMATCH),
        ("", ErrorCode.ETAG_MISMATCH),
    ],
)
@pytest.mark.parametrize("remote", [None, REMOTE, NEXT], ids=["candidates", "same", "restart"])
def test_a_patch_needs_the_current_etag(
    if_match: str | None, code: ErrorCode, remote: IceCredentials | None
) -> None:
    session = session_in(State.CONNECTED)
    (effect,) = session.handle(patch(if_match, remote), 1)
    assert isinstance(effect, Refuse)
    assert effect.code is code
    assert (session.state, session.etag) == (State.CONNECTED, "one")


@pytest.mark.parametrize("if_match", ["*", '"one"', '"zero", "one"', " * "])
def test_new_credentials_restart_ice(if_match: str) -> None:
    session = session_in(State.CONNECTED)
    effects = session.handle(patch(if_match, NEXT), 1)
    assert effects == [RestartIce(local=FRESH, remote=NEXT, etag="two")]
    assert session.etag == "two"
    # What belongs to the generation before is out of date now.
    (stale,) = session.handle(patch('"one"', NEXT), 2)
    assert isinstance(stale, Refuse)
    assert session.handle(patch('"two"', NEXT), 2) == [AcceptCandidates(etag="two")]


def test_the_same_credentials_are_no_restart() -> None:
    session = session_in(State.ANSWERED)
    assert session.handle(patch("*", REMOTE), 1) == [AcceptCandidates(etag="one")]


def test_a_restart_needs_a_password() -> None:
    session = session_in(State.CONNECTED)
    (effect,) = session.handle(patch("*", NEXT, pwd=False), 1)
    assert isinstance(effect, Refuse)
    assert effect.code is ErrorCode.MALFORMED_FRAGMENT
    assert session.etag == "one"

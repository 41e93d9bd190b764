"""The life of one WHIP or WHEP session, from offer to close (RFC 9725; draft-ietf-wish-whep).

Rules:

- A session is NEW until its offer came, OPENING while the transport is being opened, ANSWERED when
  the 201 went out, CONNECTING from the first valid ICE binding on, CONNECTED when DTLS is done and
  the peer's fingerprint was right, and then CLOSED, for ever.
- An answered session that is not connected in time closes. So does one whose grant has expired.
- Every PATCH must carry If-Match (428). It must match the ETag of the current ICE generation, or be
  `*` (412). New credentials in it are an ICE restart: 200 and a new ETag. The same or none are
  trickled candidates: 204; an ICE-lite agent needs none of them (RFC 8445, section 2.5). A refused
  PATCH leaves the session as it was.
- Peers and networks may say anything at any time to a session that is already closed: that is
  ignored, or answered 404. Any other event that a state does not expect is a defect of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import assert_never

from edge.errors import ErrorCode
from edge.model import IceCredentials, Role


class State(Enum):
    """Where a session is in its life."""

    NEW = auto()
    OPENING = auto()
    ANSWERED = auto()
    CONNECTING = auto()
    CONNECTED = auto()
    CLOSED = auto()


class CloseReason(StrEnum):
    """Why a session ended; a label of metrics and logs."""

    REFUSED = "refused"
    DELETED = "deleted"
    SETUP_TIMED_OUT = "setup_timed_out"
    TRANSPORT_FAILED = "transport_failed"
    PEER_LEFT = "peer_left"
    CONSENT_LAPSED = "consent_lapsed"
    GRANT_EXPIRED = "grant_expired"
    REPLACED = "replaced"
    STREAM_CONFLICT = "stream_conflict"
    STREAM_CHANGED = "stream_changed"
    STREAM_ENDED = "stream_ended"
    SHUT_DOWN = "shut_down"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferReceived:
    """The peer's offer was read and may be answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferRefused:
    """The offer could not be answered; the peer was told why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportOpened:
    """A worker took the session, and the answer is written."""

    answer: str
    etag: str
    remote: IceCredentials


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSelected:
    """ICE found a path, or a new one."""

    address: str
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportConnected:
    """DTLS is done, the fingerprint was right, the keys are in the data plane."""

    profile: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportFailed:
    """DTLS failed for good."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportClosed:
    """The peer said goodbye (DTLS close_notify)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentLapsed:
    """No proof of life for the consent timeout (RFC 7675)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchReceived:
    """A trickle-ICE fragment; `fresh` and `fresh_etag` are used if it restarts ICE."""

    if_match: str | None
    ufrag: str | None
    pwd: str | None
    fresh: IceCredentials
    fresh_etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteReceived:
    """The peer deleted its session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evicted:
    """The stream or the node ended the session."""

    reason: CloseReason


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineReached:
    """`Session.deadline` is due."""


Event = (
    OfferReceived
    | OfferRefused
    | TransportOpened
    | PathSelected
    | TransportConnected
    | TransportFailed
    | TransportClosed
    | ConsentLapsed
    | PatchReceived
    | DeleteReceived
    | Evicted
    | DeadlineReached
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTransport:
    """Choose a worker, write the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendAnswer:
    """201 with this body and ETag."""

    answer: str
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTransport:
    """There is a path: if we are the DTLS client, say hello."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddPublisher:
    """Make the session the publisher of its stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddSubscriber:
    """Send the stream to the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptCandidates:
    """204: nothing to do with them, but they were in order."""

    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartIce:
    """Take new credentials beside the old, and answer 200 with them and the new ETag."""

    local: IceCredentials
    remote: IceCredentials
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Answer the request with a problem."""

    code: ErrorCode
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseTransport:
    """Leave the stream, say goodbye, free everything."""

    reason: CloseReason
    detail: str = ""


Effect = (
    OpenTransport
    | SendAnswer
    | StartTransport
    | AddPublisher
    | AddSubscriber
    | AcceptCandidates
    | RestartIce
    | Refuse
    | CloseTransport
)


class UnexpectedEvent(RuntimeError):
    """A defect of ours: the driver fed an event that cannot happen in this state."""


class Session:
    """The machine of one session. Times are monotonic seconds."""

    def __init__(self, *, role: Role, setup_timeout_s: float, expires: float | None = None) -> None:
        self._role = role
        self._setup_timeout_s = setup_timeout_s
        self._expires = expires
        self._setup_due: float | None = None
        self._remote: IceCredentials | None = None
        self._etag = ""
        self._state = State.NEW

    @property
    def state(self) -> State:
        """Where the session is."""
        return self._state

    @property
    def etag(self) -> str:
        """Strong entity tag of the current ICE generation, without quotes."""
        return self._etag

    @property
    def deadline(self) -> float | None:
        """When DeadlineReached is due: the setup's end or the grant's, whichever is first."""
        if self._state is State.CLOSED:
            return None
        due = [time for time in (self._setup_due, self._expires) if time is not None]
        return min(due, default=None)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take an event, return what must be done. Raises UnexpectedEvent."""
        if self._state is State.CLOSED:
            return self._handle_closed(event)
        match event:
            case PatchReceived():
                return self._patch(event)
            case DeleteReceived():
                return self._close(CloseReason.DELETED)
            case Evicted(reason=reason):
                return self._close(reason)
            case TransportFailed(detail=detail):
                return self._close(CloseReason.TRANSPORT_FAILED, detail)
            case TransportClosed():
                return self._close(CloseReason.PEER_LEFT)
            case ConsentLapsed():
                return self._close(CloseReason.CONSENT_LAPSED)
            case DeadlineReached():
                return self._deadline(now)
            case _:
                return self._advance(event, now)

    def _advance(
        self,
        event: OfferReceived | OfferRefused | TransportOpened | PathSelected | TransportConnected,
        now: float,
    ) -> list[Effect]:
        match (self._state, event):
            case (State.NEW, OfferReceived()):
                self._state = State.OPENING
                return [OpenTransport()]
            case (State.NEW | State.OPENING, OfferRefused()):
                return self._close(CloseReason.REFUSED)
            case (State.OPENING, TransportOpened(answer=answer, etag=etag, remote=remote)):
                self._state = State.ANSWERED
                self._etag, self._remote = etag, remote
                self._setup_due = now + self._setup_timeout_s
                return [SendAnswer(answer=answer, etag=etag)]
            case (State.ANSWERED, PathSelected()):
                self._state = State.CONNECTING
                return [StartTransport()]
            case (State.CONNECTING | State.CONNECTED, PathSelected()):
                return []
            case (State.CONNECTING, TransportConnected()):
                self._state = State.CONNECTED
                self._setup_due = None
                return [AddPublisher() if self._role is Role.PUBLISHER else AddSubscriber()]
            case _:
                raise UnexpectedEvent(f"{type(event).__name__} in {self._state.name}")

    def _patch(self, event: PatchReceived) -> list[Effect]:
        if self._remote is None:
            raise UnexpectedEvent(f"PatchReceived in {self._state.name}")
        if event.if_match is None:
            return [_refuse(ErrorCode.ETAG_REQUIRED, "PATCH needs If-Match with the current ETag")]
        if not _matches(event.if_match, self._etag):
            return [
                _refuse(ErrorCode.ETAG_MISMATCH, "the ETag is not that of the current ICE session")
            ]
        if event.ufrag is None or event.ufrag == self._remote.ufrag:
            return [AcceptCandidates(etag=self._etag)]
        if event.pwd is None:
            return [_refuse(ErrorCode.MALFORMED_FRAGMENT, "a=ice-ufrag without a=ice-pwd")]
        self._remote = IceCredentials(ufrag=event.ufrag, pwd=event.pwd)
        self._etag = event.fresh_etag
        return [RestartIce(local=event.fresh, remote=self._remote, etag=self._etag)]

    def _deadline(self, now: float) -> list[Effect]:
        if self._expires is not None and now >= self._expires:
            return self._close(CloseReason.GRANT_EXPIRED)
        if self._setup_due is not None and now >= self._setup_due:
            return self._close(CloseReason.SETUP_TIMED_OUT)
        return []

    def _close(self, reason: CloseReason, detail: str = "") -> list[Effect]:
        self._state = State.CLOSED
        return [CloseTransport(reason=reason, detail=detail)]

    def _handle_closed(self, event: Event) -> list[Effect]:
        match event:
            case PatchReceived() | DeleteReceived():
                return [_refuse(ErrorCode.SESSION_NOT_FOUND, "the session is over")]
            case OfferReceived() | OfferRefused() | TransportOpened():
                raise UnexpectedEvent(f"{type(event).__name__} in CLOSED")
            case (
                PathSelected()
                | TransportConnected()
                | TransportFailed()
                | TransportClosed()
                | ConsentLapsed()
                | Evicted()
                | DeadlineReached()
            ):
                return []
            case _:
                assert_never(event)


def _refuse(code: ErrorCode, detail: str) -> Refuse:
    return Refuse(code=code, detail=detail)


def _matches(if_match: str, etag: str) -> bool:
    """Strong comparison with a list of entity tags (RFC 9110, section 13.1.1)."""
    if if_match.strip() == "*":
        return True
    return f'"{etag}"' in (tag.strip() for tag in if_match.split(","))

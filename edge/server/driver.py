"""Feeds the machines of sessions, performs their effects, keeps one timer per machine.

This is the hub: it connects sessions and streams to the data plane and to DTLS. What happens when
is decided in `signaling.session` and `sfu.stream`; one line per transition is logged.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

import structlog

from edge.config import EdgeConfig
from edge.errors import ErrorCode, PeerError
from edge.model import Handle, Layer, Role, SessionId, StreamId
from edge.server.engine import Engine
from edge.server.events import Notice, Watcher
from edge.server.opening import Opener, fresh_credentials, fresh_etag, node_full
from edge.server.records import Counters, LiveStream, Patched, SessionRecord
from edge.server.streams import Streams
from edge.server.timer import Timer
from edge.server.transport import Certificate, Channel
from edge.sfu import stream as sfu
from edge.signaling import session as signaling
from edge.signaling.fragment import Fragment, write_fragment
from edge.signaling.grant import Grant
from edge.signaling.negotiate import Offer

MessageHook = Callable[[SessionRecord, Channel, "str | bytes"], bool]
"""Takes a data-channel message; False when nobody wanted it."""

ENDED_REMEMBERED = 1024
"""Closed sessions whose reason is still told to a peer that asks."""

log = structlog.get_logger()


class Driver:
    """Owns every session of this node, and through `Streams` every stream."""

    def __init__(self, config: EdgeConfig, engine: Engine, certificate: Certificate) -> None:
        self._config = config
        self._engine = engine
        self._opener = Opener(config, engine, certificate)
        self._streams = Streams(config, engine, self)
        self._sessions: dict[SessionId, SessionRecord] = {}
        self._handles: dict[Handle, SessionRecord] = {}
        self._ended: OrderedDict[SessionId, tuple[signaling.CloseReason, str]] = OrderedDict()
        self.counters = Counters()
        self.on_message: MessageHook = lambda _record, _channel, _data: False
        self.on_stopped_worker: Callable[[int, str], None] = lambda _worker, _reason: None

    # What is there

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses announced in candidates."""
        return self._opener.addresses

    @property
    def sessions(self) -> tuple[SessionRecord, ...]:
        """Every session that is not closed."""
        return tuple(self._sessions.values())

    @property
    def streams(self) -> tuple[LiveStream, ...]:
        """Every stream that is known, with or without publisher."""
        return self._streams.all

    def session(self, stream: str, session: str, role: Role) -> SessionRecord:
        """The session of a resource URL. Raises PeerError `session_not_found`."""
        record = self._sessions.get(SessionId(session))
        if record is None or record.stream.name != stream or record.role is not role:
            raise self._session_not_found(session)
        return record

    def counts(self) -> Counter[tuple[Role, bool]]:
        """Sessions by role and whether they are connected."""
        return Counter(
            (record.role, record.machine.state is signaling.State.CONNECTED)
            for record in self._sessions.values()
        )

    # What is asked for

    async def wait_for_publisher(self, name: StreamId, timeout_s: float) -> LiveStream:
        """The stream once it has a publisher. Raises PeerError `stream_not_found` after the timeout."""
        return await self._streams.wait_for_publisher(name, timeout_s)

    def publish(self, name: StreamId, offer: Offer, grant: Grant, trace_id: str) -> SessionRecord:
        """Answer a studio's offer. Raises PeerError."""
        known = self._streams.named(name)
        if known is not None and known.machine.blocks(may_take_over=grant.may_take_over):
            raise self._streams.conflict(name)
        self._admit()
        stream = self._streams.open(name)
        return self._open_session(stream, Role.PUBLISHER, offer, grant, trace_id)

    def subscribe(
        self, stream: LiveStream, offer: Offer, grant: Grant, trace_id: str
    ) -> SessionRecord:
        """Answer a player's offer. Raises PeerError."""
        self._admit()
        return self._open_session(stream, Role.SUBSCRIBER, offer, grant, trace_id)

    def patch(self, record: SessionRecord, if_match: str | None, fragment: Fragment) -> Patched:
        """Take a trickle fragment. Raises PeerError."""
        event = signaling.PatchReceived(
            if_match=if_match,
            ufrag=fragment.ufrag,
            pwd=fragment.pwd,
            fresh=fresh_credentials(),
            fresh_etag=fresh_etag(),
        )
        (effect,) = self.feed(record, event)
        match effect:
            case signaling.Refuse(code=code, detail=detail):
                raise PeerError(code, detail)
            case signaling.RestartIce(local=local, etag=etag):
                mid, media = fragment.mid or "0", fragment.media
                body = write_fragment(local, record.candidates, mid=mid, media=media)
                return Patched(etag=etag, body=body)
            case signaling.AcceptCandidates(etag=etag):
                return Patched(etag=etag, body=None)
        raise AssertionError(f"no answer to a PATCH: {effect}")

    def delete(self, record: SessionRecord) -> None:
        """End a session at its peer's wish."""
        self.feed(record, signaling.DeleteReceived())

    def set_tier(self, name: StreamId | None, tier: int) -> None:
        """Set the degradation tier of one stream or of all. Raises PeerError `stream_not_found`."""
        self._streams.set_tier(name, tier)

    def refresh_layers(self) -> None:
        """Take bit and frame rates of all layers as they are now."""
        self._streams.refresh_layers()

    def announce_reconnect(self) -> None:
        """Tell every player to join again elsewhere (WHEP draft, event `reconnect`)."""
        self._streams.announce(Notice.RECONNECT)

    def close(self) -> None:
        """End every session, with a goodbye each."""
        for session in tuple(self._sessions):
            self.end(session, signaling.CloseReason.SHUT_DOWN)
        self._streams.close()

    # What streams ask for

    def adopt(self, session: SessionId) -> None:
        """Make a session the publisher of its stream."""
        record = self._sessions[session]
        self._engine.add_publisher(
            record.worker_handle, record.stream.number, record.publisher_spec
        )

    def end(self, session: SessionId, reason: signaling.CloseReason) -> None:
        """End a session at our wish."""
        record = self._sessions.get(session)
        if record is not None:
            self.feed(record, signaling.Evicted(reason=reason))

    # What the data plane says

    def on_datagram(self, handle: Handle, datagram: bytes) -> None:
        """A DTLS datagram came."""
        record = self._handles.get(handle)
        if record is not None and record.transport is not None:
            record.transport.receive(datagram)

    def on_path_selected(self, handle: Handle, address: str, protocol: str) -> None:
        """ICE found a path, or a new one."""
        record = self._handles.get(handle)
        if record is not None:
            record.path = (address, protocol)
            self.feed(record, signaling.PathSelected(address=address, protocol=protocol))

    def on_consent_lapsed(self, handle: Handle) -> None:
        """The peer is silent."""
        record = self._handles.get(handle)
        if record is not None:
            self.feed(record, signaling.ConsentLapsed())

    def on_media(self, stream: int, handle: Handle, flowing: bool) -> None:
        """Media of a publisher started or stopped; what a former publisher did is past."""
        record = self._handles.get(handle)
        live = self._streams.numbered(stream)
        if live is not None and record is not None and live.machine.publisher == record.id:
            self._streams.feed(live, sfu.MediaStarted() if flowing else sfu.MediaStopped())

    def on_layers(self, stream: int, layers: tuple[Layer, ...], fmtp: str) -> None:
        """The video's layers were measured anew."""
        live = self._streams.numbered(stream)
        if live is not None:
            self._judge_layers(live, layers)
            self._streams.measure(live, sfu.LayersMeasured(layers=layers, fmtp=fmtp))

    def _judge_layers(self, live: LiveStream, layers: tuple[Layer, ...]) -> None:
        had = any(layer.b_frames for layer in live.machine.layers)
        if not had and any(layer.b_frames for layer in layers):
            self.counters.b_frame_streams += 1
            log.warning(
                "studio_sends_b_frames",
                stream=live.name,
                remedy="set B-frames to 0 (OBS: x264 option bframes=0): players show each frame late",
            )

    def on_first_frame(self, handle: Handle, seconds: float) -> None:
        """A player was sent its first whole key frame."""
        record = self._handles.get(handle)
        if record is not None:
            joined = time.monotonic() - record.opened_at
            self.counters.join_seconds.observe(joined)
            record.log.info("first_frame_sent", join_s=round(joined, 3), wait_s=round(seconds, 3))

    def on_layer_switched(self, handle: Handle, rid: str) -> None:
        """A player now receives another layer."""
        record = self._handles.get(handle)
        if record is not None:
            record.layer = rid
            record.log.debug("layer_switched", rid=rid)

    def on_stopped(self, worker: int, reason: str) -> None:
        """A worker died: nothing can be saved."""
        log.error("worker_stopped", worker=worker, reason=reason)
        self.on_stopped_worker(worker, reason)

    # Sessions

    def feed(self, record: SessionRecord, event: signaling.Event) -> list[signaling.Effect]:
        """Give a session's machine an event, do what it says, and say what that was."""
        before = record.machine.state
        effects = record.machine.handle(event, time.monotonic())
        after = record.machine.state
        if after is not before:
            record.log.debug("session_moved", to=after.name.lower(), by=type(event).__name__)
        for effect in effects:
            self._perform(record, effect)
        record.timer.set(record.machine.deadline)
        return effects

    def _admit(self) -> None:
        limit = self._config.limits.max_sessions
        if len(self._sessions) >= limit:
            raise node_full(self._config, f"all {limit} sessions are taken")

    def _open_session(
        self, stream: LiveStream, role: Role, offer: Offer, grant: Grant, trace_id: str
    ) -> SessionRecord:
        now = time.monotonic()
        expires = None if grant.expires_wall is None else now + grant.expires_wall - time.time()
        session = SessionId(secrets.token_urlsafe(24))
        record = SessionRecord(
            id=session,
            role=role,
            stream=stream,
            grant=grant,
            offer=offer,
            opened_at=now,
            machine=signaling.Session(
                role=role, setup_timeout_s=self._config.limits.setup_timeout_s, expires=expires
            ),
            log=log.bind(stream=stream.name, session=session[:8], role=role, trace_id=trace_id),
        )
        record.timer = Timer(lambda: self._ring(record))
        self._sessions[session] = record
        stream.pending += 1
        try:
            self.feed(record, signaling.OfferReceived())
        except BaseException:
            self.feed(record, signaling.OfferRefused())
            raise
        return record

    def _ring(self, record: SessionRecord) -> None:
        self.feed(record, signaling.DeadlineReached())

    def _perform(self, record: SessionRecord, effect: signaling.Effect) -> None:
        match effect:
            case signaling.OpenTransport():
                opened = self._opener.open(record, SessionOwner(self, record))
                self._handles[record.worker_handle] = record
                self.feed(record, opened)
            case signaling.SendAnswer(etag=etag):
                record.etag = etag
            case signaling.StartTransport() if record.transport is not None:
                record.transport.start()
            case signaling.AddPublisher():
                event = sfu.PublisherConnected(
                    session=record.id,
                    tracks=record.tracks,
                    may_take_over=record.grant.may_take_over,
                )
                self._streams.feed(record.stream, event)
            case signaling.AddSubscriber():
                self._engine.add_subscriber(
                    record.worker_handle, record.stream.number, record.subscriber_spec
                )
                self._streams.feed(record.stream, sfu.SubscriberJoined(session=record.id))
            case signaling.RestartIce(local=local, remote=remote):
                self._engine.restart_ice(record.worker_handle, local, remote)
            case signaling.CloseTransport(reason=reason, detail=detail):
                self._close(record, reason, detail)

    def _close(self, record: SessionRecord, reason: signaling.CloseReason, detail: str) -> None:
        del self._sessions[record.id]
        lasted_s = round(time.monotonic() - record.opened_at, 3)
        why = {"detail": detail} if detail else {}
        record.log.info("session_closed", reason=reason, lasted_s=lasted_s, path=record.path, **why)
        self.counters.closed[record.role, reason] += 1
        self._remember(record.id, reason, detail)
        for watcher in tuple(record.watchers.values()):
            watcher.close()
        if record.transport is not None:
            record.transport.close()
            record.transport = None
        if record.handle is not None:
            self._handles.pop(record.handle, None)
            self._engine.remove(record.handle)
        left: sfu.Event
        if record.role is Role.PUBLISHER:
            left = sfu.PublisherLeft(session=record.id)
        else:
            left = sfu.SubscriberLeft(session=record.id)
        self._streams.leave(record.stream, left)

    def _remember(self, session: SessionId, reason: signaling.CloseReason, detail: str) -> None:
        self._ended[session] = (reason, detail)
        if len(self._ended) > ENDED_REMEMBERED:
            self._ended.popitem(last=False)

    def _session_not_found(self, session: str) -> PeerError:
        """404, with the reason while it is remembered: it may name a remedy."""
        end = self._ended.get(SessionId(session))
        if end is None:
            return PeerError(ErrorCode.SESSION_NOT_FOUND, "there is no such session")
        reason, detail = end
        text = f"the session has ended: {detail or reason}"
        return PeerError(ErrorCode.SESSION_NOT_FOUND, text, reason=reason)

    # What transports say, through SessionOwner

    def keys_exported(
        self, record: SessionRecord, profile: str, local: bytes, remote: bytes
    ) -> None:
        """DTLS agreed on SRTP keys."""
        self._engine.set_keys(record.worker_handle, profile, local, remote)

    def send(self, record: SessionRecord, datagram: bytes) -> None:
        """A transport wants a datagram sent."""
        self._engine.send(record.worker_handle, datagram)

    def channel_opened(self, record: SessionRecord, channel: Channel) -> None:
        """A player opened a data channel; `events` gets what server-sent events would."""
        record.log.debug("channel_opened", label=channel.label)
        if channel.label == "events":
            record.watch("channel", Watcher.on_channel(record.video_line, channel))

    def message_received(self, record: SessionRecord, channel: Channel, data: str | bytes) -> None:
        """A player sent something: `ping` is echoed, the rest is for whoever has the hook."""
        if channel.label == "ping":
            channel.send(data)
        elif not self.on_message(record, channel, data):
            self.counters.messages_ignored += 1


class SessionOwner:
    """What a transport knows of the session that it belongs to."""

    __slots__ = ("_driver", "_record")

    def __init__(self, driver: Driver, record: SessionRecord) -> None:
        self._driver = driver
        self._record = record

    def on_send(self, datagram: bytes) -> None:
        """Send a datagram."""
        self._driver.send(self._record, datagram)

    def on_keys(self, profile: str, local: bytes, remote: bytes) -> None:
        """Hand down keys."""
        self._driver.keys_exported(self._record, profile, local, remote)

    def on_connected(self, profile: str) -> None:
        """DTLS is done."""
        self._driver.feed(self._record, signaling.TransportConnected(profile=profile))

    def on_failed(self, detail: str) -> None:
        """DTLS failed."""
        self._driver.feed(self._record, signaling.TransportFailed(detail=detail))

    def on_closed(self) -> None:
        """The peer said goodbye."""
        self._driver.feed(self._record, signaling.TransportClosed())

    def on_channel(self, channel: Channel) -> None:
        """A data channel opened."""
        self._driver.channel_opened(self._record, channel)

    def on_message(self, channel: Channel, data: str | bytes) -> None:
        """A message came."""
        self._driver.message_received(self._record, channel, data)

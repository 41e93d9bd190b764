"""Feeds the machines of sessions and streams, performs their effects, keeps one timer per machine.

This is the hub: it owns sessions and streams and connects them to the data plane and to DTLS. What
happens when is decided in `signaling.session` and `sfu.stream`; one line per transition is logged.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

import structlog

from edge.config import EdgeConfig
from edge.errors import ErrorCode, PeerError
from edge.model import Handle, IceCredentials, Layer, Role, SessionId, StreamId
from edge.server.announce import announced_addresses, candidates
from edge.server.engine import Engine
from edge.server.events import Notice, Watcher
from edge.server.records import Counters, LiveStream, Patched, SessionRecord
from edge.server.transport import Certificate, Channel, Transport, TransportSpec
from edge.sfu import stream as sfu
from edge.signaling import session as signaling
from edge.signaling.fragment import Fragment, write_fragment
from edge.signaling.grant import Grant
from edge.signaling.negotiate import (
    LocalTransport,
    Offer,
    answer_publisher,
    answer_subscriber,
)

MessageHook = Callable[[SessionRecord, Channel, "str | bytes"], bool]
"""Takes a data-channel message; False when nobody wanted it."""

ENDED_REMEMBERED = 1024
"""Closed sessions whose reason is still told to a peer that asks."""

REMEASURE_S = 2.0
"""After a change of layers, when their bit rates are meaningful."""

log = structlog.get_logger()


class Driver:
    """Owns every session and stream of this node."""

    def __init__(self, config: EdgeConfig, engine: Engine, certificate: Certificate) -> None:
        self._config = config
        self._engine = engine
        self._certificate = certificate
        self._addresses = announced_addresses(config.announce, config.data_plane)
        self._sessions: dict[SessionId, SessionRecord] = {}
        self._handles: dict[Handle, SessionRecord] = {}
        self._streams: dict[StreamId, LiveStream] = {}
        self._numbers: dict[int, LiveStream] = {}
        self._ended: OrderedDict[SessionId, tuple[signaling.CloseReason, str]] = OrderedDict()
        self._next_number = 1
        self._changed = asyncio.Event()
        self.counters = Counters()
        self.on_message: MessageHook = _ignore_message
        self.on_stopped_worker: Callable[[int, str], None] = _ignore_stop

    # What is there

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses announced in candidates."""
        return self._addresses

    @property
    def sessions(self) -> tuple[SessionRecord, ...]:
        """Every session that is not closed."""
        return tuple(self._sessions.values())

    @property
    def streams(self) -> tuple[LiveStream, ...]:
        """Every stream that is known, with or without publisher."""
        return tuple(self._streams.values())

    def session(self, stream: str, session: str, role: Role) -> SessionRecord:
        """The session of a resource URL. Raises PeerError `session_not_found`."""
        record = self._sessions.get(SessionId(session))
        if record is None or record.stream.name != stream or record.role is not role:
            raise self._session_not_found(session)
        return record

    def stream(self, name: StreamId) -> LiveStream | None:
        """The stream of this name, if it is known."""
        return self._streams.get(name)

    def counts(self) -> Counter[tuple[Role, bool]]:
        """Sessions by role and whether they are connected."""
        return Counter(
            (record.role, record.machine.state is signaling.State.CONNECTED)
            for record in self._sessions.values()
        )

    # What is asked for

    async def wait_for_publisher(self, name: StreamId, timeout_s: float) -> LiveStream:
        """The stream once it has a publisher. Raises PeerError `stream_not_found` after the timeout."""
        deadline = time.monotonic() + timeout_s
        while True:
            stream = self._streams.get(name)
            if stream is not None and stream.machine.publisher is not None:
                return stream
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._stream_not_found(name)
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                raise self._stream_not_found(name) from None

    def publish(self, name: StreamId, offer: Offer, grant: Grant, trace_id: str) -> SessionRecord:
        """Answer a studio's offer. Raises PeerError."""
        stream = self._streams.get(name)
        if stream is not None and stream.machine.blocks(may_take_over=grant.may_take_over):
            raise PeerError(
                ErrorCode.STREAM_CONFLICT,
                f"the stream {name} has a publisher; its token would need take_over",
                {"Retry-After": str(self._config.streams.retry_after_s)},
            )
        self._admit()
        if stream is None:
            stream = self._open_stream(name)
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
            fresh=_credentials(),
            fresh_etag=secrets.token_hex(8),
        )
        effects = self._feed(record, event)
        for effect in effects:
            match effect:
                case signaling.Refuse(code=code, detail=detail):
                    raise PeerError(code, detail)
                case signaling.RestartIce(local=local, etag=etag):
                    body = write_fragment(
                        local,
                        record.candidates,
                        mid=fragment.mid or "0",
                        media=fragment.media,
                    )
                    return Patched(etag=etag, body=body)
                case signaling.AcceptCandidates(etag=etag):
                    return Patched(etag=etag, body=None)
        raise AssertionError("a PATCH is always answered")

    def delete(self, record: SessionRecord) -> None:
        """End a session at its peer's wish."""
        self._feed(record, signaling.DeleteReceived())

    def evict(self, record: SessionRecord, reason: signaling.CloseReason) -> None:
        """End a session at our wish."""
        self._feed(record, signaling.Evicted(reason=reason))

    def set_tier(self, name: StreamId | None, tier: int) -> None:
        """Set the degradation tier of one stream or of all. Raises PeerError `stream_not_found`."""
        if name is None:
            self._engine.set_tier(None, tier)
            for stream in self._streams.values():
                stream.tier = tier
            return
        found = self._streams.get(name)
        if found is None:
            raise self._stream_not_found(name)
        found.tier = tier
        self._engine.set_tier(found.number, tier)

    def refresh_layers(self) -> None:
        """Take bit and frame rates of all layers from the data plane's statistics."""
        if not self._streams:
            return
        try:
            stats = self._engine.stats()
        except ValueError:
            return
        for stream in self._streams.values():
            layers = stats.video_layers(stream.number)
            if layers and stream.machine.publisher is not None:
                self._feed_stream(stream, sfu.LayersMeasured(layers=layers, fmtp=""))

    def announce_reconnect(self) -> None:
        """Tell every player to join again elsewhere (WHEP draft, event `reconnect`)."""
        for stream in self._streams.values():
            stream.announce(Notice.RECONNECT)

    def close(self) -> None:
        """End every session, with a goodbye each."""
        for record in tuple(self._sessions.values()):
            self.evict(record, signaling.CloseReason.SHUT_DOWN)
        for stream in self._streams.values():
            stream.disarm()
        self._streams.clear()
        self._numbers.clear()

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
            self._feed(record, signaling.PathSelected(address=address, protocol=protocol))

    def on_consent_lapsed(self, handle: Handle) -> None:
        """The peer is silent."""
        record = self._handles.get(handle)
        if record is not None:
            self._feed(record, signaling.ConsentLapsed())

    def on_media(self, stream: int, handle: Handle, flowing: bool) -> None:
        """Media of a publisher started or stopped; what a former publisher did is past."""
        record = self._handles.get(handle)
        live = self._numbers.get(stream)
        if live is not None and record is not None and live.machine.publisher == record.id:
            event = sfu.MediaStarted() if flowing else sfu.MediaStopped()
            self._feed_stream(live, event)

    def on_layers(self, stream: int, layers: tuple[Layer, ...], fmtp: str) -> None:
        """The video's layers were measured anew."""
        live = self._numbers.get(stream)
        if live is not None:
            self._feed_stream(live, sfu.LayersMeasured(layers=layers, fmtp=fmtp))
            # A new layer has no bit rate yet; once it has one, it is told again.
            _at(time.monotonic() + REMEASURE_S, self.refresh_layers)

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

    def _admit(self) -> None:
        limits = self._config.limits
        if len(self._sessions) >= limits.max_sessions:
            raise self._node_full(f"all {limits.max_sessions} sessions are taken")

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
        self._sessions[session] = record
        stream.pending += 1
        try:
            self._feed(record, signaling.OfferReceived())
        except BaseException:
            self._feed(record, signaling.OfferRefused())
            raise
        return record

    def _open_transport(self, record: SessionRecord) -> None:
        """Choose a worker, negotiate, and open the session there."""
        worker = self._engine.choose_worker()
        local = _credentials()
        port = self._engine.ports[worker]
        record.candidates = candidates(
            self._addresses,
            self._config.announce.port_map.get(port, port),
            tcp=self._config.data_plane.tcp,
        )
        self._negotiate(record, local)
        remote = record.negotiated.remote
        channel = record.negotiated.data_channel
        try:
            record.handle = self._engine.open_session(worker, local, remote.ice)
        except (RuntimeError, ValueError) as error:
            raise self._node_full(str(error)) from error
        self._handles[record.handle] = record
        spec = TransportSpec(
            dtls_client=remote.setup == "active",
            fingerprints=remote.fingerprints,
            sctp_port=channel.sctp_port if channel else None,
            max_message_size=channel.max_message_size if channel else 0,
        )
        record.transport = Transport(self._certificate, spec, SessionOwner(self, record))
        self._feed(
            record,
            signaling.TransportOpened(
                answer=record.negotiated.answer, etag=secrets.token_hex(8), remote=remote.ice
            ),
        )

    def _negotiate(self, record: SessionRecord, ice: IceCredentials) -> None:
        local = LocalTransport(
            ice=ice,
            fingerprints=tuple(self._certificate.fingerprints),
            candidates=record.candidates,
        )
        number = secrets.randbits(62)
        if record.role is Role.PUBLISHER:
            record.negotiated = answer_publisher(
                record.offer,
                local,
                session_number=number,
                keep_codecs=record.stream.machine.codecs,
                preference=(*self._config.codecs.video, "opus"),
            )
        else:
            record.negotiated = answer_subscriber(
                record.offer,
                local,
                session_number=number,
                stream=record.stream.machine.tracks,
                ssrcs=_ssrcs(4),
                cname=secrets.token_hex(8),
                playout_delay_ms=self._config.streams.playout_delay_ms,
            )

    def _feed(self, record: SessionRecord, event: signaling.Event) -> list[signaling.Effect]:
        before = record.machine.state
        effects = record.machine.handle(event, time.monotonic())
        after = record.machine.state
        if after is not before:
            record.log.info("session_moved", to=after.name.lower(), by=type(event).__name__)
        for effect in effects:
            self._perform(record, effect)
        self._rearm(record)
        return effects

    def _perform(self, record: SessionRecord, effect: signaling.Effect) -> None:
        match effect:
            case signaling.OpenTransport():
                self._open_transport(record)
            case signaling.SendAnswer(etag=etag):
                record.etag = etag
            case signaling.StartTransport() if record.transport is not None:
                record.transport.start()
            case signaling.AddPublisher():
                event = sfu.PublisherConnected(
                    session=record.id,
                    tracks=record.negotiated.tracks,
                    may_take_over=record.grant.may_take_over,
                )
                self._feed_stream(record.stream, event)
            case signaling.AddSubscriber():
                self._engine.add_subscriber(
                    record.worker_handle, record.stream.number, record.subscriber_spec
                )
                self._feed_stream(record.stream, sfu.SubscriberJoined(session=record.id))
            case signaling.RestartIce(local=local, remote=remote):
                self._engine.restart_ice(record.worker_handle, local, remote)
            case signaling.CloseTransport(reason=reason, detail=detail):
                self._close(record, reason, detail)

    def _close(self, record: SessionRecord, reason: signaling.CloseReason, detail: str) -> None:
        if self._sessions.pop(record.id, None) is None:
            return
        record.disarm()
        record.log.info(
            "session_closed",
            reason=reason,
            lasted_s=round(time.monotonic() - record.opened_at, 3),
            path=record.path,
            **({"detail": detail} if detail else {}),
        )
        self.counters.closed[record.role, reason] += 1
        self._ended[record.id] = (reason, detail)
        if len(self._ended) > ENDED_REMEMBERED:
            self._ended.popitem(last=False)
        for watcher in tuple(record.watchers.values()):
            watcher.close()
        if record.transport is not None:
            record.transport.close()
            record.transport = None
        if record.handle is not None:
            self._handles.pop(record.handle, None)
            self._engine.remove(record.handle)
        record.stream.pending -= 1
        left: sfu.Event
        if record.role is Role.PUBLISHER:
            left = sfu.PublisherLeft(session=record.id)
        else:
            left = sfu.SubscriberLeft(session=record.id)
        self._feed_stream(record.stream, left)
        self._drop_if_unused(record.stream)

    def _rearm(self, record: SessionRecord) -> None:
        deadline = record.machine.deadline
        if deadline == record.deadline:
            return
        record.disarm()
        if deadline is not None:
            record.deadline = deadline
            record.timer = _at(deadline, lambda: self._ring(record))

    def _ring(self, record: SessionRecord) -> None:
        record.timer = record.deadline = None
        self._feed(record, signaling.DeadlineReached())

    # Streams

    def _open_stream(self, name: StreamId) -> LiveStream:
        if len(self._streams) >= self._config.limits.max_streams:
            raise self._node_full(f"all {self._config.limits.max_streams} streams are taken")
        grace = self._config.streams.reconnect_grace_s
        stream = LiveStream(
            name=name,
            number=self._next_number,
            machine=sfu.Stream(grace_s=grace, now=time.monotonic()),
        )
        self._next_number += 1
        self._streams[name] = self._numbers[stream.number] = stream
        self._rearm_stream(stream)
        return stream

    def _feed_stream(self, stream: LiveStream, event: sfu.Event) -> None:
        before = stream.machine.state
        effects = stream.machine.handle(event, time.monotonic())
        after = stream.machine.state
        if after is not before:
            log.info(
                "stream_moved", stream=stream.name, to=after.name.lower(), by=type(event).__name__
            )
        for effect in effects:
            self._perform_stream(stream, effect)
        self._rearm_stream(stream)

    def _perform_stream(self, stream: LiveStream, effect: sfu.Effect) -> None:
        match effect:
            case sfu.AdoptPublisher(session=session):
                record = self._sessions[session]
                self._engine.add_publisher(
                    record.worker_handle, stream.number, record.publisher_spec
                )
                self._changed.set()
                self._changed.clear()
            case sfu.EndSession(session=session, why=why):
                ended = self._sessions.get(session)
                if ended is not None:
                    self.evict(ended, signaling.CloseReason(why))
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
        if self._streams.pop(stream.name, None) is not None:
            stream.disarm()
            del self._numbers[stream.number]
            self._engine.remove_stream(stream.number)
            log.info("stream_forgotten", stream=stream.name)

    def _rearm_stream(self, stream: LiveStream) -> None:
        deadline = stream.machine.deadline
        if deadline == stream.deadline:
            return
        stream.disarm()
        if deadline is not None and stream.name in self._streams:
            stream.deadline = deadline
            stream.timer = _at(deadline, lambda: self._ring_stream(stream))

    def _ring_stream(self, stream: LiveStream) -> None:
        stream.timer = stream.deadline = None
        self._feed_stream(stream, sfu.DeadlineReached())

    # Refusals

    def _node_full(self, detail: str) -> PeerError:
        return PeerError(
            ErrorCode.NODE_FULL, detail, {"Retry-After": str(self._config.limits.retry_after_s)}
        )

    def _stream_not_found(self, name: StreamId) -> PeerError:
        return PeerError(
            ErrorCode.STREAM_NOT_FOUND,
            f"the stream {name} has no publisher",
            {"Retry-After": str(self._config.streams.retry_after_s)},
        )

    def _session_not_found(self, session: str) -> PeerError:
        """404, with the reason while it is remembered: it may name a remedy."""
        end = self._ended.get(SessionId(session))
        if end is None:
            return PeerError(ErrorCode.SESSION_NOT_FOUND, "there is no such session")
        reason, detail = end
        return PeerError(
            ErrorCode.SESSION_NOT_FOUND,
            f"the session has ended: {detail or reason}",
            reason=reason,
        )

    # What transports say, through SessionOwner

    def keys_exported(
        self, record: SessionRecord, profile: str, local: bytes, remote: bytes
    ) -> None:
        """DTLS agreed on SRTP keys."""
        self._engine.set_keys(record.worker_handle, profile, local, remote)

    def feed(self, record: SessionRecord, event: signaling.Event) -> None:
        """Something happened to a session's transport."""
        self._feed(record, event)

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


def _credentials() -> IceCredentials:
    """RFC 8839, section 5.4 wants 24 and 128 bits of randomness; these have 48 and 144."""
    return IceCredentials(ufrag=secrets.token_hex(6), pwd=secrets.token_hex(18))


def _ssrcs(count: int) -> tuple[int, ...]:
    numbers: set[int] = set()
    while len(numbers) < count:
        numbers.add(1 + secrets.randbelow(0xFFFF_FFFE))
    return tuple(numbers)


def _at(deadline: float, call: Callable[[], None]) -> asyncio.TimerHandle:
    loop = asyncio.get_running_loop()
    return loop.call_later(max(0.0, deadline - time.monotonic()), call)


def _ignore_message(_record: SessionRecord, _channel: Channel, _data: str | bytes) -> bool:
    return False


def _ignore_stop(_worker: int, _reason: str) -> None:
    return None

"""The door to aiortc: DTLS, SCTP and data channels over datagrams that the data plane carries.

aiortc runs a task per transport that waits for datagrams. Here a datagram is fed to the transport
as it comes, in the data plane's event callback: no task, no queue, and nothing kept per player that
is only waiting. OpenSSL keeps the last flight, so a retransmitted one is answered again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from aiortc.rtcdatachannel import RTCDataChannel
from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM,
    SRTP_AES128_CM_SHA1_80,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    State,
)
from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport
from OpenSSL import SSL

from edge.server.dtls_records import MTU, datagrams, explain

PROFILES = (SRTP_AEAD_AES_128_GCM, SRTP_AEAD_AES_256_GCM, SRTP_AES128_CM_SHA1_80)
"""SRTP profiles in order of what they cost the data plane per packet."""

MIN_RECORD = 2
"""Shorter datagrams cannot hold a record; OpenSSL's memory BIO takes an empty one for an error."""

MAX_CHANNELS = 16
"""Data channels per session; a player needs three."""

MAX_MESSAGE_BYTES = 262_144
"""Largest message taken from a player: what the answer announces."""

MAX_BUFFERED_BYTES = 262_144
"""Messages to a player beyond this are dropped: it does not read."""

HANDSHAKE_DATAGRAMS = 16
"""Datagrams kept during the handshake, to name the curve if it fails."""

SSL_MODE_RELEASE_BUFFERS = 0x10
"""SSL_MODE_RELEASE_BUFFERS of OpenSSL: an idle connection keeps no record buffers."""

HELLO_REPEATS_S = (0.05, 0.1, 0.2, 0.4)
"""When a client's first flight is sent again. OpenSSL waits 1 s, but a peer that opens its DTLS only
after its own ICE check (FFmpeg's muxer) misses the first hello, and a round trip is far shorter."""


class Owner(Protocol):
    """Who is told what happens on a transport."""

    def on_send(self, datagram: bytes) -> None: ...
    def on_keys(self, profile: str, local: bytes, remote: bytes) -> None: ...
    def on_connected(self, profile: str) -> None: ...
    def on_failed(self, detail: str) -> None: ...
    def on_closed(self) -> None: ...
    def on_channel(self, channel: Channel) -> None: ...
    def on_message(self, channel: Channel, data: str | bytes) -> None: ...


class Certificate:
    """The node's P-256 certificate and the one TLS context that all sessions share."""

    def __init__(self) -> None:
        self._certificate = RTCCertificate.generateCertificate()
        context = self._certificate._create_ssl_context(srtp_profiles=list(PROFILES))
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_mode(SSL_MODE_RELEASE_BUFFERS)
        self._context = context

    @property
    def fingerprints(self) -> list[tuple[str, str]]:
        """(hash, value) as SDP wants them; SHA-256 only, which everybody has to know."""
        return [
            (fingerprint.algorithm, fingerprint.value)
            for fingerprint in self._certificate.getFingerprints()
            if fingerprint.algorithm == "sha-256"
        ]

    def getFingerprints(self) -> list[RTCDtlsFingerprint]:
        """As RTCCertificate has it."""
        return self._certificate.getFingerprints()

    def _create_ssl_context(self, srtp_profiles: object) -> SSL.Context:
        return self._context


class Channel:
    """A data channel that the player opened."""

    __slots__ = ("_channel",)

    def __init__(self, channel: RTCDataChannel) -> None:
        self._channel = channel

    @property
    def label(self) -> str:
        """What the player named it."""
        return self._channel.label

    def send(self, data: str | bytes) -> bool:
        """Queue a message; False when the channel is closed or the player does not read."""
        channel = self._channel
        if channel.readyState != "open" or channel.bufferedAmount > MAX_BUFFERED_BYTES:
            return False
        channel.send(data)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSpec:
    """What the offer and answer say about the transport."""

    dtls_client: bool
    """Whether we say hello: our answer has `a=setup:active`."""
    fingerprints: tuple[tuple[str, str], ...]
    """The peer's, as (hash, value)."""
    sctp_port: int | None = None
    """The peer's SCTP port, if it offered data channels."""
    max_message_size: int = MAX_MESSAGE_BYTES
    """The largest message that the peer takes."""


class Transport:
    """DTLS and data channels of one session."""

    __slots__ = ("__weakref__", "_dtls", "_owner", "_sctp", "_spec")

    def __init__(self, certificate: Certificate, spec: TransportSpec, owner: Owner) -> None:
        if not spec.fingerprints:
            raise ValueError("an offer without fingerprint must not get here")
        self._spec = spec
        self._owner = owner
        self._dtls: _Dtls | None = _Dtls(certificate, spec, owner, self._connected)
        self._sctp: RTCSctpTransport | None = None

    @property
    def has_channels(self) -> bool:
        """Whether data channels were negotiated and are being served."""
        return self._sctp is not None

    def start(self) -> None:
        """There is a path: the client says hello, the server waits for it."""
        if self._dtls is not None:
            self._dtls.begin()

    def receive(self, datagram: bytes) -> None:
        """Take one DTLS datagram. May call any of the owner's methods."""
        if self._dtls is not None and len(datagram) >= MIN_RECORD:
            self._dtls.receive(datagram)

    def close(self) -> None:
        """Say goodbye if there is somebody to say it to, and free everything. Idempotent."""
        dtls, self._dtls = self._dtls, None
        sctp, self._sctp = self._sctp, None
        if sctp is not None:
            # ABORT frees the peer's association at once and needs no answer.
            _run(sctp.stop())
            sctp.remove_all_listeners()
        if dtls is not None:
            dtls.end()

    def _connected(self, dtls: _Dtls, profile: str) -> None:
        self._owner.on_connected(profile)
        if self._spec.sctp_port is not None and self._dtls is dtls:
            self._sctp = sctp = RTCSctpTransport(dtls)
            sctp.on("datachannel", self._opened)
            caps = RTCSctpCapabilities(maxMessageSize=self._spec.max_message_size)
            _run(sctp.start(caps, self._spec.sctp_port))

    def _opened(self, raw: RTCDataChannel) -> None:
        if self._sctp is None or len(self._sctp._data_channels) > MAX_CHANNELS:
            raw.close()
            return
        channel = Channel(raw)
        owner = self._owner

        def received(data: str | bytes) -> None:
            if len(data) <= MAX_MESSAGE_BYTES:
                owner.on_message(channel, data)

        raw.on("message", received)
        owner.on_channel(channel)


class _Path:
    """Stands where aiortc expects an ICE transport. Its SCTP reads `_role`, its statistics `role`."""

    __slots__ = ("_owner",)
    role = _role = "controlled"
    state = "completed"

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    async def _send(self, datagram: bytes) -> None:
        self._owner.on_send(datagram)

    async def _recv(self) -> bytes:
        raise ConnectionError("datagrams are fed, not awaited")

    async def stop(self) -> None:
        """The data plane ends the path."""


class _Dtls(RTCDtlsTransport):
    """aiortc's DTLS transport, fed with datagrams, that exports keys instead of using them."""

    def __init__(
        self,
        certificate: Certificate,
        spec: TransportSpec,
        owner: Owner,
        connected: Callable[[_Dtls, str], None],
    ) -> None:
        super().__init__(_Path(owner), [certificate])  # type: ignore[arg-type, list-item]
        self._context = certificate._create_ssl_context(None)
        self._owner = owner
        self._connected = connected
        self._timer: asyncio.TimerHandle | None = None
        self._seen: list[bytes] = []
        self._hello: list[bytes] = []
        self._remote = RTCDtlsParameters(
            fingerprints=[RTCDtlsFingerprint(algorithm=a, value=v) for a, v in spec.fingerprints]
        )
        self._set_role("client" if spec.dtls_client else "server")
        # RTP never comes this way: the tables that aiortc keeps for it are not needed.
        del self._rtp_router, self._rtp_header_extensions_map

    @property
    def tls(self) -> SSL.Connection:
        """The TLS connection, where it must be there."""
        assert self._ssl is not None
        return self._ssl

    def failed(self) -> bool:
        """Whether a step of the handshake has set the state to FAILED."""
        return self._state is State.FAILED

    def begin(self) -> None:
        """As client, say hello."""
        if self._state is State.NEW and self._role == "client":
            self._open()
            self._shake()
            self._repeat_hello(*HELLO_REPEATS_S)

    def receive(self, datagram: bytes) -> None:
        """Feed one datagram."""
        if self._state is State.NEW and self._role == "server":
            self._open()
        if self._state is State.CONNECTING:
            self._seen = [*self._seen[-HANDSHAKE_DATAGRAMS:], datagram]
            self.tls.bio_write(datagram)
            self._shake()
        elif self._state is State.CONNECTED:
            self.tls.bio_write(datagram)
            self._take()

    def end(self) -> None:
        """Send close_notify and free the TLS connection."""
        self._cancel_timer()
        if self._ssl is not None and self._state in (State.CONNECTING, State.CONNECTED):
            with contextlib.suppress(SSL.Error):
                self._ssl.shutdown()
            self._flush()
        self._set_state(State.CLOSED)
        self._ssl = None
        self.remove_all_listeners()

    def _repeat_hello(self, delay_s: float, *rest: float) -> None:
        def repeat() -> None:
            if self._state is State.CONNECTING and not self._seen:
                for datagram in self._hello:
                    self._owner.on_send(datagram)
                if rest:
                    self._repeat_hello(*rest)

        asyncio.get_running_loop().call_later(delay_s, repeat)

    def _open(self) -> None:
        self._ssl = SSL.Connection(self._context)
        self._ssl.set_ciphertext_mtu(MTU)
        if self._role == "server":
            self._ssl.set_accept_state()
        else:
            self._ssl.set_connect_state()
        self._set_state(State.CONNECTING)

    def _shake(self) -> None:
        """Take the handshake as far as it goes, and arm the retransmission timer."""
        self._cancel_timer()
        try:
            self.tls.do_handshake()
        except SSL.WantReadError:
            self._flush()
            self._arm_timer()
            return
        except SSL.Error as error:
            self._flush()
            self._fail(explain(_reasons(error), self._seen))
            return
        self.encrypted = True
        self._flush()
        self._finish()

    def _finish(self) -> None:
        """Check the peer, hand down keys, and say that we are connected."""
        self._validate_peer_identity(self._remote)
        if self.failed():
            self._fail("the certificate does not match the fingerprint in the offer")
            return
        self._setup_srtp()
        if self.failed():
            self._fail("no SRTP profile in common")
            return
        self._set_state(State.CONNECTED)
        self._hello = []
        # What came is not empty any more, so nothing is kept as a hello.
        self._seen = [b""]
        # DTLS 1.3 may still have a last flight to repeat.
        self._arm_timer()
        self._connected(self, self.tls.get_selected_srtp_profile().decode())
        # Data may have come in the datagram that ended the handshake.
        self._take()

    def _setup_srtp(self) -> None:
        """Export the keys (RFC 5764, section 4.2) and hand them down; no pylibsrtp sessions."""
        chosen = self.tls.get_selected_srtp_profile()
        profile = next((p for p in PROFILES if p.openssl_profile == chosen), None)
        if profile is None:
            self._set_state(State.FAILED)
            return
        size = 2 * (profile.key_length + profile.salt_length)
        material = self.tls.export_keying_material(b"EXTRACTOR-dtls_srtp", size)
        client, server = (profile.get_key_and_salt(material, index) for index in (0, 1))
        local, remote = (client, server) if self._role == "client" else (server, client)
        self._owner.on_keys(chosen.decode(), local, remote)

    def _take(self) -> None:
        """Read what a datagram brought: data for SCTP, a repeated flight, or goodbye."""
        while self._ssl is not None:
            try:
                data = self.tls.recv(65_536)
            except SSL.ZeroReturnError:
                self._flush()
                self._set_state(State.CLOSED)
                self._owner.on_closed()
                return
            except SSL.Error:
                # Nothing more to read, or a forged record: DTLS drops those silently.
                break
            if self._data_receiver is not None and not self._deliver(data):
                return
        if self._ssl is not None:
            self._flush()

    def _deliver(self, data: bytes) -> bool:
        try:
            _run(self._data_receiver._handle_data(data))  # type: ignore[union-attr]
        except Exception as error:  # noqa: BLE001
            # aiortc asserts where a peer breaks SCTP's rules; such a peer is not worth keeping.
            self._fail(f"SCTP: {type(error).__name__} {error}")
            return False
        return True

    def _fail(self, detail: str) -> None:
        self._cancel_timer()
        self._set_state(State.FAILED)
        self._seen = []
        self._owner.on_failed(detail)

    async def _send_data(self, data: bytes) -> None:
        # SCTP's timers may still fire for a transport that has just closed.
        if self._state is State.CONNECTED:
            self.tls.send(data)
            self._flush()

    def _flush(self) -> None:
        """Send everything that OpenSSL wrote, whole records together up to the MTU."""
        pending = b""
        while True:
            try:
                pending += self.tls.bio_read(65_536)
            except SSL.Error:
                break
        flight = datagrams(pending)
        if not self._seen:
            self._hello = flight or self._hello
        for datagram in flight:
            self._owner.on_send(datagram)

    def _arm_timer(self) -> None:
        timeout = self.tls.DTLSv1_get_timeout()
        if timeout is not None:
            self._timer = asyncio.get_running_loop().call_later(timeout, self._timed_out)

    def _timed_out(self) -> None:
        self._timer = None
        if self._ssl is None or self._state not in (State.CONNECTING, State.CONNECTED):
            return
        try:
            self.tls.DTLSv1_handle_timeout()
        except SSL.Error as error:
            self._fail(explain(_reasons(error), self._seen))
            return
        self._flush()
        self._arm_timer()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run to its end a coroutine that never waits: all that it awaits is our synchronous send."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("aiortc waited where it must not")


def _reasons(error: SSL.Error) -> list[str]:
    return [part[-1] for part in (error.args[0] if error.args else []) if part[-1]]

"""
The path of media between a client and an edge: ICE, DTLS, SRTP, and a data channel.

DTLS and SCTP are aiortc's, on a duck type instead of its ICE; RTP and RTCP never enter aiortc.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import pylibsrtp
from aiortc import (
    RTCCertificate,
    RTCDataChannel,
    RTCDataChannelParameters,
    RTCSctpTransport,
)
from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_PROFILES,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
)
from aiortc.rtcsctptransport import RTCSctpCapabilities

from edge.client.description import Answer
from edge.client.failure import ClientError
from edge.client.ice import IceLink

CONNECT_TIMEOUT_S = 8.0
"""For ICE and for DTLS each; longer than any working path takes, shorter than patience."""

_EARLY_DATAGRAMS = 256
"""SRTP kept while the handshake is being finished on this side."""


class Transport:
    """
    A connected, encrypted path.

    ``on_rtp`` and ``on_rtcp`` get decrypted packets with their arrival (monotonic seconds).
    """

    def __init__(
        self, on_rtp: Callable[[bytes, float], None], on_rtcp: Callable[[bytes, float], None]
    ) -> None:
        self._on_rtp = on_rtp
        self._on_rtcp = on_rtcp
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done with a reason when the edge has gone."""
        self.ice = IceLink(self._receive, self._lose)
        self.ice_connected_at = self.dtls_connected_at = 0.0
        self.unprotect_failures = 0
        self.bytes_received = 0
        self._early: list[bytes] = []
        self._certificate = RTCCertificate.generateCertificate()
        self._lower = _DtlsCarrier(self.ice.send)
        self._dtls = RTCDtlsTransport(cast(Any, self._lower), [self._certificate])
        # AES-128-GCM first: the cheapest profile in the gateway, hence what its answers prefer.
        self._dtls._srtp_profiles = sorted(SRTP_PROFILES, key=lambda p: p != SRTP_AEAD_AES_128_GCM)
        self._dtls.on("statechange", self._dtls_changed)
        self._sctp: RTCSctpTransport | None = None

    @property
    def fingerprint(self) -> str:
        """
        Our certificate's digest as ``a=fingerprint`` wants it.
        """
        prints = {f.algorithm: f.value for f in self._certificate.getFingerprints()}
        return f"sha-256 {prints['sha-256']}"

    @property
    def srtp_profile(self) -> str:
        """
        Name of the negotiated SRTP protection profile, empty before the handshake.
        """
        connection = self._dtls._ssl
        return connection.get_selected_srtp_profile().decode() if connection else ""

    async def connect(self, answer: Answer) -> None:
        """
        Run ICE and the DTLS handshake; raises `ClientError` saying which of them failed.
        """
        await self.ice.connect(answer.ice, answer.candidates, CONNECT_TIMEOUT_S)
        self.ice_connected_at = time.monotonic()
        self._dtls._set_role(answer.dtls_role)
        parameters = RTCDtlsParameters(
            fingerprints=[RTCDtlsFingerprint(algorithm=a, value=v) for a, v in answer.fingerprints]
        )
        handshake = asyncio.create_task(self._dtls.start(parameters))
        await asyncio.wait(
            (handshake, self.lost),
            timeout=CONNECT_TIMEOUT_S,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not handshake.done():
            handshake.cancel()
            reason = self.lost.result() if self.lost.done() else "no answer in time"
            raise ClientError(f"the DTLS handshake did not finish: {reason}", retry=True)
        handshake.result()
        if self._dtls.state != "connected":
            raise ClientError(
                "the DTLS handshake failed (certificate does not match the answer?)", retry=True
            )
        self.dtls_connected_at = time.monotonic()
        early, self._early = self._early, []
        for datagram in early:
            self._receive(datagram)

    async def open_data_channel(self, label: str, remote_port: int) -> RTCDataChannel:
        """
        Start SCTP and open a data channel; it is usable once its state is ``open``.
        """
        self._sctp = RTCSctpTransport(self._dtls)
        await self._sctp.start(RTCSctpCapabilities(maxMessageSize=262144), remote_port)
        return RTCDataChannel(self._sctp, RTCDataChannelParameters(label=label))

    def send_rtp(self, packet: bytes) -> None:
        """
        Protect and send one RTP packet.
        """
        self.ice.send(self._dtls._tx_srtp.protect(packet))

    def send_rtcp(self, packet: bytes) -> None:
        """
        Protect and send one compound or reduced-size RTCP packet.
        """
        self.ice.send(self._dtls._tx_srtp.protect_rtcp(packet))

    async def close(self) -> None:
        """
        Say goodbye over SCTP and DTLS, then close the socket.
        """
        if self._sctp is not None:
            await self._sctp.stop()
        self._dtls.remove_all_listeners()
        await self._dtls.stop()
        self._lower.close()
        self.ice.close()
        if not self.lost.done():
            self.lost.cancel()

    def _receive(self, datagram: bytes) -> None:
        self.bytes_received += len(datagram)
        first = datagram[0]
        if 20 <= first <= 63:
            self._lower.feed(datagram)
        elif 128 <= first <= 191:
            if self._dtls.state == "connected":
                self._unprotect(datagram)
            elif len(self._early) < _EARLY_DATAGRAMS:
                self._early.append(datagram)

    def _unprotect(self, datagram: bytes) -> None:
        now = time.monotonic()
        try:
            # RFC 5761, section 4: RTCP packet types, read as RTP, are 64 to 95.
            if 64 <= (datagram[1] & 0x7F) <= 95:
                self._on_rtcp(self._dtls._rx_srtp.unprotect_rtcp(datagram), now)
            else:
                self._on_rtp(self._dtls._rx_srtp.unprotect(datagram), now)
        except (pylibsrtp.Error, ValueError, IndexError):
            self.unprotect_failures += 1

    def _dtls_changed(self) -> None:
        if self._dtls.state == "closed":
            self._lose("the edge closed the session")

    def _lose(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)


class _DtlsCarrier:
    """
    What `RTCDtlsTransport` takes for its ICE transport: it is given DTLS datagrams only.
    """

    role = _role = "controlling"
    state = "completed"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send_datagram = send
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()

    def feed(self, datagram: bytes) -> None:
        self._queue.put_nowait(datagram)

    def close(self) -> None:
        self._queue.put_nowait(b"")

    async def stop(self) -> None:
        self.close()

    async def _recv(self) -> bytes:
        datagram = await self._queue.get()
        if not datagram:
            raise ConnectionError
        return datagram

    async def _send(self, datagram: bytes) -> None:
        self._send_datagram(datagram)

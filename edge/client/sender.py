"""The sending half: RTP streams with retransmission, and what feedback says about them."""

from __future__ import annotations

import secrets
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edge.client import rtcp, rtp
from edge.client.description import AnsweredMedia
from edge.client.packetize import packetizer
from edge.client.sources import AccessUnit
from edge.client.transport import Transport
from edge.model import CodecName, Kind

RING_PACKETS = 1024
"""Packets kept for retransmission: over three seconds at 2.5 Mbit/s."""

_ESTIMATE_WINDOW_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSpec:
    """One RTP stream to send, as negotiated."""

    kind: Kind
    codec: CodecName
    rid: str
    ssrc: int
    rtx_ssrc: int
    media: AnsweredMedia
    payload_type: int
    clock_rate: int

    @property
    def rtx_payload_type(self) -> int | None:
        """
        Payload type of retransmissions if the edge takes them (RFC 4588).
        """
        return self.media.rtx_of(self.payload_type)


@dataclass(slots=True, kw_only=True)
class Counters:
    """What was sent and asked for, since the session began."""

    frames: int = 0
    key_frames: int = 0
    packets: int = 0
    octets: int = 0
    nacked: int = 0
    """Packets that were asked for again."""
    retransmitted: int = 0
    key_requests: int = 0
    lost: int = 0
    """As the edge reports, all streams together."""


class Estimate:
    """
    What the other side's feedback says of the path: bytes acknowledged per second, and loss.
    """

    def __init__(self) -> None:
        self.remb_bps: int | None = None
        self._sent: dict[int, int] = {}
        self._acknowledged: deque[tuple[float, int]] = deque()
        self._seen = self._missing = 0

    def sent(self, number: int, size: int) -> None:
        """
        Note a packet under its transport-wide number.
        """
        self._sent[number] = size
        if len(self._sent) > 8192:
            for old in list(self._sent)[:4096]:
                del self._sent[old]

    def feedback(self, message: rtcp.TransportFeedback) -> None:
        """
        Take in one transport feedback.
        """
        arrivals = message.feedback.arrivals()
        self._seen += message.feedback.count
        self._missing += message.feedback.count - len(arrivals)
        for number, arrival in arrivals.items():
            size = self._sent.pop(number, None)
            if size is not None:
                self._acknowledged.append((arrival, size))
        while self._acknowledged and (
            self._acknowledged[-1][0] - self._acknowledged[0][0] > _ESTIMATE_WINDOW_S
        ):
            self._acknowledged.popleft()

    def __str__(self) -> str:
        words = []
        if self.remb_bps is not None:
            words.append(f"remb {self.remb_bps / 1000:.0f} kbit/s")
        if len(self._acknowledged) > 1:
            span = self._acknowledged[-1][0] - self._acknowledged[0][0]
            rate = sum(size for _, size in self._acknowledged) * 8 / max(span, 0.1)
            loss = 100 * self._missing / max(1, self._seen)
            words.append(f"acked {rate / 1000:.0f} kbit/s, {loss:.1f} % missing")
        return ", ".join(words) or "none"


class MediaSender:
    """
    Sends access units on the streams negotiated and answers feedback.

    ``on_key_request`` gets the RID of the encoding that a player wants a key frame of.
    """

    def __init__(
        self,
        transport: Transport,
        streams: list[StreamSpec],
        on_key_request: Callable[[str], None],
        cname: str = "edge-client",
    ) -> None:
        self.counters = Counters()
        self.estimate = Estimate()
        self.rtt_s: float | None = None
        self._transport = transport
        self._on_key_request = on_key_request
        self._cname = cname
        self._transport_number = 0
        self._streams = [_Stream(spec) for spec in streams]
        self._by_key = {(s.spec.kind, s.spec.rid): s for s in self._streams}
        self._by_ssrc = {s.spec.ssrc: s for s in self._streams}

    def send(self, unit: AccessUnit) -> None:
        """
        Send an access unit now, all its packets back to back.
        """
        stream = self._by_key.get((unit.kind, unit.rid))
        if stream is None:
            return
        if unit.kind == "video":
            self.counters.frames += 1
            self.counters.key_frames += unit.key
        for packet in stream.packets(unit):
            self._transmit(stream, packet)
            self.counters.packets += 1
            self.counters.octets += len(packet.payload)

    def report(self) -> None:
        """
        Send the sender reports that are due (RFC 3550, section 6.4.1): once a second.
        """
        wall_s = time.time()
        for stream in self._streams:
            report = stream.report(wall_s)
            if report is not None:
                description = rtcp.SourceDescription(ssrc=stream.spec.ssrc, cname=self._cname)
                self._transport.send_rtcp(bytes(report) + bytes(description))

    def goodbye(self) -> None:
        """
        Tell the edge that the streams end.
        """
        for stream in self._streams:
            empty = rtcp.ReceiverReport(ssrc=stream.spec.ssrc)
            self._transport.send_rtcp(bytes(empty) + bytes(rtcp.Goodbye(ssrc=stream.spec.ssrc)))

    def handle_rtcp(self, data: bytes, _arrival: float) -> None:
        """
        Take in feedback from the edge; what does not parse is ignored.
        """
        try:
            packets = rtcp.parse(data)
        except ValueError:
            return
        for packet in packets:
            match packet:
                case rtcp.Nack():
                    self._handle_nack(packet)
                case rtcp.PictureLoss():
                    self._handle_picture_loss(packet)
                case rtcp.ReceiverReport() | rtcp.SenderReport():
                    self._handle_blocks(packet.blocks)
                case rtcp.TransportFeedback():
                    self.estimate.feedback(packet)
                case rtcp.BandwidthEstimate():
                    self.estimate.remb_bps = packet.bitrate_bps

    def _transmit(self, stream: _Stream, packet: rtp.RtpPacket, keep: bool = True) -> None:
        data = bytes(self._stamped(stream, packet))
        if keep:
            stream.keep(packet, data)
        self._transport.send_rtp(data)

    def _stamped(self, stream: _Stream, packet: rtp.RtpPacket) -> rtp.RtpPacket:
        ids = stream.spec.media.extensions
        extensions = dict(packet.extensions)
        if "transport_cc" in ids:
            number = self._transport_number
            self._transport_number = (number + 1) & 0xFFFF
            self.estimate.sent(number, len(packet.payload) + 40)
            extensions[ids["transport_cc"]] = struct.pack("!H", number)
        if "abs_send_time" in ids:
            extensions[ids["abs_send_time"]] = rtp.abs_send_time(time.time())
        return rtp.RtpPacket(
            payload_type=packet.payload_type,
            sequence=packet.sequence,
            timestamp=packet.timestamp,
            ssrc=packet.ssrc,
            payload=packet.payload,
            marker=packet.marker,
            extensions=extensions,
        )

    def _handle_nack(self, nack: rtcp.Nack) -> None:
        stream = self._by_ssrc.get(nack.media_ssrc)
        if stream is None:
            return
        for sequence in nack.sequences:
            self.counters.nacked += 1
            kept = stream.kept(sequence)
            if kept is None:
                continue
            packet, data = kept
            repeat = stream.retransmission(packet)
            if repeat is None:
                # Without RTX the very same bytes go out: another packet under the same number
                # would use an SRTP key stream twice.
                self._transport.send_rtp(data)
            else:
                self._transmit(stream, repeat, keep=False)
            self.counters.retransmitted += 1

    def _handle_picture_loss(self, request: rtcp.PictureLoss) -> None:
        stream = self._by_ssrc.get(request.media_ssrc)
        if stream is None or not stream.is_new_request(request):
            return
        self.counters.key_requests += 1
        self._on_key_request(stream.spec.rid)

    def _handle_blocks(self, blocks: tuple[rtcp.ReportBlock, ...]) -> None:
        for block in blocks:
            stream = self._by_ssrc.get(block.ssrc)
            if stream is None:
                continue
            stream.lost = block.lost
            if block.last_sr:
                now = rtp.ntp_time(time.time()) >> 16 & 0xFFFFFFFF
                round_trip = (now - block.last_sr - block.delay_since_sr) & 0xFFFFFFFF
                if round_trip < 10 << 16:
                    self.rtt_s = round_trip / 65536
        self.counters.lost = sum(stream.lost for stream in self._streams)


class _Stream:
    """
    Numbers, clock and memory of one RTP stream.
    """

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec
        self.lost = 0
        self._packetize = packetizer(spec.codec)
        self._sequence = secrets.randbits(15)
        self._rtx_sequence = secrets.randbits(15)
        self._time_offset = secrets.randbits(31)
        self._units = secrets.randbits(15)
        self._packets = self._octets = 0
        self._clock: tuple[float, float] | None = None
        self._ring: dict[int, tuple[rtp.RtpPacket, bytes]] = {}
        self._last_fir: int | None = None

    def packets(self, unit: AccessUnit) -> list[rtp.RtpPacket]:
        payloads = self._packetize(unit.data, unit.key, self._units)
        timestamp = self._rtp_time(unit.media_time_s)
        self._clock = (unit.media_time_s, unit.wall_s)
        self._units += 1
        packets = []
        for index, payload in enumerate(payloads):
            packets.append(
                rtp.RtpPacket(
                    payload_type=self.spec.payload_type,
                    sequence=self._sequence,
                    timestamp=timestamp,
                    ssrc=self.spec.ssrc,
                    payload=payload,
                    marker=index == len(payloads) - 1 and self.spec.kind == "video",
                    extensions=self._extensions(unit, first=index == 0),
                )
            )
            self._sequence = (self._sequence + 1) & 0xFFFF
            self._packets += 1
            self._octets += len(payload)
        return packets

    def report(self, wall_s: float) -> rtcp.SenderReport | None:
        if self._clock is None:
            return None
        media_time_s, captured_s = self._clock
        return rtcp.SenderReport(
            ssrc=self.spec.ssrc,
            ntp=rtp.ntp_time(wall_s),
            rtp_time=self._rtp_time(media_time_s + wall_s - captured_s),
            packets=self._packets,
            octets=self._octets,
        )

    def keep(self, packet: rtp.RtpPacket, data: bytes) -> None:
        self._ring[packet.sequence] = (packet, data)
        self._ring.pop((packet.sequence - RING_PACKETS) & 0xFFFF, None)

    def kept(self, sequence: int) -> tuple[rtp.RtpPacket, bytes] | None:
        return self._ring.get(sequence)

    def retransmission(self, packet: rtp.RtpPacket) -> rtp.RtpPacket | None:
        """
        The packet as RTX (RFC 4588, section 4), or ``None`` where RTX was not agreed.
        """
        payload_type = self.spec.rtx_payload_type
        if payload_type is None:
            return None
        sequence = self._rtx_sequence
        self._rtx_sequence = (sequence + 1) & 0xFFFF
        return rtp.RtpPacket(
            payload_type=payload_type,
            sequence=sequence,
            timestamp=packet.timestamp,
            ssrc=self.spec.rtx_ssrc,
            payload=struct.pack("!H", packet.sequence) + packet.payload,
            marker=packet.marker,
            extensions=self._identity(repaired=True),
        )

    def is_new_request(self, request: rtcp.PictureLoss) -> bool:
        """
        Whether it is no repetition: a FIR counts once per command number (RFC 5104).
        """
        if request.fir_command is None:
            return True
        repeated = request.fir_command == self._last_fir
        self._last_fir = request.fir_command
        return not repeated

    def _rtp_time(self, media_time_s: float) -> int:
        return (self._time_offset + round(media_time_s * self.spec.clock_rate)) & 0xFFFFFFFF

    def _extensions(self, unit: AccessUnit, *, first: bool) -> dict[int, bytes]:
        extensions = self._identity(repaired=False)
        number = self.spec.media.extensions.get("abs_capture_time")
        if number is not None and first:
            extensions[number] = struct.pack("!Q", rtp.ntp_time(unit.wall_s))
        return extensions

    def _identity(self, *, repaired: bool) -> dict[int, bytes]:
        ids = self.spec.media.extensions
        extensions: dict[int, bytes] = {}
        if "mid" in ids:
            extensions[ids["mid"]] = self.spec.media.mid.encode()
        rid_id = ids.get("repaired_rid" if repaired else "rid")
        if self.spec.rid and rid_id is not None:
            extensions[rid_id] = self.spec.rid.encode()
        return extensions

"""The sending half: RTP streams with retransmission, and what feedback says about them."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge.client import rtcp, rtp
from edge.client.estimate import Estimate
from edge.client.outgoing import OutgoingStream, StreamSpec
from edge.client.sources import AccessUnit
from edge.client.transport import Transport


@dataclass(slots=True, kw_only=True)
class Counters:
    """What was sent and asked for, since the session began."""

    frames: int = 0
    """Pictures, as sent in the best layer."""
    key_frames: int = 0
    packets: int = 0
    octets: int = 0
    nacked: int = 0
    """Packets that were asked for again."""
    retransmitted: int = 0
    key_requests: int = 0
    lost: int = 0
    """As the edge reports, all streams together."""


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
        self._streams = [OutgoingStream(spec) for spec in streams]
        self._best = next((s for s in self._streams if s.spec.kind == "video"), None)
        self._by_key = {(s.spec.kind, s.spec.rid): s for s in self._streams}
        self._by_ssrc = {s.spec.ssrc: s for s in self._streams}

    def send(self, unit: AccessUnit) -> None:
        """
        Send an access unit now, all its packets back to back.
        """
        stream = self._by_key.get((unit.kind, unit.rid))
        if stream is None:
            return
        if stream is self._best:
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

    def _transmit(self, stream: OutgoingStream, packet: rtp.RtpPacket, keep: bool = True) -> None:
        data = bytes(self._stamped(stream, packet))
        if keep:
            stream.keep(packet, data)
        self._transport.send_rtp(data)

    def _stamped(self, stream: OutgoingStream, packet: rtp.RtpPacket) -> rtp.RtpPacket:
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

"""The receiving half: demultiplexes RTP, asks for repair, reports, and feeds a decoder."""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass

from edge.client import rtcp, rtp, twcc
from edge.client.depacketize import depacketizer
from edge.client.description import Answer, AnsweredMedia
from edge.client.receiver import Frame, ReceiveCounters, StreamReceiver
from edge.client.transport import Transport
from edge.model import CodecName, Kind

FEEDBACK_INTERVAL_S = 0.1
REPORT_INTERVAL_S = 1.0
KEY_REQUEST_INTERVAL_S = 0.5

_CODECS: dict[str, CodecName] = {
    "h264": "H264",
    "h265": "H265",
    "vp8": "VP8",
    "vp9": "VP9",
    "av1": "AV1",
    "opus": "opus",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    """What a payload type carries."""

    kind: Kind
    codec: CodecName
    clock_rate: int
    media: AnsweredMedia
    repairs: int | None = None
    """For RTX, the payload type that it repairs."""


class Viewer:
    """
    All streams of one session.

    ``on_frame`` gets each complete, decodable video frame with its codec.
    """

    def __init__(
        self, transport: Transport, answer: Answer, on_frame: Callable[[Frame, CodecName], None]
    ) -> None:
        self.counters: dict[Kind, ReceiveCounters] = {
            "audio": ReceiveCounters(),
            "video": ReceiveCounters(),
        }
        self.key_requests = 0
        self.first_packet_at: float | None = None
        self._transport = transport
        self._on_frame = on_frame
        self._ssrc = secrets.randbits(31) | 1
        self._formats = _formats(answer)
        self._streams: dict[Kind, StreamReceiver] = {}
        self._stream_formats: dict[Kind, _Format] = {}
        self._arrivals: dict[int, float] = {}
        self._transport_highest: int | None = None
        self._reported_to: int | None = None
        self._feedback_number = 0
        self._feedback_at = self._report_at = self._key_request_at = 0.0
        self._key_wanted_since: float | None = None

    def jitter_ms(self, kind: Kind) -> float | None:
        """
        Interarrival jitter of a kind of media, ``None`` before its first packet.
        """
        stream = self._streams.get(kind)
        return stream.jitter_ms if stream else None

    def handle_rtp(self, data: bytes, now: float) -> None:
        """
        Take in one RTP packet; what does not parse or belong is ignored.
        """
        try:
            packet = rtp.parse(data)
        except ValueError:
            return
        format_ = self._formats.get(packet.payload_type)
        if format_ is None:
            return
        self._note_transport_number(packet, format_, now)
        if format_.repairs is not None:
            self._repair(packet, format_, now)
        else:
            if self.first_packet_at is None:
                self.first_packet_at = now
            self._stream(packet, format_).receive(packet, now)
        self._collect(format_.kind, now)

    def handle_rtcp(self, data: bytes, now: float) -> None:
        """
        Take in RTCP from the edge.
        """
        try:
            packets = rtcp.parse(data)
        except ValueError:
            return
        for packet in packets:
            if isinstance(packet, rtcp.SenderReport):
                for stream in self._streams.values():
                    if stream.ssrc == packet.ssrc:
                        stream.note_sender_report(packet.ntp, now)

    def tick(self, now: float) -> None:
        """
        Do what is due: repair, key frame requests, feedback, reports. Call every 10 ms or so.
        """
        for kind, stream in self._streams.items():
            self._collect(kind, now)
            sequences = stream.sequences_to_request(now, self._transport.ice.rtt_s)
            if sequences:
                nack = rtcp.Nack(
                    sender_ssrc=self._ssrc, media_ssrc=stream.ssrc, sequences=sequences
                )
                self._transport.send_rtcp(bytes(nack))
        self._request_key_frame(now)
        if now - self._feedback_at >= FEEDBACK_INTERVAL_S:
            self._feedback_at = now
            self._send_feedback()
        if now - self._report_at >= REPORT_INTERVAL_S:
            self._report_at = now
            self._send_reports(now)

    def decoding_failed(self) -> None:
        """
        The decoder refused a frame: the next one it gets must be a key frame.
        """
        if "video" in self._streams:
            self._streams["video"].abandon()

    def _collect(self, kind: Kind, now: float) -> None:
        stream, format_ = self._streams.get(kind), self._stream_formats.get(kind)
        if stream is None or format_ is None:
            return
        for frame in stream.frames(now):
            if kind == "video":
                self._on_frame(frame, format_.codec)

    def _stream(self, packet: rtp.RtpPacket, format_: _Format) -> StreamReceiver:
        stream = self._streams.get(format_.kind)
        known = self._stream_formats.get(format_.kind)
        if stream is None or stream.ssrc != packet.ssrc or known is not format_:
            stream = StreamReceiver(
                packet.ssrc,
                format_.clock_rate,
                depacketizer(format_.codec),
                self.counters[format_.kind],
                nack=format_.kind == "video",
                capture_time_id=format_.media.extensions.get("abs_capture_time"),
            )
            self._streams[format_.kind] = stream
            self._stream_formats[format_.kind] = format_
        return stream

    def _repair(self, packet: rtp.RtpPacket, format_: _Format, now: float) -> None:
        stream = self._streams.get(format_.kind)
        if stream is None or len(packet.payload) < 3 or format_.repairs is None:
            return  # padding that probes the path, or nothing to repair yet
        self.counters[format_.kind].retransmissions += 1
        (sequence,) = struct.unpack_from("!H", packet.payload)
        original = rtp.RtpPacket(
            payload_type=format_.repairs,
            sequence=sequence,
            timestamp=packet.timestamp,
            ssrc=stream.ssrc,
            payload=packet.payload[2:],
            marker=packet.marker,
            extensions=packet.extensions,
        )
        stream.receive(original, now, repaired=True)

    def _note_transport_number(self, packet: rtp.RtpPacket, format_: _Format, now: float) -> None:
        value = packet.extensions.get(format_.media.extensions.get("transport_cc", 0), b"")
        if len(value) < 2:
            return
        (number,) = struct.unpack_from("!H", value)
        if self._transport_highest is None:
            self._transport_highest = number
        number = rtp.extend(number, self._transport_highest)
        self._transport_highest = max(self._transport_highest, number)
        self._arrivals.setdefault(number, now)

    def _send_feedback(self) -> None:
        feedback = twcc.build(self._arrivals, self._feedback_number, self._reported_to)
        if feedback is None:
            return
        self._arrivals.clear()
        self._reported_to = (self._transport_highest or 0) + 1
        self._feedback_number = (self._feedback_number + 1) & 0xFF
        media_ssrc = next(iter(self._streams.values())).ssrc if self._streams else 0
        message = rtcp.TransportFeedback(
            sender_ssrc=self._ssrc, media_ssrc=media_ssrc, feedback=feedback
        )
        self._transport.send_rtcp(bytes(message))

    def _send_reports(self, now: float) -> None:
        reports = [stream.report(now) for stream in self._streams.values()]
        blocks = tuple(block for block in reports if block is not None)
        report = rtcp.ReceiverReport(ssrc=self._ssrc, blocks=blocks)
        name = rtcp.SourceDescription(ssrc=self._ssrc, cname="edge-watch")
        self._transport.send_rtcp(bytes(report) + bytes(name))

    def _request_key_frame(self, now: float) -> None:
        stream = self._streams.get("video")
        if stream is None or not stream.needs_key:
            self._key_wanted_since = None
            return
        if self._key_wanted_since is None:
            self._key_wanted_since = now
        # The first frame may still be on its way in full; the edge sends it without being asked.
        patience = 0.0 if stream.counters.frames else KEY_REQUEST_INTERVAL_S
        if (
            now - self._key_wanted_since < patience
            or now - self._key_request_at < KEY_REQUEST_INTERVAL_S
        ):
            return
        self._key_request_at = now
        self.key_requests += 1
        request = rtcp.PictureLoss(sender_ssrc=self._ssrc, media_ssrc=stream.ssrc)
        self._transport.send_rtcp(bytes(request))


def _formats(answer: Answer) -> dict[int, _Format]:
    formats: dict[int, _Format] = {}
    for media in answer.media:
        if not media.accepted or media.kind not in ("audio", "video"):
            continue
        kind: Kind = "audio" if media.kind == "audio" else "video"
        for number in media.payload_types:
            name, _, rest = media.encodings.get(number, "").partition("/")
            codec = _CODECS.get(name.lower())
            if codec is None:
                continue
            clock_rate = int(rest.split("/")[0]) if rest.split("/")[0].isdigit() else 90000
            formats[number] = _Format(kind=kind, codec=codec, clock_rate=clock_rate, media=media)
            rtx = media.rtx_of(number)
            if rtx is not None:
                formats[rtx] = _Format(
                    kind=kind, codec=codec, clock_rate=clock_rate, media=media, repairs=number
                )
    return formats

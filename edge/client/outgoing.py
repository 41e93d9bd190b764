"""One RTP stream on its way out: numbers, clock, memory for retransmission."""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass

from edge.client import rtcp, rtp
from edge.client.description import AnsweredMedia
from edge.client.packetize import packetizer
from edge.client.sources import AccessUnit
from edge.model import CodecName, Kind

RING_PACKETS = 1024
"""Packets kept for retransmission: over three seconds at 2.5 Mbit/s."""


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


class OutgoingStream:
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
        """
        The packets of an access unit, all but transport-wide stamps.
        """
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
        """
        The sender report due at a wall-clock time, or ``None`` before the first unit.
        """
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
        """
        Remember a packet as it was sent.
        """
        self._ring[packet.sequence] = (packet, data)
        self._ring.pop((packet.sequence - RING_PACKETS) & 0xFFFF, None)

    def kept(self, sequence: int) -> tuple[rtp.RtpPacket, bytes] | None:
        """
        A packet sent lately, and its bytes, or ``None`` if it is too old.
        """
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

"""RTP packets and their header extensions as bytes (RFC 3550, RFC 8285)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

NTP_EPOCH_OFFSET_S = 2_208_988_800
"""Seconds from the NTP era (1900) to the Unix one (1970)."""

_HEADER = struct.Struct("!BBHII")
_ONE_BYTE_PROFILE = 0xBEDE


@dataclass(frozen=True, slots=True, kw_only=True)
class RtpPacket:
    """One RTP packet, without its padding."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    extensions: Mapping[int, bytes] = field(default_factory=dict)

    def __bytes__(self) -> bytes:
        extension = pack_extensions(self.extensions)
        first = 0x90 if extension else 0x80
        second = (0x80 if self.marker else 0) | self.payload_type
        fixed = _HEADER.pack(first, second, self.sequence, self.timestamp, self.ssrc)
        return fixed + extension + self.payload


def pack_extensions(values: Mapping[int, bytes]) -> bytes:
    """
    One-byte-header extensions, padded to words; ids 1 to 14, values of 1 to 16 bytes.
    """
    if not values:
        return b""
    body = b"".join(bytes(((n << 4) | (len(v) - 1),)) + v for n, v in values.items())
    body += bytes(-len(body) % 4)
    return struct.pack("!HH", _ONE_BYTE_PROFILE, len(body) // 4) + body


def parse(data: bytes) -> RtpPacket:
    """
    Parse an RTP packet; raises `ValueError` if it is not one.
    """
    if len(data) < _HEADER.size:
        raise ValueError("RTP packet shorter than its header")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2:
        raise ValueError("RTP version is not 2")
    start = _HEADER.size + 4 * (first & 0x0F)
    extensions: dict[int, bytes] = {}
    if first & 0x10:
        if len(data) < start + 4:
            raise ValueError("RTP extension header is cut")
        profile, words = struct.unpack_from("!HH", data, start)
        start += 4
        extensions = _parse_extensions(profile, data[start : start + 4 * words])
        start += 4 * words
    end = len(data) - (data[-1] if first & 0x20 else 0)
    if start > end:
        raise ValueError("RTP header or padding is longer than the packet")
    return RtpPacket(
        payload_type=second & 0x7F,
        marker=bool(second & 0x80),
        sequence=sequence,
        timestamp=timestamp,
        ssrc=ssrc,
        payload=data[start:end],
        extensions=extensions,
    )


def _parse_extensions(profile: int, body: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    two_byte = profile & 0xFFF0 == 0x1000
    if profile != _ONE_BYTE_PROFILE and not two_byte:
        return found
    at = 0
    while at < len(body):
        if body[at] == 0:  # padding
            at += 1
            continue
        if two_byte:
            if at + 2 > len(body):
                break
            number, length, at = body[at], body[at + 1], at + 2
        else:
            number, length, at = body[at] >> 4, (body[at] & 0x0F) + 1, at + 1
            if number == 15:
                break
        found[number] = body[at : at + length]
        at += length
    return found


def ntp_time(wall_s: float) -> int:
    """
    Unix seconds as a 64-bit NTP timestamp.
    """
    return int((wall_s + NTP_EPOCH_OFFSET_S) * (1 << 32)) & 0xFFFF_FFFF_FFFF_FFFF


def abs_send_time(wall_s: float) -> bytes:
    """
    The abs-send-time extension: 24 bits, 6 of whole seconds and 18 of fraction.
    """
    return (int(wall_s * (1 << 18)) & 0xFFFFFF).to_bytes(3, "big")


def extend(value: int, reference: int, bits: int = 16) -> int:
    """
    The number nearest to ``reference`` whose low ``bits`` are ``value``.
    """
    size = 1 << bits
    return reference + (value - reference + size // 2) % size - size // 2

"""
RTP payloads of one picture back into an access unit, one function per codec.

Each takes the payloads of a frame that has no gap and raises `ValueError` when they do not begin or
end where a frame does, which is how a receiver learns that it joined in the middle of one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.client import h264
from edge.client.packetize import leb128, read_leb128
from edge.model import CodecName


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One access unit as a decoder takes it."""

    data: bytes
    key: bool
    """Whether decoding can start here."""


Depacketize = Callable[[Sequence[bytes]], Picture]


def depacketizer(codec: CodecName) -> Depacketize:
    """
    The function that joins payloads of a codec; it raises `ValueError` and nothing else.
    """
    join = _DEPACKETIZERS[codec]

    def depacketize(payloads: Sequence[bytes]) -> Picture:
        if not payloads or not all(payloads):
            raise ValueError("a picture needs payloads that are not empty")
        return join(payloads)

    return depacketize


def _h264(payloads: Sequence[bytes]) -> Picture:
    nals: list[bytes] = []
    fragment: bytearray | None = None
    for payload in payloads:
        kind = payload[0] & 0x1F
        if kind == 24:
            nals += _lengths(payload[1:])
        elif kind == 28:
            header = bytes((payload[0] & 0xE0 | _at(payload, 1) & 0x1F,))
            fragment = _fragment(fragment, payload[1], header, payload[2:])
            if payload[1] & 0x40:
                nals.append(bytes(fragment))
                fragment = None
        elif 1 <= kind <= 23:
            nals.append(payload)
        else:
            raise ValueError(f"H.264 packet type {kind} is not used in WebRTC")
    if fragment is not None or not nals:
        raise ValueError("H.264 picture is cut")
    return Picture(data=h264.join_annexb(nals), key=h264.is_avc_key(nals))


def _h265(payloads: Sequence[bytes]) -> Picture:
    nals: list[bytes] = []
    fragment: bytearray | None = None
    for payload in payloads:
        kind = h264.hevc_type(payload)
        if kind == 48:
            nals += _lengths(payload[2:])
        elif kind == 49:
            header = bytes((payload[0] & 0x81 | (_at(payload, 2) & 0x3F) << 1, payload[1]))
            fragment = _fragment(fragment, payload[2], header, payload[3:])
            if payload[2] & 0x40:
                nals.append(bytes(fragment))
                fragment = None
        elif kind < 48:
            nals.append(payload)
        else:
            raise ValueError(f"H.265 packet type {kind} is not used in WebRTC")
    if fragment is not None or not nals:
        raise ValueError("H.265 picture is cut")
    return Picture(data=h264.join_annexb(nals), key=h264.is_hevc_key(nals))


def _fragment(open_: bytearray | None, flags: int, header: bytes, body: bytes) -> bytearray:
    if flags & 0x80:
        if open_ is not None:
            raise ValueError("fragment starts inside another")
        return bytearray(header + body)
    if open_ is None:
        raise ValueError("fragment without its start")
    open_ += body
    return open_


def _lengths(body: bytes) -> list[bytes]:
    units, at = [], 0
    while at + 2 <= len(body):
        (size,) = struct.unpack_from("!H", body, at)
        unit = body[at + 2 : at + 2 + size]
        if len(unit) != size or not size:
            raise ValueError("aggregated unit is cut")
        units.append(unit)
        at += 2 + size
    return units


def _vp8(payloads: Sequence[bytes]) -> Picture:
    parts = []
    for index, payload in enumerate(payloads):
        starts = payload[0] & 0x10 and not payload[0] & 0x07
        if (index == 0) != bool(starts):
            raise ValueError("VP8 picture does not begin where its packets do")
        parts.append(payload[_vp8_descriptor(payload) :])
    data = b"".join(parts)
    if not data:
        raise ValueError("VP8 picture is empty")
    return Picture(data=data, key=not data[0] & 1)


def _vp8_descriptor(payload: bytes) -> int:
    at = 1
    if payload[0] & 0x80:
        flags = _at(payload, 1)
        at = 2
        if flags & 0x80:
            at += 2 if _at(payload, at) & 0x80 else 1
        at += bool(flags & 0x40) + bool(flags & 0x30)
    return at


def _vp9(payloads: Sequence[bytes]) -> Picture:
    if not payloads[0][0] & 0x08 or not payloads[-1][0] & 0x04:
        raise ValueError("VP9 picture does not begin or end where its packets do")
    data = b"".join(payload[_vp9_descriptor(payload) :] for payload in payloads)
    return Picture(data=data, key=not payloads[0][0] & 0x40)


def _vp9_descriptor(payload: bytes) -> int:
    flags, at = payload[0], 1
    if flags & 0x80:
        at += 2 if _at(payload, at) & 0x80 else 1
    if flags & 0x20:  # layer indices, with TL0PICIDX when not flexible
        at += 1 if flags & 0x10 else 2
    if flags & 0x50 == 0x50:  # flexible mode: up to three reference distances
        more = True
        while more:
            more = bool(_at(payload, at) & 1)
            at += 1
    if flags & 0x02:
        at = _vp9_structure(payload, at)
    return at


def _vp9_structure(payload: bytes, at: int) -> int:
    head = _at(payload, at)
    at += 1
    if head & 0x10:
        at += 4 * ((head >> 5) + 1)
    if head & 0x08:
        pictures = _at(payload, at)
        at += 1
        for _ in range(pictures):
            at += 1 + (_at(payload, at) >> 2 & 3)
    return at


def _av1(payloads: Sequence[bytes]) -> Picture:
    obus: list[bytes] = []
    open_ = b""
    for index, payload in enumerate(payloads):
        flags = payload[0]
        if bool(flags & 0x80) != bool(open_) or (index == 0 and flags & 0x80):
            raise ValueError("AV1 picture does not begin where its packets do")
        elements = _av1_elements(payload)
        if not elements:
            continue
        elements[0] = open_ + elements[0]
        open_ = elements.pop() if flags & 0x40 else b""
        obus += elements
    if open_ or not obus:
        raise ValueError("AV1 picture is cut")
    key = bool(payloads[0][0] & 0x08) or any(obu[0] >> 3 & 0x0F == 1 for obu in obus if obu)
    delimiter = b"\x12\x00"
    return Picture(data=delimiter + b"".join(map(_with_size, obus)), key=key)


def _av1_elements(payload: bytes) -> list[bytes]:
    count, at = payload[0] >> 4 & 3, 1
    elements: list[bytes] = []
    while at < len(payload):
        if count and len(elements) == count - 1:
            size = len(payload) - at
        else:
            size, at = read_leb128(payload, at)
        if at + size > len(payload):
            raise ValueError("AV1 element is cut")
        elements.append(payload[at : at + size])
        at += size
    return elements


def _with_size(obu: bytes) -> bytes:
    if not obu:
        return b""
    head = 2 if obu[0] & 0x04 else 1
    if obu[0] & 0x02:
        return obu
    return bytes((obu[0] | 0x02,)) + obu[1:head] + leb128(len(obu) - head) + obu[head:]


def _opus(payloads: Sequence[bytes]) -> Picture:
    return Picture(data=b"".join(payloads), key=True)


def _at(payload: bytes, index: int) -> int:
    if index >= len(payload):
        raise ValueError("payload descriptor is cut")
    return payload[index]


_DEPACKETIZERS: dict[CodecName, Depacketize] = {
    "H264": _h264,
    "H265": _h265,
    "VP8": _vp8,
    "VP9": _vp9,
    "AV1": _av1,
    "opus": _opus,
}

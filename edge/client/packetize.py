"""
Access units into RTP payloads, one function per codec.

Fragments of one unit get equal sizes (within a byte), so that a burst can be sent with UDP GSO.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from edge.client import h264
from edge.model import CodecName

MAX_PAYLOAD_BYTES = 1180
"""Leaves room for RTP, eight extensions, the SRTP tag, UDP and IPv6 within 1,280 bytes."""

Packetize = Callable[[bytes, bool, int], list[bytes]]
"""From (access unit, is it a key frame, its number) to payloads; the last one gets the marker."""


def packetizer(codec: CodecName) -> Packetize:
    """
    The function that makes payloads for a codec.
    """
    return _PACKETIZERS[codec]


def equal_pieces(data: bytes, limit: int) -> list[bytes]:
    """
    Cut into the fewest pieces of at most ``limit`` bytes whose sizes differ by at most one.
    """
    count = max(1, -(-len(data) // limit))
    small, longer = divmod(len(data), count)
    pieces, at = [], 0
    for index in range(count):
        size = small + (index < longer)
        pieces.append(data[at : at + size])
        at += size
    return pieces


def _h264(unit: bytes, _key: bool, _number: int) -> list[bytes]:
    left_out = (h264.AVC_DELIMITER, h264.AVC_FILLER)
    nals = [nal for nal in h264.split_annexb(unit) if h264.avc_type(nal) not in left_out]
    return _group(nals, _stap_a, _fu_a)


def _h265(unit: bytes, _key: bool, _number: int) -> list[bytes]:
    left_out = (h264.HEVC_DELIMITER, h264.HEVC_FILLER)
    nals = [nal for nal in h264.split_annexb(unit) if h264.hevc_type(nal) not in left_out]
    return _group(nals, _hevc_ap, _hevc_fu)


def _group(
    nals: Sequence[bytes],
    aggregate: Callable[[Sequence[bytes]], bytes],
    fragment: Callable[[bytes], list[bytes]],
) -> list[bytes]:
    """
    Small neighbours share a packet, big units are fragmented, the rest travel alone.
    """
    payloads: list[bytes] = []
    waiting: list[bytes] = []

    def flush() -> None:
        if waiting:
            payloads.append(waiting[0] if len(waiting) == 1 else aggregate(waiting))
            waiting.clear()

    for nal in nals:
        if sum(len(w) + 2 for w in waiting) + len(nal) + 4 > MAX_PAYLOAD_BYTES:
            flush()
        if len(nal) > MAX_PAYLOAD_BYTES:
            payloads += fragment(nal)
        else:
            waiting.append(nal)
    flush()
    return payloads


def _stap_a(nals: Sequence[bytes]) -> bytes:
    # RFC 6184, section 5.7.1: the header takes the highest NRI of its units.
    header = max(nal[0] & 0x60 for nal in nals) | 24
    return bytes((header,)) + b"".join(struct.pack("!H", len(nal)) + nal for nal in nals)


def _fu_a(nal: bytes) -> list[bytes]:
    indicator, kind = nal[0] & 0xE0 | 28, nal[0] & 0x1F
    pieces = equal_pieces(nal[1:], MAX_PAYLOAD_BYTES - 2)
    last = len(pieces) - 1
    return [
        bytes((indicator, kind | (0x80 if i == 0 else 0) | (0x40 if i == last else 0))) + piece
        for i, piece in enumerate(pieces)
    ]


def _hevc_ap(nals: Sequence[bytes]) -> bytes:
    # RFC 7798, section 4.4.2: lowest layer id and temporal id of the units; both are 0 and 1 here.
    header = struct.pack("!BB", 48 << 1, 1)
    return header + b"".join(struct.pack("!H", len(nal)) + nal for nal in nals)


def _hevc_fu(nal: bytes) -> list[bytes]:
    kind = h264.hevc_type(nal)
    header = bytes((nal[0] & 0x81 | 49 << 1, nal[1]))
    pieces = equal_pieces(nal[2:], MAX_PAYLOAD_BYTES - 3)
    last = len(pieces) - 1
    return [
        header + bytes((kind | (0x80 if i == 0 else 0) | (0x40 if i == last else 0),)) + piece
        for i, piece in enumerate(pieces)
    ]


def _vp8(unit: bytes, _key: bool, number: int) -> list[bytes]:
    # RFC 7741, section 4.2: X and I set, a picture id of 15 bits.
    picture_id = struct.pack("!H", 0x8000 | number & 0x7FFF)
    pieces = equal_pieces(unit, MAX_PAYLOAD_BYTES - 4)
    return [
        bytes((0x80 | (0x10 if i == 0 else 0), 0x80)) + picture_id + piece
        for i, piece in enumerate(pieces)
    ]


def _vp9(unit: bytes, key: bool, number: int) -> list[bytes]:
    # RFC 9628, section 4.2: picture id of 15 bits, one spatial and one temporal layer.
    picture_id = struct.pack("!H", 0x8000 | number & 0x7FFF)
    pieces = equal_pieces(unit, MAX_PAYLOAD_BYTES - 3)
    last = len(pieces) - 1
    predicted = 0 if key else 0x40
    return [
        bytes((0x80 | predicted | (0x08 if i == 0 else 0) | (0x04 if i == last else 0),))
        + picture_id
        + piece
        for i, piece in enumerate(pieces)
    ]


def _opus(unit: bytes, _key: bool, _number: int) -> list[bytes]:
    return [unit]


_OBU_SEQUENCE_HEADER, _OBU_DELIMITER, _OBU_TILE_LIST, _OBU_PADDING = 1, 2, 8, 15


def _av1(unit: bytes, key: bool, _number: int) -> list[bytes]:
    """
    AV1 RTP payload format, version 1.0, section 4: every element carries its length (W is 0).
    """
    left_out = (_OBU_DELIMITER, _OBU_TILE_LIST, _OBU_PADDING)
    obus = [obu for obu in split_obus(unit) if obu[0] >> 3 & 0x0F not in left_out]
    if not obus:
        return []
    total = sum(len(obu) + 3 for obu in obus)
    limit = -(-total // max(1, -(-total // (MAX_PAYLOAD_BYTES - 1))))
    packets: list[list[bytes]] = [[]]
    continued = [False]
    for obu in obus:
        rest = obu
        while rest:
            room = limit - sum(map(len, packets[-1])) - 2
            if room <= 0:
                packets.append([])
                continued.append(len(rest) < len(obu))
                continue
            piece, rest = rest[:room], rest[room:]
            packets[-1].append(leb128(len(piece)) + piece)
    payloads = []
    for index, elements in enumerate(packets):
        z = 0x80 if continued[index] else 0
        y = 0x40 if index + 1 < len(packets) and continued[index + 1] else 0
        n = 0x08 if index == 0 and key else 0
        payloads.append(bytes((z | y | n,)) + b"".join(elements))
    return payloads


def leb128(value: int) -> bytes:
    """
    A number in AV1's variable-length code.
    """
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_leb128(data: bytes, at: int) -> tuple[int, int]:
    """
    The number at an offset and the offset behind it; raises `ValueError` if it is cut or too long.
    """
    value = 0
    for index in range(8):
        if at + index >= len(data):
            break
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value, at + index + 1
    raise ValueError("AV1 length is malformed")


def split_obus(data: bytes) -> list[bytes]:
    """
    The open bitstream units of a temporal unit, without their size fields.

    Raises `ValueError` if a size does not fit.
    """
    obus, at = [], 0
    while at < len(data):
        header = data[at]
        head = 2 if header & 0x04 else 1
        if header & 0x02:
            size, start = read_leb128(data, at + head)
        else:
            start = at + head
            size = len(data) - start
        if start + size > len(data) or size < 0:
            raise ValueError("AV1 unit is cut")
        first = bytes((header & ~0x02,)) + data[at + 1 : at + head]
        obus.append(first + data[start : start + size])
        at = start + size
    return obus


_PACKETIZERS: dict[CodecName, Packetize] = {
    "H264": _h264,
    "H265": _h265,
    "VP8": _vp8,
    "VP9": _vp9,
    "AV1": _av1,
    "opus": _opus,
}

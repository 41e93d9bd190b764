"""RTCP packets that the clients speak (RFC 3550, RFC 4585, RFC 5104, REMB)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from edge.client import twcc

_SR, _RR, _SDES, _BYE, _RTPFB, _PSFB = 200, 201, 202, 203, 205, 206
_NACK, _TWCC = 1, 15
_PLI, _FIR, _ALFB = 1, 4, 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportBlock:
    """How one source is received (RFC 3550, section 6.4.1)."""

    ssrc: int
    fraction_lost: int = 0
    """Since the last report, in 1/256."""
    lost: int = 0
    highest_sequence: int = 0
    jitter: int = 0
    """In units of the RTP clock."""
    last_sr: int = 0
    delay_since_sr: int = 0
    """In 1/65536 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderReport:
    """What a sender sent, and its clocks."""

    ssrc: int
    ntp: int
    rtp_time: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()

    def __bytes__(self) -> bytes:
        body = struct.pack(
            "!IQIII", self.ssrc, self.ntp, self.rtp_time, self.packets, self.octets & 0xFFFFFFFF
        )
        return _packet(_SR, len(self.blocks), body + b"".join(map(_pack_block, self.blocks)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverReport:
    """What a receiver received."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()

    def __bytes__(self) -> bytes:
        body = struct.pack("!I", self.ssrc) + b"".join(map(_pack_block, self.blocks))
        return _packet(_RR, len(self.blocks), body)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDescription:
    """The canonical name of a source."""

    ssrc: int
    cname: str

    def __bytes__(self) -> bytes:
        name = self.cname.encode()[:255]
        item = struct.pack("!IBB", self.ssrc, 1, len(name)) + name
        return _packet(_SDES, 1, item + bytes(4 - len(item) % 4))


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodbye:
    """A source that ends."""

    ssrc: int

    def __bytes__(self) -> bytes:
        return _packet(_BYE, 1, struct.pack("!I", self.ssrc))


@dataclass(frozen=True, slots=True, kw_only=True)
class Nack:
    """Sequence numbers that a receiver misses (RFC 4585, section 6.2.1)."""

    sender_ssrc: int
    media_ssrc: int
    sequences: tuple[int, ...]

    def __bytes__(self) -> bytes:
        body = struct.pack("!II", self.sender_ssrc, self.media_ssrc)
        return _packet(_RTPFB, _NACK, body + _pack_nack(self.sequences))


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureLoss:
    """A request for a key frame: PLI, or FIR with its command number (RFC 5104, section 4.3.1)."""

    sender_ssrc: int
    media_ssrc: int
    fir_command: int | None = None

    def __bytes__(self) -> bytes:
        if self.fir_command is None:
            return _packet(_PSFB, _PLI, struct.pack("!II", self.sender_ssrc, self.media_ssrc))
        entry = struct.pack("!IB3x", self.media_ssrc, self.fir_command)
        return _packet(_PSFB, _FIR, struct.pack("!II", self.sender_ssrc, 0) + entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class BandwidthEstimate:
    """The receiver's own estimate (REMB)."""

    bitrate_bps: int
    ssrcs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportFeedback:
    """Arrivals of packets by transport-wide number."""

    sender_ssrc: int
    media_ssrc: int
    feedback: twcc.Feedback

    def __bytes__(self) -> bytes:
        body = struct.pack("!II", self.sender_ssrc, self.media_ssrc) + bytes(self.feedback)
        return _packet(_RTPFB, _TWCC, body + bytes(-len(body) % 4))


Packet = (
    SenderReport
    | ReceiverReport
    | SourceDescription
    | Goodbye
    | Nack
    | PictureLoss
    | BandwidthEstimate
    | TransportFeedback
)


def parse(data: bytes) -> list[Packet]:
    """
    Parse a compound packet; kinds that the clients do not use are left out.

    Raises `ValueError` if lengths or versions do not fit.
    """
    packets: list[Packet] = []
    at = 0
    while at < len(data):
        if len(data) - at < 4:
            raise ValueError("RTCP header is cut")
        first, kind, words = struct.unpack_from("!BBH", data, at)
        end = at + 4 + 4 * words
        if first >> 6 != 2 or end > len(data):
            raise ValueError("RTCP version or length is wrong")
        body = data[at + 4 : end]
        if first & 0x20 and body:
            body = body[: max(0, len(body) - body[-1])]
        try:
            packets += _parse_body(kind, first & 0x1F, body)
        except struct.error as error:
            raise ValueError(f"RTCP packet of type {kind} is cut") from error
        at = end
    return packets


def _parse_body(kind: int, count: int, body: bytes) -> Sequence[Packet]:
    match kind, count:
        case (200, _):
            ssrc, ntp, rtp_time, packets, octets = struct.unpack_from("!IQIII", body)
            blocks = _parse_blocks(body[24:], count)
            return [
                SenderReport(
                    ssrc=ssrc,
                    ntp=ntp,
                    rtp_time=rtp_time,
                    packets=packets,
                    octets=octets,
                    blocks=blocks,
                )
            ]
        case (201, _):
            (ssrc,) = struct.unpack_from("!I", body)
            return [ReceiverReport(ssrc=ssrc, blocks=_parse_blocks(body[4:], count))]
        case (203, _):
            ssrcs = struct.unpack_from(f"!{count}I", body)
            return [Goodbye(ssrc=ssrc) for ssrc in ssrcs]
        case (205, 1):
            sender, media = struct.unpack_from("!II", body)
            return [Nack(sender_ssrc=sender, media_ssrc=media, sequences=_parse_nack(body[8:]))]
        case (205, 15):
            sender, media = struct.unpack_from("!II", body)
            feedback = twcc.parse(body[8:])
            return [TransportFeedback(sender_ssrc=sender, media_ssrc=media, feedback=feedback)]
        case (206, 1):
            sender, media = struct.unpack_from("!II", body)
            return [PictureLoss(sender_ssrc=sender, media_ssrc=media)]
        case (206, 4):
            (sender,) = struct.unpack_from("!I", body)
            entries = struct.iter_unpack("!IB3x", body[8 : len(body) - len(body) % 8])
            return [
                PictureLoss(sender_ssrc=sender, media_ssrc=media, fir_command=number)
                for media, number in entries
            ]
        case (206, 15) if body[8:12] == b"REMB":
            return [_parse_remb(body[12:])]
    return []


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def _pack_block(block: ReportBlock) -> bytes:
    lost = max(-0x800000, min(0x7FFFFF, block.lost)) & 0xFFFFFF
    return struct.pack(
        "!IIIIII",
        block.ssrc,
        (block.fraction_lost << 24) | lost,
        block.highest_sequence & 0xFFFFFFFF,
        block.jitter,
        block.last_sr,
        block.delay_since_sr & 0xFFFFFFFF,
    )


def _parse_blocks(body: bytes, count: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for index in range(count):
        ssrc, loss, highest, jitter, last, delay = struct.unpack_from("!IIIIII", body, 24 * index)
        lost = loss & 0xFFFFFF
        blocks.append(
            ReportBlock(
                ssrc=ssrc,
                fraction_lost=loss >> 24,
                lost=lost - (1 << 24) if lost & 0x800000 else lost,
                highest_sequence=highest,
                jitter=jitter,
                last_sr=last,
                delay_since_sr=delay,
            )
        )
    return tuple(blocks)


def _pack_nack(sequences: Sequence[int]) -> bytes:
    entries: list[list[int]] = []
    for sequence in sequences:
        distance = (sequence - entries[-1][0]) & 0xFFFF if entries else 0
        if entries and 1 <= distance <= 16:
            entries[-1][1] |= 1 << (distance - 1)
        elif not entries or distance:
            entries.append([sequence, 0])
    return b"".join(struct.pack("!HH", first, mask) for first, mask in entries)


def _parse_nack(body: bytes) -> tuple[int, ...]:
    sequences: list[int] = []
    for first, mask in struct.iter_unpack("!HH", body[: len(body) - len(body) % 4]):
        sequences.append(first)
        sequences += [(first + 1 + bit) & 0xFFFF for bit in range(16) if mask >> bit & 1]
    return tuple(sequences)


def _parse_remb(body: bytes) -> BandwidthEstimate:
    (word,) = struct.unpack_from("!I", body)
    ssrcs = struct.unpack_from(f"!{word >> 24}I", body, 4)
    bitrate = (word & 0x3FFFF) << ((word >> 18) & 0x3F)
    return BandwidthEstimate(bitrate_bps=bitrate, ssrcs=ssrcs)

"""The data channel section (RFC 8841), also in the form of the drafts before it."""

from __future__ import annotations

from dataclasses import dataclass

from edge.signaling import attributes
from edge.signaling.answer import AnsweredSection
from edge.signaling.offer import OfferedMedia
from edge.signaling.sdp import MediaSection

LOCAL_PORT = 5000
"""The edge's SCTP port; there is one association per transport, so it is never another."""
LOCAL_MAX_MESSAGE_BYTES = 262_144
"""Largest message the edge takes: what aiortc's SCTP takes."""
_DEFAULT_MAX_MESSAGE_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChannelSection:
    """What the peer said of its SCTP association."""

    mid: str
    sctp_port: int
    max_message_size: int
    """Largest message it takes in bytes; 65,536 where it does not say (RFC 8841, section 6.1)."""


def answer_data_channel(
    media: OfferedMedia, former: DataChannelSection | None
) -> tuple[DataChannelSection | None, AnsweredSection]:
    """Accept the first section that carries data channels: the one in force, and this answer."""
    section = media.section
    port = _sctp_port(section)
    if former is not None or not port:
        return former, AnsweredSection(media=media)
    size = attributes.max_message_size(
        section.body.first("max-message-size") or str(_DEFAULT_MAX_MESSAGE_BYTES)
    )
    channel = DataChannelSection(
        mid=media.name,
        sctp_port=port,
        # 0 means any size: then the edge's own limit holds both ways.
        max_message_size=min(size or LOCAL_MAX_MESSAGE_BYTES, LOCAL_MAX_MESSAGE_BYTES),
    )
    return channel, _answer(media, legacy=_is_legacy(section))


def _answer(media: OfferedMedia, *, legacy: bool) -> AnsweredSection:
    size = f"max-message-size:{LOCAL_MAX_MESSAGE_BYTES}"
    if legacy:
        lines = (f"sctpmap:{LOCAL_PORT} webrtc-datachannel 1024", size)
        return AnsweredSection(media=media, formats=(str(LOCAL_PORT),), lines=lines)
    return AnsweredSection(
        media=media, formats=("webrtc-datachannel",), lines=(f"sctp-port:{LOCAL_PORT}", size)
    )


def _sctp_port(section: MediaSection) -> int:
    """The peer's SCTP port; 0 when the section carries no data channels or is closed."""
    if not _is_legacy(section):
        if section.formats[0] != "webrtc-datachannel":
            return 0
        return attributes.sctp_port(section.body.first("sctp-port") or str(LOCAL_PORT))
    maps = [attributes.sctpmap(value) for value in section.body.values("sctpmap")]
    ports = [port for port, protocol in maps if protocol == "webrtc-datachannel"]
    return ports[0] if ports else 0


def _is_legacy(section: MediaSection) -> bool:
    return section.protocol.upper() == "DTLS/SCTP"

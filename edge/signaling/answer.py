"""Writes answers: sections as decided, one transport, ICE-lite.

RFC 9429, section 5.3 (answers); RFC 9143, section 7.3 (BUNDLE); RFC 8839, section 5.3 (ICE-lite).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.signaling.attributes import rtpmap
from edge.signaling.codecs import OfferedCodec
from edge.signaling.extensions import Extension
from edge.signaling.offer import Direction, Offer, OfferedMedia
from edge.signaling.sdp import Body, Line, MediaSection, SessionDescription
from edge.signaling.transport import LocalTransport, candidate_lines, transport_lines

_NO_ADDRESS = Line(kind="c", value="IN IP4 0.0.0.0")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredSection:
    """One section of an answer: `lines` are attributes; without formats it is refused (port 0)."""

    media: OfferedMedia
    formats: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedCodec:
    """The codec of an answered section with the feedback and repair that both sides have."""

    codec: OfferedCodec
    extensions: tuple[Extension, ...] = ()
    red: bool = False
    """Whether RFC 2198 redundancy may be sent."""

    @property
    def feedback(self) -> tuple[str, ...]:
        """RTCP feedback; transport-cc only with the header extension that it needs."""
        numbered = any(extension.name == "transport_cc" for extension in self.extensions)
        return tuple(name for name in self.codec.feedback if name != "transport-cc" or numbered)

    @property
    def rtx(self) -> int | None:
        """Payload type of retransmissions; of no use without NACK."""
        return self.codec.rtx if "nack" in self.codec.feedback else None

    @property
    def red_payload_type(self) -> int | None:
        """Payload type of redundancy where it may be sent."""
        return self.codec.red[0] if self.red and self.codec.red else None

    @property
    def formats(self) -> tuple[str, ...]:
        """Payload types of the m= line, the codec's own first."""
        offered = (self.codec.payload_type, self.rtx, self.red_payload_type)
        return tuple(str(payload_type) for payload_type in offered if payload_type is not None)


def rtp_section(
    media: OfferedMedia, agreed: AgreedCodec, direction: Direction, extra: Sequence[str] = ()
) -> AnsweredSection:
    """An audio or video section with exactly one codec."""
    flags = ["rtcp-mux", *(["rtcp-rsize"] if media.section.body.has("rtcp-rsize") else [])]
    mixed = ["extmap-allow-mixed"] if media.section.body.has("extmap-allow-mixed") else []
    extensions = [f"extmap:{extension}" for extension in agreed.extensions]
    lines = (*mixed, *extensions, direction, *flags, *_codec_lines(media.section, agreed), *extra)
    return AnsweredSection(media=media, formats=agreed.formats, lines=lines)


def inactive_section(media: OfferedMedia) -> AnsweredSection:
    """A section kept but unused (RFC 3264, section 6.1); refused where its codec is not known."""
    if not media.usable or not media.codecs:
        return AnsweredSection(media=media)
    return rtp_section(media, AgreedCodec(codec=media.codecs[0]), "inactive")


def write_answer(
    offer: Offer, local: LocalTransport, sections: Sequence[AnsweredSection], session_number: int
) -> str:
    """The answer's text. Candidates stand once, in the section whose transport the group uses."""
    accepted = {section.media.name for section in sections if section.formats}
    order = [mid for mid in offer.bundle if mid in accepted]
    tagged = (
        order[0] if order else next(section.media.name for section in sections if section.formats)
    )
    transport = transport_lines(local, offer.remote.setup)
    candidates = candidate_lines(local.candidates)
    media = tuple(
        _accepted(section, [*transport, *(candidates if section.media.name == tagged else [])])
        if section.formats
        else _refused(section.media)
        for section in sections
    )
    session = _session(
        session_number, order, mixed=offer.description.body.has("extmap-allow-mixed")
    )
    return SessionDescription(body=session, media=media).serialize()


def _session(number: int, order: Sequence[str], *, mixed: bool) -> Body:
    fixed = (
        Line(kind="v", value="0"),
        Line(kind="o", value=f"- {number} 1 IN IP4 127.0.0.1"),
        Line(kind="s", value="-"),
        Line(kind="t", value="0 0"),
    )
    lines = ["ice-lite", "ice-options:ice2 trickle"]
    lines += [f"group:BUNDLE {' '.join(order)}"] if order else []
    lines += ["extmap-allow-mixed"] if mixed else []
    return Body(lines=(*fixed, *_attributes(lines)))


def _accepted(answered: AnsweredSection, transport: Sequence[str]) -> MediaSection:
    section = answered.media.section
    lines = [*_mid(section), *transport, *answered.lines]
    return MediaSection(
        media=section.media,
        port=9,
        protocol=section.protocol,
        formats=answered.formats,
        body=Body(lines=(_NO_ADDRESS, *_attributes(lines))),
    )


def _refused(media: OfferedMedia) -> MediaSection:
    # One format is enough where none is accepted, but it needs its rtpmap for strict readers.
    section = media.section
    first = section.formats[0]
    maps = [
        f"rtpmap:{value}" for value in section.body.values("rtpmap") if value.split()[0] == first
    ]
    lines = [*_mid(section), *(["inactive", *maps[:1]] if media.is_rtp else [])]
    return MediaSection(
        media=section.media,
        port=0,
        protocol=section.protocol,
        formats=(first,),
        body=Body(lines=(_NO_ADDRESS, *_attributes(lines))),
    )


def _codec_lines(section: MediaSection, agreed: AgreedCodec) -> list[str]:
    codec, payload_type = agreed.codec, agreed.codec.payload_type
    # As the offerer spells them: some readers compare names and clocks as text.
    maps = {rtpmap(value).payload_type: value for value in section.body.values("rtpmap")}
    lines = [f"rtpmap:{maps[payload_type]}"]
    lines += [f"rtcp-fb:{payload_type} {name}" for name in agreed.feedback]
    fmtp = _answered_fmtp(codec.fmtp)
    lines += [f"fmtp:{payload_type} {fmtp}"] if fmtp else []
    if agreed.rtx is not None:
        lines += [f"rtpmap:{maps[agreed.rtx]}", f"fmtp:{agreed.rtx} apt={payload_type}"]
    if agreed.red_payload_type is not None and codec.red:
        red, text = codec.red
        lines += [f"rtpmap:{maps[red]}", f"fmtp:{red} {text}"]
    return lines


def _answered_fmtp(offered: str) -> str:
    """The offer's parameters but for `sprop-`, which describe the offerer's own stream."""
    return ";".join(
        part.strip() for part in offered.split(";") if not part.strip().lower().startswith("sprop-")
    )


def _mid(section: MediaSection) -> list[str]:
    return [f"mid:{section.mid}"] if section.mid is not None else []


def _attributes(values: Sequence[str]) -> tuple[Line, ...]:
    return tuple(Line(kind="a", value=value) for value in values)

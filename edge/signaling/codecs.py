"""Codecs of an offer, and which of them a stream gets.

Names are compared without case (RFC 4855, section 3); formats not forwarded are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from edge.model import CodecName, Kind, StreamTrack
from edge.signaling.attributes import RtpMap, fmtp, fmtp_parameters, is_number, rtcp_fb, rtpmap
from edge.signaling.h264 import h264_profile, packetization_mode
from edge.signaling.sdp import MediaSection

DEFAULT_PREFERENCE: tuple[CodecName, ...] = ("H264", "VP8", "VP9", "AV1", "H265", "opus")
"""What a studio is asked for: H.264 plays everywhere, also in LL-HLS."""

FEEDBACK: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        "audio": ("transport-cc", "nack", "goog-remb"),
        "video": ("transport-cc", "nack", "nack pli", "ccm fir", "goog-remb"),
    }
)
"""RTCP feedback of the data plane (RFC 4585, RFC 5104, transport-wide-cc and REMB drafts)."""

CODECS: Mapping[str, tuple[CodecName, Kind, int]] = MappingProxyType(
    {
        "h264": ("H264", "video", 90000),
        "vp8": ("VP8", "video", 90000),
        "vp9": ("VP9", "video", 90000),
        "av1": ("AV1", "video", 90000),
        "h265": ("H265", "video", 90000),
        "opus": ("opus", "audio", 48000),
    }
)

SCALABLE: frozenset[CodecName] = frozenset({"AV1"})
"""Codecs for which the data plane rewrites the dependency descriptor; VP9 tells its layers itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedCodec:
    """One payload type of an offer that the edge can forward, with what belongs to it."""

    name: CodecName
    payload_type: int
    mapping: RtpMap
    fmtp: str = ""
    feedback: tuple[str, ...] = ()
    rtx: int | None = None
    """Payload type of its retransmissions (RFC 4588, `apt`)."""
    red: tuple[int, str] | None = None
    """Payload type and fmtp of RFC 2198 redundancy around it."""

    @property
    def parameters(self) -> Mapping[str, str]:
        """The fmtp with lower-case names."""
        return fmtp_parameters(self.fmtp)


def offered_codecs(section: MediaSection) -> tuple[OfferedCodec, ...]:
    """The codecs of a section in the offerer's order.

    Payload types 64 to 95 cannot be told from RTCP on one port (RFC 5761, section 4): left out.
    """
    body = section.body
    return _offered_codecs(
        section.media,
        section.formats,
        body.values("rtpmap"),
        body.values("fmtp"),
        body.values("rtcp-fb"),
    )


@lru_cache(256)
def _offered_codecs(
    media: str,
    forms: tuple[str, ...],
    rtpmaps: tuple[str, ...],
    fmtps: tuple[str, ...],
    feedbacks: tuple[str, ...],
) -> tuple[OfferedCodec, ...]:
    """Cached: all players with one browser offer the same codecs."""
    maps = {found.payload_type: found for found in map(rtpmap, rtpmaps)}
    formats: dict[int, str] = {
        int(form): text for form, text in map(fmtp, fmtps) if is_number(form, 127)
    }
    usable = [int(form) for form in forms if is_number(form, 127) and not 64 <= int(form) <= 95]
    repairs = _repairs(usable, maps, formats)
    redundancy = _redundancy(usable, maps, formats)
    feedback = _feedback(feedbacks)
    found: list[OfferedCodec] = []
    for payload_type in dict.fromkeys(usable):
        mapping = maps.get(payload_type)
        known = CODECS.get(mapping.encoding.lower()) if mapping else None
        if mapping is None or known is None or known[1:] != (media, mapping.clock_rate):
            continue
        offered = feedback.get("*", set()) | feedback.get(str(payload_type), set())
        found.append(
            OfferedCodec(
                name=known[0],
                payload_type=payload_type,
                mapping=mapping,
                fmtp=formats.get(payload_type, ""),
                feedback=tuple(text for text in FEEDBACK[known[1]] if text in offered),
                rtx=repairs.get(payload_type),
                red=redundancy.get(payload_type),
            )
        )
    return tuple(found)


def choose(
    offered: Sequence[OfferedCodec], preference: Sequence[CodecName], keep: CodecName | None = None
) -> OfferedCodec | None:
    """What a studio is asked to send: `keep` where offered, else the first preferred.

    Of one codec the plainest profile wins: a studio has its players in mind, not itself.
    """
    names: list[CodecName] = [keep, *preference] if keep else list(preference)
    for name in names:
        candidates = [codec for codec in offered if codec.name == name and _forwardable(codec)]
        if candidates:
            return min(candidates, key=_plainness)
    return None


def match(track: StreamTrack, offered: Sequence[OfferedCodec]) -> OfferedCodec | None:
    """The payload type of a player's offer that can take this track, or None.

    A profile that was not offered is no reason to refuse: decoders take more than they offer, and
    profiles differ between offers far more often than pictures fail.
    """
    candidates = [codec for codec in offered if codec.name == track.codec and _forwardable(codec)]
    if track.codec == "H264":
        return _match_h264(track, candidates)
    return min(
        candidates,
        key=lambda codec: (_profile(codec) != _profile_of(track), _profile(codec)),
        default=None,
    )


def stream_fmtp(codec: OfferedCodec) -> str:
    """The fmtp a stream keeps: as offered, with H.264's packetization mode always spelled out."""
    if codec.name != "H264" or "packetization-mode" in codec.parameters:
        return codec.fmtp
    return ";".join(part for part in (codec.fmtp, "packetization-mode=0") if part)


def encodings(section: MediaSection) -> list[str]:
    """Names of all encodings a section offers, each once, as the offerer spells them."""
    return list(
        dict.fromkeys(found.encoding for found in map(rtpmap, section.body.values("rtpmap")))
    )


def _match_h264(track: StreamTrack, candidates: Sequence[OfferedCodec]) -> OfferedCodec | None:
    wanted = fmtp_parameters(track.fmtp)
    profile = h264_profile(wanted)
    # A profile read from an SPS says nothing of the mode: then expect fragmentation units.
    mode = wanted.get("packetization-mode", "1")
    # Mode 1 includes the single NAL units of mode 0, never the other way round.
    fitting = [codec for codec in candidates if packetization_mode(codec.parameters) in (mode, "1")]

    def distance(codec: OfferedCodec) -> tuple[bool, bool, bool, int, bool]:
        found = h264_profile(codec.parameters)
        return (
            packetization_mode(codec.parameters) != mode,
            found.name != profile.name,
            found.idc != profile.idc,
            found.order,
            found.level < profile.level,
        )

    return min(fitting, key=distance, default=None)


def _forwardable(codec: OfferedCodec) -> bool:
    # Interleaved H.264 (mode 2) sends NAL units out of decoding order: no browser takes it.
    return codec.name != "H264" or packetization_mode(codec.parameters) in ("0", "1")


def _plainness(codec: OfferedCodec) -> tuple[bool, int]:
    if codec.name == "H264":
        return packetization_mode(codec.parameters) != "1", h264_profile(codec.parameters).order
    return False, _profile(codec)


def _profile(codec: OfferedCodec) -> int:
    return _profile_number(codec.name, codec.parameters)


def _profile_of(track: StreamTrack) -> int:
    return _profile_number(track.codec, fmtp_parameters(track.fmtp))


def _profile_number(name: CodecName, parameters: Mapping[str, str]) -> int:
    key, default = {"AV1": ("profile", "0"), "H265": ("profile-id", "1")}.get(
        name, ("profile-id", "0")
    )
    text = parameters.get(key, default)
    return int(text) if is_number(text, 255) else int(default)


def _feedback(values: Sequence[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for form, text in map(rtcp_fb, values):
        found.setdefault(form, set()).add(text)
    return found


def _repairs(
    usable: Sequence[int], maps: Mapping[int, RtpMap], formats: Mapping[int, str]
) -> dict[int, int]:
    found: dict[int, int] = {}
    for payload_type in _named("rtx", usable, maps):
        apt = fmtp_parameters(formats.get(payload_type, "")).get("apt", "")
        primary = maps.get(int(apt)) if is_number(apt, 127) else None
        if primary is not None and primary.clock_rate == maps[payload_type].clock_rate:
            found.setdefault(primary.payload_type, payload_type)
    return found


def _redundancy(
    usable: Sequence[int], maps: Mapping[int, RtpMap], formats: Mapping[int, str]
) -> dict[int, tuple[int, str]]:
    found: dict[int, tuple[int, str]] = {}
    for payload_type in _named("red", usable, maps):
        text = formats.get(payload_type, "")
        blocks = set(text.split("/"))
        # Blocks of one codec only; `red/90000` around video is FEC and is refused.
        if (
            maps[payload_type].clock_rate == 48000
            and len(blocks) == 1
            and is_number(primary := blocks.pop(), 127)
        ):
            found.setdefault(int(primary), (payload_type, text))
    return found


def _named(encoding: str, usable: Sequence[int], maps: Mapping[int, RtpMap]) -> list[int]:
    return [pt for pt in usable if pt in maps and maps[pt].encoding.lower() == encoding]

"""Answers a studio (WHIP): what it shall send.

The first audio and the first video section that send are answered `recvonly` with one codec each;
more of them are refused, because a stream has at most one of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn, cast

from edge.errors import ErrorCode, PeerError
from edge.model import CodecName, ExtensionName, Kind, PublisherSpec, PublisherTrack, StreamTrack
from edge.signaling.answer import (
    AgreedCodec,
    AnsweredSection,
    inactive_section,
    rtp_section,
    write_answer,
)
from edge.signaling.codecs import (
    CODECS,
    DEFAULT_PREFERENCE,
    SCALABLE,
    OfferedCodec,
    choose,
    encodings,
    stream_fmtp,
)
from edge.signaling.datachannel import DataChannelSection, answer_data_channel
from edge.signaling.extensions import accept_extensions
from edge.signaling.negotiated import Negotiated
from edge.signaling.offer import Offer, OfferedMedia
from edge.signaling.simulcast import accept_rids, read_ssrcs, simulcast_lines
from edge.signaling.transport import LocalTransport

PUBLISHER_EXTENSIONS: frozenset[ExtensionName] = frozenset(
    {
        "mid",
        "rid",
        "repaired_rid",
        "transport_cc",
        "abs_send_time",
        "abs_capture_time",
        "audio_level",
        "dependency_descriptor",
    }
)
"""Not video_orientation: a studio without it turns the picture itself, upright in LL-HLS too."""

NO_CODECS: Mapping[Kind, CodecName] = MappingProxyType({})


def answer_publisher(
    offer: Offer,
    local: LocalTransport,
    *,
    session_number: int,
    keep_codecs: Mapping[Kind, CodecName] = NO_CODECS,
    preference: Sequence[CodecName] = DEFAULT_PREFERENCE,
) -> Negotiated[PublisherSpec]:
    """Answer a studio. `keep_codecs` are those players already receive; they win where offered.

    Raises PeerError: UNSUPPORTED_CODEC, or UNACCEPTABLE_OFFER when nothing is sent.
    """
    tracks: dict[str, PublisherTrack] = {}
    streams: list[StreamTrack] = []
    sections: list[AnsweredSection] = []
    data_channel: DataChannelSection | None = None
    for media in offer.media:
        kind = media.section.media
        if not media.usable or (media.sends and kind in tracks):
            sections.append(AnsweredSection(media=media))
        elif not media.is_rtp:
            data_channel, section = answer_data_channel(media, data_channel)
            sections.append(section)
        elif not media.sends:
            sections.append(inactive_section(media))
        else:
            codec = choose(media.codecs, preference, keep_codecs.get(cast(Kind, kind)))
            if codec is None:
                _refuse_codecs(media, preference)
            tracks[kind], section = _receive(offer, media, codec)
            sections.append(section)
            streams.append(_stream_track(tracks[kind], codec))
    if not tracks:
        raise PeerError(ErrorCode.UNACCEPTABLE_OFFER, "the offer sends neither audio nor video")
    return Negotiated(
        answer=write_answer(offer, local, sections, session_number),
        spec=PublisherSpec(tracks=tuple(tracks.values())),
        remote=offer.remote,
        data_channel=data_channel,
        tracks=tuple(streams),
    )


def _receive(
    offer: Offer, media: OfferedMedia, codec: OfferedCodec
) -> tuple[PublisherTrack, AnsweredSection]:
    body = media.section.body
    names = (
        PUBLISHER_EXTENSIONS
        if codec.name in SCALABLE
        else PUBLISHER_EXTENSIONS - {"dependency_descriptor"}
    )
    extensions = accept_extensions(offer.description.body, body, names, offerer_sends=True)
    agreed = AgreedCodec(codec=codec, extensions=extensions, red=True)
    ids = {extension.name: extension.id for extension in extensions}
    # Layers are told apart by the header extension: without it no RID can be promised.
    layers = accept_rids(body, codec.payload_type) if "rid" in ids else ()
    ssrcs = read_ssrcs(body)
    track = PublisherTrack(
        kind=cast(Kind, media.section.media),
        mid=media.name,
        codec=codec.name,
        payload_type=codec.payload_type,
        clock_rate=codec.mapping.clock_rate,
        rtx_payload_type=agreed.rtx,
        red_payload_type=agreed.red_payload_type,
        ssrcs=ssrcs.primary,
        rtx_ssrcs=ssrcs.rtx,
        rids=tuple(layer.rid.id for layer in layers),
        extensions=ids,
        nack="nack" in agreed.feedback,
        pli="nack pli" in agreed.feedback,
        fir="ccm fir" in agreed.feedback,
        transport_cc="transport-cc" in agreed.feedback,
        remb="goog-remb" in agreed.feedback,
    )
    return track, rtp_section(
        media, agreed, "recvonly", simulcast_lines(layers, codec.payload_type)
    )


def _stream_track(track: PublisherTrack, codec: OfferedCodec) -> StreamTrack:
    return StreamTrack(
        kind=track.kind,
        codec=codec.name,
        fmtp=stream_fmtp(codec),
        red=track.red_payload_type is not None,
    )


def _refuse_codecs(media: OfferedMedia, preference: Sequence[CodecName]) -> NoReturn:
    kind = media.section.media
    supported = [name for name in preference if CODECS[name.lower()][1] == kind]
    offered = encodings(media.section)
    raise PeerError(
        ErrorCode.UNSUPPORTED_CODEC,
        f"line {media.section.number}: {kind} is supported as {', '.join(supported) or 'nothing'}; "
        f"the offer has {', '.join(offered) or 'none'}",
        line=media.section.number,
        supported=supported,
        offered=offered,
    )

"""Answers a player (WHEP): each section that receives gets the stream's track of its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import cast

from edge.errors import ErrorCode, PeerError
from edge.model import ExtensionName, Kind, StreamTrack, SubscriberSpec, SubscriberTrack
from edge.signaling.answer import (
    AgreedCodec,
    AnsweredSection,
    inactive_section,
    rtp_section,
    write_answer,
)
from edge.signaling.codecs import SCALABLE, OfferedCodec, encodings, match
from edge.signaling.datachannel import DataChannelSection, answer_data_channel
from edge.signaling.extensions import accept_extensions
from edge.signaling.negotiated import Negotiated
from edge.signaling.offer import Offer, OfferedMedia
from edge.signaling.transport import LocalTransport

SUBSCRIBER_EXTENSIONS: frozenset[ExtensionName] = frozenset(
    {
        "mid",
        "transport_cc",
        "abs_send_time",
        "abs_capture_time",
        "audio_level",
        "dependency_descriptor",
    }
)
"""What a player may be sent; playout_delay is added where the configuration asks for it."""


def answer_subscriber(
    offer: Offer,
    local: LocalTransport,
    *,
    session_number: int,
    stream: Sequence[StreamTrack],
    ssrcs: Sequence[int],
    cname: str,
    playout_delay_ms: tuple[int, int] | None = None,
) -> Negotiated[SubscriberSpec]:
    """Answer a player with the stream's tracks. `ssrcs` are four unused numbers.

    `cname` names the sender in RTCP and the media stream in `a=msid`.

    Raises PeerError: UNSUPPORTED_CODEC when the player can take no track or not the video,
    UNACCEPTABLE_OFFER when it wants to receive nothing.
    """
    numbers = _Numbers(ssrcs)
    wanted = {track.kind: track for track in reversed(stream)}
    sent: dict[str, SubscriberTrack] = {}
    sections: list[AnsweredSection] = []
    data_channel: DataChannelSection | None = None
    for media in offer.media:
        track = wanted.get(cast(Kind, media.section.media))
        codec = match(track, media.codecs) if track else None
        if not media.usable:
            sections.append(AnsweredSection(media=media))
        elif not media.is_rtp:
            data_channel, section = answer_data_channel(media, data_channel)
            sections.append(section)
        elif track is None or codec is None or not media.receives or track.kind in sent:
            sections.append(inactive_section(media))
        else:
            agreed = _agree_to_send(offer, media, codec, track, delay=playout_delay_ms is not None)
            sent[track.kind] = numbers.subscriber_track(track.kind, media, agreed)
            sections.append(
                rtp_section(media, agreed, "sendonly", _source_lines(sent[track.kind], cname))
            )
    _refuse_missing(offer, stream, sent)
    return Negotiated(
        answer=write_answer(offer, local, sections, session_number),
        spec=SubscriberSpec(
            tracks=tuple(sent.values()), cname=cname, playout_delay_ms=playout_delay_ms
        ),
        remote=offer.remote,
        data_channel=data_channel,
        tracks=tuple(track for track in stream if track.kind in sent),
    )


def _agree_to_send(
    offer: Offer, media: OfferedMedia, codec: OfferedCodec, track: StreamTrack, *, delay: bool
) -> AgreedCodec:
    names = set(SUBSCRIBER_EXTENSIONS)
    if delay and track.kind == "video":
        names.add("playout_delay")
    if codec.name not in SCALABLE:
        names.discard("dependency_descriptor")
    extensions = accept_extensions(
        offer.description.body, media.section.body, names, offerer_sends=False
    )
    return AgreedCodec(codec=codec, extensions=extensions, red=track.red)


class _Numbers:
    """Hands out the caller's SSRCs by kind and purpose, so that equal offers get equal answers."""

    _PLACES: Mapping[str, int] = MappingProxyType({"audio": 0, "video": 2})

    def __init__(self, ssrcs: Sequence[int]) -> None:
        if len(set(ssrcs)) < 4:
            raise ValueError("answer_subscriber needs four different SSRCs")
        self._ssrcs = ssrcs

    def subscriber_track(
        self, kind: Kind, media: OfferedMedia, agreed: AgreedCodec
    ) -> SubscriberTrack:
        place = self._PLACES[kind]
        return SubscriberTrack(
            kind=kind,
            mid=media.name,
            codec=agreed.codec.name,
            payload_type=agreed.codec.payload_type,
            clock_rate=agreed.codec.mapping.clock_rate,
            ssrc=self._ssrcs[place],
            rtx_payload_type=agreed.rtx,
            rtx_ssrc=self._ssrcs[place + 1] if agreed.rtx is not None else None,
            red_payload_type=agreed.red_payload_type,
            extensions={extension.name: extension.id for extension in agreed.extensions},
            nack="nack" in agreed.feedback,
            pli="nack pli" in agreed.feedback,
            fir="ccm fir" in agreed.feedback,
            transport_cc="transport-cc" in agreed.feedback,
            remb="goog-remb" in agreed.feedback,
        )


def _source_lines(track: SubscriberTrack, cname: str) -> list[str]:
    msid = f"msid:{cname} {cname}-{track.kind}"
    lines = [msid]
    ssrcs = [track.ssrc]
    if track.rtx_ssrc is not None:
        ssrcs.append(track.rtx_ssrc)
        lines.append(f"ssrc-group:FID {track.ssrc} {track.rtx_ssrc}")
    for ssrc in ssrcs:
        lines += [f"ssrc:{ssrc} cname:{cname}", f"ssrc:{ssrc} {msid}"]
    return lines


def _refuse_missing(
    offer: Offer, stream: Sequence[StreamTrack], sent: Mapping[str, SubscriberTrack]
) -> None:
    receiving = [media for media in offer.media if media.usable and media.is_rtp and media.receives]
    if not receiving:
        raise PeerError(ErrorCode.UNACCEPTABLE_OFFER, "the offer receives neither audio nor video")
    asks_video = any(media.section.media == "video" for media in receiving)
    lacks_video = (
        asks_video and "video" not in sent and any(track.kind == "video" for track in stream)
    )
    if sent and not lacks_video:
        return
    supported = [track.codec for track in stream]
    offered = [name for media in receiving for name in encodings(media.section)]
    raise PeerError(
        ErrorCode.UNSUPPORTED_CODEC,
        f"the stream has {', '.join(supported) or 'no track'}; "
        f"the offer has {', '.join(offered) or 'none'}",
        supported=supported,
        offered=offered,
    )

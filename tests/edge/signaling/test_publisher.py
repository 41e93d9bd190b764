"""What a studio is asked to send."""

from __future__ import annotations

import pytest

from edge.errors import ErrorCode, PeerError
from edge.model import CodecName, PublisherTrack
from edge.signaling.extensions import EXTENSION_URIS
from edge.signaling.sdp import Body, parse

from .answers import check_answer
from .conftest import Publish
from .offers import OPUS, audio, offer, video

pytestmark = pytest.mark.timeout(60)

URIS: dict[str, str] = {str(name): uri for name, uri in EXTENSION_URIS.items()}
RID = f"a=extmap:4 {EXTENSION_URIS['rid']}"
ALL_VIDEO = (
    "a=rtpmap:96 AV1/90000",
    "a=rtpmap:97 vp9/90000",
    "a=fmtp:97 profile-id=2",
    "a=rtpmap:98 VP9/90000",
    "a=rtpmap:99 Vp8/90000",
    "a=rtpmap:100 h264/90000",
    "a=fmtp:100 profile-level-id=42e01f",
    "a=rtpmap:101 H265/90000",
)


def only_track(
    publish: Publish, *lines: str, formats: str = "96", **options: object
) -> PublisherTrack:
    """The single video track of an offer with these lines."""
    text = offer(video(*lines, formats=formats))
    negotiated = publish(text, **options)
    check_answer(text, negotiated.answer)
    (track,) = negotiated.spec.tracks
    return track


def video_body(publish: Publish, *lines: str, formats: str = "96") -> Body:
    """The answered section of the same offer."""
    return parse(publish(offer(video(*lines, formats=formats))).answer).media[0].body


@pytest.mark.parametrize(
    ("preference", "codec", "payload_type"),
    [
        (("H264", "VP8"), "H264", 100),
        (("VP8", "H264"), "VP8", 99),
        (("VP9",), "VP9", 98),
        (("AV1", "H265"), "AV1", 96),
        (("H265",), "H265", 101),
    ],
)
def test_the_first_preferred_codec_that_is_offered_wins(
    preference: tuple[CodecName, ...], codec: CodecName, payload_type: int, publish: Publish
) -> None:
    track = only_track(publish, *ALL_VIDEO, formats="96 97 98 99 100 101", preference=preference)
    assert (track.codec, track.payload_type) == (codec, payload_type)


def test_codecs_that_players_already_receive_are_kept(publish: Publish) -> None:
    formats = "96 97 98 99 100 101"
    kept = only_track(publish, *ALL_VIDEO, formats=formats, keep_codecs={"video": "VP8"})
    assert kept.codec == "VP8"
    lost = only_track(publish, "a=rtpmap:96 VP9/90000", keep_codecs={"video": "VP8"})
    assert lost.codec == "VP9"


@pytest.mark.parametrize(
    ("levels", "chosen"),
    [
        (("0;42e01f", "1;640028"), 97),
        (("1;640028", "1;4d001f", "1;42001f", "1;42e01f"), 99),
        (("1;640028", "1;4d001f", "1;42001f"), 98),
        (("1;640c1f", "1;4d001f"), 97),
        (("1;640028", "1;640c1f"), 97),
        (("1;f4001f", "1;64003e"), 97),
        (("1;garbage", "1;64001f"), 96),
        (("2;42e01f", "1;64001f"), 97),
        (("0;64001f", "0;42e01f"), 97),
    ],
)
def test_h264_prefers_mode_1_then_the_plainest_profile(
    levels: tuple[str, ...], chosen: int, publish: Publish
) -> None:
    lines: list[str] = []
    for payload_type, text in enumerate(levels, 96):
        mode, level = text.split(";")
        lines.append(f"a=rtpmap:{payload_type} H264/90000")
        lines.append(f"a=fmtp:{payload_type} packetization-mode={mode};profile-level-id={level}")
    formats = " ".join(str(96 + index) for index in range(len(levels)))
    assert only_track(publish, *lines, formats=formats).payload_type == chosen


def test_an_unsupported_codec_names_both_sides_and_the_line(publish: Publish) -> None:
    with pytest.raises(PeerError) as caught:
        publish(offer(audio(), video("a=rtpmap:96 H263-1998/90000")))
    assert caught.value.code is ErrorCode.UNSUPPORTED_CODEC
    assert "H264, VP8, VP9, AV1, H265" in caught.value.detail
    assert "H263-1998" in caught.value.detail
    assert caught.value.extra["offered"] == ["H263-1998"]
    with pytest.raises(PeerError, match="audio is supported as opus; the offer has PCMU"):
        publish(offer(audio("a=rtpmap:0 PCMU/8000", formats="0")))


@pytest.mark.parametrize("direction", ["recvonly", "inactive"])
def test_a_section_that_sends_nothing_becomes_inactive(direction: str, publish: Publish) -> None:
    text = offer(audio(), video(direction=direction))
    negotiated = publish(text)
    check_answer(text, negotiated.answer)
    section = parse(negotiated.answer).media[1]
    assert section.port == 9
    assert section.body.has("inactive")
    assert [track.kind for track in negotiated.tracks] == ["audio"]


def test_an_offer_that_sends_nothing_is_unacceptable(publish: Publish) -> None:
    with pytest.raises(PeerError) as caught:
        publish(offer(audio(direction="recvonly")))
    assert caught.value.code is ErrorCode.UNACCEPTABLE_OFFER


def test_more_than_one_track_of_a_kind_is_refused_with_port_0(publish: Publish) -> None:
    text = offer(video(mid="0"), video(mid="1"), audio(mid="2"), audio(mid="3"))
    negotiated = publish(text)
    check_answer(text, negotiated.answer)
    assert [section.port for section in parse(negotiated.answer).media] == [9, 0, 9, 0]
    assert [track.mid for track in negotiated.spec.tracks] == ["0", "2"]


@pytest.mark.parametrize(
    ("lines", "rids", "answered"),
    [
        (
            ("a=rid:h send", "a=rid:m send", "a=rid:l send", "a=simulcast:send h;m;l"),
            "h m l",
            "h;m;l",
        ),
        (("a=rid:h send", "a=rid:l send", "a=simulcast:send l;h"), "l h", "l;h"),
        (("a=rid:h send", "a=rid:l send", "a=simulcast:send h;~l"), "h l", "h;~l"),
        (
            ("a=rid:h send pt=97", "a=rid:i send pt=96", "a=rid:l send", "a=simulcast:send h,i;l"),
            "i l",
            "i;l",
        ),
        (("a=rid:h send pt=97", "a=rid:l send pt=96,97", "a=simulcast:send h;l"), "l", None),
        (("a=rid:h send", "a=simulcast:send h;ghost"), "h", None),
        (("a=rid:h send", "a=rid:h send", "a=simulcast:send h;h"), "h", None),
        (("a=rid:x send",), "x", None),
        (("a=rid:x recv", "a=simulcast:recv x"), "", None),
        (
            (*(f"a=rid:{n} send" for n in range(6)), "a=simulcast:send 0;1;2;3;4;5"),
            "0 1 2 3",
            "0;1;2;3",
        ),
        (("a=rid:1 send", "a=rid:2 send", "a=simulcast: send rid=1;2"), "1 2", "1;2"),
        (("a=rid:h send", "a=rid:l send", "a=simulcast:recv a send h;l"), "h l", "h;l"),
    ],
    ids=[
        "plain",
        "order",
        "paused",
        "alternatives",
        "pt",
        "ghost",
        "twice",
        "single",
        "recv",
        "six",
        "draft",
        "both",
    ],
)
def test_simulcast_layers_are_accepted(
    lines: tuple[str, ...], rids: str, answered: str | None, publish: Publish
) -> None:
    lines = ("a=rtpmap:96 H264/90000", RID, *lines)
    assert only_track(publish, *lines).rids == tuple(rids.split())
    body = video_body(publish, *lines)
    assert [value.split()[0] for value in body.values("rid")] == rids.split()
    assert body.first("simulcast") == (f"recv {answered}" if answered else None)


def test_restrictions_of_a_layer_are_repeated(publish: Publish) -> None:
    lines = ("a=rid:h send pt=96,97;max-width=1280;max-fps=30", "a=simulcast:send h")
    body = video_body(publish, "a=rtpmap:96 H264/90000", RID, *lines)
    assert list(body.values("rid")) == ["h recv pt=96;max-width=1280;max-fps=30"]


def test_layers_without_the_rid_extension_are_not_promised(publish: Publish) -> None:
    lines = ("a=rtpmap:96 H264/90000", "a=rid:h send", "a=rid:l send", "a=simulcast:send h;l")
    assert only_track(publish, *lines).rids == ()
    assert not video_body(publish, *lines).has("rid")


@pytest.mark.parametrize(
    ("lines", "primary", "rtx"),
    [
        (
            (
                "a=ssrc-group:SIM 1 2 3",
                "a=ssrc-group:FID 1 11",
                "a=ssrc-group:FID 2 12",
                "a=ssrc-group:FID 3 13",
                *(f"a=ssrc:{ssrc} cname:x" for ssrc in (1, 11, 2, 12, 3, 13)),
            ),
            (1, 2, 3),
            ((1, 11), (2, 12), (3, 13)),
        ),
        (("a=ssrc:7 cname:x", "a=ssrc:8 cname:x", "a=ssrc-group:FID 7 8"), (7,), ((7, 8),)),
        (("a=ssrc:9 cname:x", "a=ssrc:7 cname:x", "a=ssrc-group:FEC-FR 7 9"), (7,), ()),
        (("a=ssrc:5 cname:x", "a=ssrc:6 cname:x"), (5,), ()),
        (("a=ssrc-group:SIM 1 2 3 4 5 6",), (1, 2, 3, 4), ()),
        (("a=ssrc-group:FID",), (), ()),
    ],
    ids=["sim", "fid", "fec", "stray", "bounded", "empty"],
)
def test_announced_ssrcs_are_told_apart(
    lines: tuple[str, ...],
    primary: tuple[int, ...],
    rtx: tuple[tuple[int, int], ...],
    publish: Publish,
) -> None:
    track = only_track(publish, "a=rtpmap:96 H264/90000", *lines)
    assert (track.ssrcs, track.rtx_ssrcs) == (primary, rtx)


def test_feedback_is_what_both_sides_have(publish: Publish) -> None:
    lines = [
        "a=rtpmap:96 H264/90000",
        "a=rtcp-fb:* NACK",
        "a=rtcp-fb:96 nack pli",
        "a=rtcp-fb:96 nack rpsi",
    ]
    lines += ["a=rtcp-fb:97 ccm fir", "a=rtcp-fb:96 transport-cc", "a=rtcp-rsize"]
    track = only_track(publish, *lines)
    assert (track.nack, track.pli, track.fir, track.remb) == (True, True, False, False)
    assert not track.transport_cc, "without its header extension it could not work"
    body = video_body(publish, *lines)
    assert list(body.values("rtcp-fb")) == ["96 nack", "96 nack pli"]
    assert body.has("rtcp-rsize")
    assert not video_body(publish, *lines[:-1]).has("rtcp-rsize")


def test_transport_cc_comes_with_its_extension(publish: Publish) -> None:
    lines = ["a=rtpmap:96 H264/90000", "a=rtcp-fb:96 transport-cc"]
    track = only_track(publish, *lines, f"a=extmap:5 {EXTENSION_URIS['transport_cc']}")
    assert track.transport_cc
    assert track.extensions == {"transport_cc": 5}


@pytest.mark.parametrize(
    ("lines", "ids", "answered"),
    [
        (["a=extmap:3/sendonly {mid}"], {"mid": 3}, ["3/recvonly"]),
        (["a=extmap:3/sendrecv {mid}"], {"mid": 3}, ["3/sendrecv"]),
        (["a=extmap:3/recvonly {mid}"], {}, []),
        (["a=extmap:3/inactive {mid}"], {}, []),
        (["a=extmap:15 {mid}"], {}, []),
        (["a=extmap:0 {mid}"], {}, []),
        (["a=extmap:15 {mid}", "a=extmap-allow-mixed"], {"mid": 15}, ["15"]),
        (["a=extmap:256 {mid}", "a=extmap-allow-mixed"], {}, []),
        (["a=extmap:3 urn:ietf:params:rtp-hdrext:encrypt {mid}"], {}, []),
        (
            ["a=extmap:3 urn:ietf:params:rtp-hdrext:encrypt {mid}", "a=extmap:4 {mid}"],
            {"mid": 4},
            ["4"],
        ),
        (["a=extmap:3 {mid}", "a=extmap:4 {mid}"], {"mid": 3}, ["3"]),
        (["a=extmap:3 {mid}", "a=extmap:3 {rid}"], {"mid": 3}, ["3"]),
        (["a=extmap:3 urn:unknown", "a=extmap:4 {mid} with attributes"], {"mid": 4}, ["4"]),
        (["a=extmap:3 {video_orientation}"], {}, []),
    ],
)
def test_header_extensions_keep_the_offerers_ids(
    lines: list[str], ids: dict[str, int], answered: list[str], publish: Publish
) -> None:
    filled = ["a=rtpmap:96 H264/90000", *(line.format_map(URIS) for line in lines)]
    assert only_track(publish, *filled).extensions == ids
    body = video_body(publish, *filled)
    assert [value.split()[0] for value in body.values("extmap")] == answered


def test_extensions_of_the_session_part_count_for_all_sections(publish: Publish) -> None:
    text = offer(audio(), video()).replace(
        "t=0 0\r\n", f"t=0 0\r\na=extmap:3 {EXTENSION_URIS['mid']}\r\n"
    )
    negotiated = publish(text)
    check_answer(text, negotiated.answer)
    assert [track.extensions for track in negotiated.spec.tracks] == [{"mid": 3}, {"mid": 3}]


def test_repair_formats_are_rtx_by_apt_and_red_around_opus(publish: Publish) -> None:
    lines = [
        "a=rtpmap:96 H264/90000",
        "a=rtcp-fb:96 nack",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=98",
    ]
    lines += ["a=rtpmap:99 RTX/90000", "a=fmtp:99 apt=96;rtx-time=3000", "a=rtpmap:100 red/90000"]
    lines += ["a=rtpmap:101 ulpfec/90000", "a=rtpmap:102 flexfec-03/90000"]
    track = only_track(publish, *lines, formats="96 97 99 100 101 102")
    assert (track.rtx_payload_type, track.red_payload_type) == (99, None)
    assert only_track(publish, *lines[:1], *lines[2:], formats="96 97 99").rtx_payload_type is None

    red = (*OPUS, "a=rtpmap:63 red/48000/2", "a=fmtp:63 111/111", "a=rtpmap:13 CN/8000")
    negotiated = publish(offer(audio(*red, formats="111 63 13")))
    assert negotiated.spec.tracks[0].red_payload_type == 63
    assert negotiated.tracks[0].red
    mixed = (*OPUS, "a=rtpmap:63 red/48000/2", "a=fmtp:63 111/13")
    assert publish(offer(audio(*mixed, formats="111 63"))).spec.tracks[0].red_payload_type is None


@pytest.mark.parametrize("payload_type", [64, 72, 76, 95, 128, 300])
def test_payload_types_that_look_like_rtcp_are_never_chosen(
    payload_type: int, publish: Publish
) -> None:
    text = offer(video("a=rtpmap:96 VP8/90000", formats=f"{payload_type} 96"))
    if payload_type < 128:
        text = text.replace("a=rtpmap:96", f"a=rtpmap:{payload_type} H264/90000\r\na=rtpmap:96")
    assert publish(text).spec.tracks[0].payload_type == 96


def test_the_streams_fmtp_says_the_packetization_mode(publish: Publish) -> None:
    for fmtp in ("profile-level-id=42e01f", "packetization-mode=0;profile-level-id=42e01f"):
        text = offer(video("a=rtpmap:96 H264/90000", f"a=fmtp:96 {fmtp}"))
        assert "packetization-mode=0" in publish(text).tracks[0].fmtp


def test_parameters_of_the_offerers_own_stream_are_not_repeated(publish: Publish) -> None:
    fmtp = "packetization-mode=1;sprop-parameter-sets=Z0LAFdkBQfs=,aMuMsg==;profile-level-id=42c015"
    body = video_body(publish, "a=rtpmap:96 H264/90000", f"a=fmtp:96 {fmtp}")
    assert list(body.values("fmtp")) == ["96 packetization-mode=1;profile-level-id=42c015"]

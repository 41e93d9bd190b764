"""What a player is sent."""

from __future__ import annotations

import pytest

from edge.errors import ErrorCode, PeerError
from edge.model import StreamTrack, SubscriberTrack
from edge.signaling.extensions import EXTENSION_URIS
from edge.signaling.sdp import parse

from .answers import check_answer
from .conftest import Play
from .offers import OPUS, audio, offer, video

pytestmark = pytest.mark.timeout(60)

OPUS_TRACK = StreamTrack(kind="audio", codec="opus")
TRACKS = {"opus": OPUS_TRACK, "H264": StreamTrack(kind="video", codec="H264")}


def h264(*levels: str) -> tuple[list[str], str]:
    """Lines and formats of H.264 payload types from 96 on, each as `mode;profile-level-id`."""
    lines: list[str] = []
    for payload_type, text in enumerate(levels, 96):
        mode, _, level = text.partition(";")
        parameters = [f"packetization-mode={mode}"] if mode else []
        parameters += [f"profile-level-id={level}"] if level else []
        lines.append(f"a=rtpmap:{payload_type} H264/90000")
        lines.append(f"a=fmtp:{payload_type} {';'.join(parameters) or 'x=y'}")
    return lines, " ".join(str(96 + index) for index in range(len(levels)))


def sent(play: Play, lines: list[str], formats: str, track: StreamTrack) -> SubscriberTrack:
    """The one track that a player with these video lines gets of a stream with this one."""
    text = offer(video(*lines, formats=formats, direction="recvonly"))
    negotiated = play(text, stream=[track])
    check_answer(text, negotiated.answer)
    (only,) = negotiated.spec.tracks
    return only


@pytest.mark.parametrize(
    ("stream", "offered", "chosen"),
    [
        ("packetization-mode=1;profile-level-id=42e01f", ("1;42001f", "1;42e01f"), 97),
        ("packetization-mode=1;profile-level-id=64001f", ("1;42e01f", "1;640c1f"), 97),
        ("packetization-mode=1;profile-level-id=640c1f", ("1;64001f", "1;640c1f"), 97),
        ("packetization-mode=1;profile-level-id=640028", ("0;640028", "1;42001f", "1;42e01f"), 98),
        ("packetization-mode=1;profile-level-id=4d0028", ("1;42e01f", "1;f4001f", "1;64001f"), 96),
        ("profile-level-id=64003c", ("0;42e01f", "1;42e01f"), 97),
        ("", ("0;42e01f", "1;42e01f"), 97),
        ("packetization-mode=0;profile-level-id=42e01f", ("1;42e01f", "0;42e01f"), 97),
        ("packetization-mode=0;profile-level-id=42e01f", ("1;42e01f", ";42e01f"), 97),
        ("packetization-mode=0;profile-level-id=42e01f", ("1;42e01f",), 96),
        ("packetization-mode=1;profile-level-id=42e028", ("1;42e01f", "1;42e034"), 97),
        ("packetization-mode=1;profile-level-id=42e01f", ("1;zzz", "1;42e01f"), 97),
    ],
)
def test_h264_goes_to_the_nearest_payload_type(
    stream: str, offered: tuple[str, ...], chosen: int, play: Play
) -> None:
    lines, formats = h264(*offered)
    track = sent(play, lines, formats, StreamTrack(kind="video", codec="H264", fmtp=stream))
    assert track.payload_type == chosen


@pytest.mark.parametrize("offered", [("0;42e01f",), (";42e01f",), ("2;42e01f",)])
def test_fragmented_h264_is_not_sent_to_a_player_of_single_units(
    offered: tuple[str, ...], play: Play
) -> None:
    lines, formats = h264(*offered)
    stream = StreamTrack(kind="video", codec="H264", fmtp="packetization-mode=1")
    with pytest.raises(PeerError) as caught:
        sent(play, lines, formats, stream)
    assert caught.value.code is ErrorCode.UNSUPPORTED_CODEC


@pytest.mark.parametrize(
    ("stream", "lines", "chosen"),
    [
        (
            StreamTrack(kind="video", codec="VP9", fmtp="profile-id=2"),
            ("VP9 profile-id=0", "VP9 profile-id=2"),
            97,
        ),
        (StreamTrack(kind="video", codec="VP9"), ("VP9 profile-id=2", "VP9 x=y"), 97),
        (
            StreamTrack(kind="video", codec="AV1", fmtp="profile=0"),
            ("AV1 profile=1", "AV1 level-idx=5"),
            97,
        ),
        (
            StreamTrack(kind="video", codec="H265"),
            ("H265 profile-id=2", "H265 level-id=255;profile-id=1"),
            97,
        ),
        (StreamTrack(kind="video", codec="VP8"), ("VP9 profile-id=0", "vp8 max-fs=12288"), 97),
        (
            StreamTrack(kind="video", codec="VP9", fmtp="profile-id=1"),
            ("VP9 profile-id=2", "VP9 profile-id=0"),
            97,
        ),
    ],
)
def test_other_codecs_match_their_profile(
    stream: StreamTrack, lines: tuple[str, ...], chosen: int, play: Play
) -> None:
    filled: list[str] = []
    for payload_type, text in enumerate(lines, 96):
        name, fmtp = text.split()
        filled += [f"a=rtpmap:{payload_type} {name}/90000", f"a=fmtp:{payload_type} {fmtp}"]
    assert sent(play, filled, "96 97", stream).payload_type == chosen


def test_each_track_is_announced_with_source_group_and_stream(play: Play) -> None:
    repair = ("a=rtcp-fb:96 nack", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96")
    section = video(
        "a=rtpmap:96 H264/90000",
        "a=fmtp:96 packetization-mode=1",
        *repair,
        formats="96 97",
        direction="sendrecv",
    )
    negotiated = play(offer(audio(direction="recvonly"), section))
    sound, picture = negotiated.spec.tracks
    assert (sound.ssrc, sound.rtx_ssrc, picture.ssrc, picture.rtx_ssrc) == (11, None, 13, 14)
    body = parse(negotiated.answer).media[1].body
    assert body.has("sendonly")
    assert body.first("msid") == "table-7 table-7-video"
    assert list(body.values("ssrc-group")) == ["FID 13 14"]
    assert "13 cname:table-7" in list(body.values("ssrc"))
    assert negotiated.spec.cname == "table-7"


def test_numbers_must_be_four_and_different(play: Play) -> None:
    with pytest.raises(ValueError, match="four different"):
        play(offer(audio(direction="recvonly")), ssrcs=(1, 2, 3, 3))


def test_a_stream_without_sound_leaves_the_audio_section_inactive(play: Play) -> None:
    text = offer(audio(direction="recvonly"), video(direction="recvonly"))
    negotiated = play(text, stream=[StreamTrack(kind="video", codec="H264")])
    check_answer(text, negotiated.answer)
    assert [track.kind for track in negotiated.spec.tracks] == ["video"]
    section = parse(negotiated.answer).media[0]
    assert (section.port, section.body.has("inactive")) == (9, True)


def test_a_player_that_wants_only_sound_gets_only_sound(play: Play) -> None:
    negotiated = play(offer(audio(direction="recvonly")))
    assert [track.kind for track in negotiated.tracks] == ["audio"]


def test_a_second_section_of_a_kind_gets_nothing(play: Play) -> None:
    text = offer(video(mid="0", direction="recvonly"), video(mid="1", direction="recvonly"))
    negotiated = play(text)
    check_answer(text, negotiated.answer)
    assert [track.mid for track in negotiated.spec.tracks] == ["0"]


@pytest.mark.parametrize(
    ("sections", "stream"),
    [
        (
            [
                video("a=rtpmap:96 VP8/90000", direction="recvonly"),
                audio(mid="0", direction="recvonly"),
            ],
            ("H264", "opus"),
        ),
        ([audio(direction="recvonly")], ("H264",)),
        ([audio("a=rtpmap:0 PCMU/8000", formats="0", direction="recvonly")], ("opus",)),
        ([audio(direction="recvonly")], ()),
    ],
    ids=["video does not match", "no kind", "audio only", "empty stream"],
)
def test_a_player_without_the_codec_is_told_what_there_is(
    sections: list[list[str]], stream: tuple[str, ...], play: Play
) -> None:
    tracks = [TRACKS[name] for name in stream]
    with pytest.raises(PeerError) as caught:
        play(offer(*sections), stream=tracks)
    assert caught.value.code is ErrorCode.UNSUPPORTED_CODEC
    assert caught.value.extra["supported"] == list(stream)
    for name in stream:
        assert name in caught.value.detail


def test_sound_that_does_not_match_is_left_out(play: Play) -> None:
    text = offer(
        audio("a=rtpmap:0 PCMU/8000", formats="0", direction="recvonly"),
        video(direction="recvonly"),
    )
    negotiated = play(text)
    check_answer(text, negotiated.answer)
    assert [track.kind for track in negotiated.spec.tracks] == ["video"]
    assert parse(negotiated.answer).media[0].port == 0


@pytest.mark.parametrize("direction", ["sendonly", "inactive"])
def test_an_offer_that_receives_nothing_is_unacceptable(direction: str, play: Play) -> None:
    with pytest.raises(PeerError) as caught:
        play(offer(audio(direction=direction)))
    assert caught.value.code is ErrorCode.UNACCEPTABLE_OFFER


def test_playout_delay_is_negotiated_only_when_asked_for(play: Play) -> None:
    text = offer(
        video(
            "a=rtpmap:96 H264/90000",
            "a=fmtp:96 packetization-mode=1",
            f"a=extmap:5 {EXTENSION_URIS['playout_delay']}",
            direction="recvonly",
        )
    )
    assert play(text).spec.tracks[0].extensions == {}
    asked = play(text, playout_delay_ms=(0, 200))
    assert asked.spec.tracks[0].extensions == {"playout_delay": 5}
    assert asked.spec.playout_delay_ms == (0, 200)


def test_the_dependency_descriptor_goes_with_scalable_codecs(play: Play) -> None:
    line = f"a=extmap:6 {EXTENSION_URIS['dependency_descriptor']}"
    for codec, ids in (("AV1", {"dependency_descriptor": 6}), ("VP8", {})):
        stream = StreamTrack(kind="video", codec=codec)  # type: ignore[arg-type]
        assert sent(play, [f"a=rtpmap:96 {codec}/90000", line], "96", stream).extensions == ids


def test_an_extension_the_player_would_only_send_is_not_used(play: Play) -> None:
    lines = [
        *OPUS,
        f"a=extmap:3/sendonly {EXTENSION_URIS['mid']}",
        f"a=extmap:4/recvonly {EXTENSION_URIS['audio_level']}",
    ]
    negotiated = play(offer(audio(*lines, direction="recvonly")), stream=[OPUS_TRACK])
    assert negotiated.spec.tracks[0].extensions == {"audio_level": 4}
    assert list(parse(negotiated.answer).media[0].body.values("extmap")) == [
        f"4/sendonly {EXTENSION_URIS['audio_level']}"
    ]


def test_redundant_audio_needs_both_sides(play: Play) -> None:
    lines = [*OPUS, "a=rtpmap:63 red/48000/2", "a=fmtp:63 111/111"]
    text = offer(audio(*lines, formats="111 63", direction="recvonly"))
    assert play(text).spec.tracks[0].red_payload_type == 63
    assert play(text, stream=[OPUS_TRACK]).spec.tracks[0].red_payload_type is None
    assert play(offer(audio(direction="recvonly"))).spec.tracks[0].red_payload_type is None

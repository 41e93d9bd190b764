"""Known quirks of OBS and Safari that show in SDP: one test for each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge.model import PublisherTrack, StreamTrack
from edge.signaling.negotiate import read_offer
from edge.signaling.sdp import parse

from .answers import check_answer
from .conftest import Play, Publish

pytestmark = pytest.mark.timeout(60)

Vector = Callable[[str], str]
OBS = ("obs30_publish", "obs31_publish", "obs32_simulcast_publish")


def video_of(publish: Publish, text: str) -> PublisherTrack:
    """The video track of a studio's offer."""
    return next(track for track in publish(text).spec.tracks if track.kind == "video")


@pytest.mark.parametrize("spelling", ["opus", "OPUS", "Opus"])
def test_obs_codec_names_are_compared_without_case(
    spelling: str, vector: Vector, publish: Publish
) -> None:
    text = vector("obs30_publish.offer").replace("opus/48000", f"{spelling}/48000")
    negotiated = publish(text)
    assert negotiated.spec.tracks[0].codec == "opus"
    assert f"a=rtpmap:111 {spelling}/48000/2\r\n" in negotiated.answer


@pytest.mark.parametrize("name", OBS)
def test_obs_mids_and_payload_types_are_kept(name: str, vector: Vector, publish: Publish) -> None:
    tracks = publish(vector(f"{name}.offer")).spec.tracks
    assert [(track.mid, track.payload_type) for track in tracks] == [("0", 111), ("1", 96)]


@pytest.mark.parametrize("profile", ["64001f", "4d0028", "42e01f"])
def test_obs_stream_is_matched_by_its_real_sps_not_by_the_offered_profile(
    profile: str, vector: Vector, play: Play
) -> None:
    stream = [StreamTrack(kind="video", codec="H264", fmtp=f"profile-level-id={profile}")]
    for player in ("chromium_play", "safari17_play", "firefox_play", "mediamtx_play"):
        text = vector(f"{player}.offer")
        negotiated = play(text, stream=stream)
        check_answer(text, negotiated.answer)
        fmtp = parse(negotiated.answer).media[0].body.values("fmtp")[0]
        assert "packetization-mode=1" in fmtp


def test_obs_does_not_trickle_so_the_answer_holds_all_candidates(
    vector: Vector, publish: Publish
) -> None:
    for name in OBS:
        answer = publish(vector(f"{name}.offer")).answer
        assert answer.count("a=candidate:") == 2
        assert answer.count("a=end-of-candidates") == 1


def test_obs_31_may_offer_no_candidate_at_all(vector: Vector) -> None:
    assert read_offer(vector("obs31_publish.offer")).remote.candidates == ()


@pytest.mark.parametrize("name", OBS)
def test_obs_has_no_rtx_and_no_transport_cc_but_nack_and_remb(
    name: str, vector: Vector, publish: Publish
) -> None:
    track = video_of(publish, vector(f"{name}.offer"))
    assert track.rtx_payload_type is None
    assert not track.transport_cc
    assert (track.nack, track.pli, track.remb) == (True, True, True)


def test_obs_simulcast_layers_are_known_by_rid_in_any_order(
    vector: Vector, publish: Publish
) -> None:
    text = vector("obs32_simulcast_publish.offer")
    assert video_of(publish, text).rids == ("0", "1", "2")
    turned = text.replace("send 0;1;2", "send 2;0;1")
    assert video_of(publish, turned).rids == ("2", "0", "1")
    assert video_of(publish, text).ssrcs == ()


def test_obs_simulcast_always_sends_the_mid(vector: Vector, publish: Publish) -> None:
    track = video_of(publish, vector("obs32_simulcast_publish.offer"))
    assert track.extensions == {"mid": 1, "rid": 2}


def test_obs_four_layers_are_all_taken(vector: Vector, publish: Publish) -> None:
    text = vector("obs32_simulcast_publish.offer")
    text = text.replace("a=rid:2 send\r\n", "a=rid:2 send\r\na=rid:3 send\r\n").replace(
        "0;1;2", "0;1;2;3"
    )
    assert video_of(publish, text).rids == ("0", "1", "2", "3")


@pytest.mark.parametrize("codec", ["AV1", "H265"])
def test_obs_may_send_other_codecs(codec: str, vector: Vector, publish: Publish) -> None:
    text = vector("obs30_publish.offer").replace(
        "a=rtpmap:96 H264/90000", f"a=rtpmap:96 {codec}/90000"
    )
    assert video_of(publish, text).codec == codec


def test_ffmpeg_waits_for_the_client_hello_and_reads_only_the_first_candidate(
    vector: Vector, publish: Publish
) -> None:
    negotiated = publish(vector("ffmpeg8_publish.offer"))
    assert negotiated.remote.setup == "active"
    first = negotiated.answer.partition("a=candidate:")[2].split()
    assert first[2] == "udp"
    assert video_of(publish, vector("ffmpeg8_publish.offer")).rtx_payload_type == 105


def test_gstreamer_bundle_only_sections_with_port_0_are_accepted(
    vector: Vector, publish: Publish
) -> None:
    negotiated = publish(vector("gstreamer_publish.offer"))
    assert [section.port for section in parse(negotiated.answer).media] == [9, 9]
    assert "sprop-" not in negotiated.answer


def test_firefox_layers_use_one_way_extensions(vector: Vector, publish: Publish) -> None:
    negotiated = publish(vector("firefox_simulcast_publish.offer"))
    assert video_of(publish, vector("firefox_simulcast_publish.offer")).rids == ("h", "m", "l")
    assert "a=extmap:8/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id" in negotiated.answer


def test_safari_gets_constrained_baseline_for_baseline_and_constrained_high_for_high(
    vector: Vector, play: Play
) -> None:
    for profile, payload_type in (
        ("42e01f", 98),
        ("42c01e", 98),
        ("42001f", 98),
        ("640028", 96),
        ("640c1f", 96),
    ):
        stream = [StreamTrack(kind="video", codec="H264", fmtp=f"profile-level-id={profile}")]
        assert (
            play(vector("safari17_play.offer"), stream=stream).spec.tracks[0].payload_type
            == payload_type
        )


def test_safari_mdns_candidates_are_kept_as_text(vector: Vector) -> None:
    (candidate,) = read_offer(vector("safari17_play.offer")).remote.candidates
    assert ".local " in candidate


def test_safari_low_payload_types_and_odd_levels_of_h265_work(vector: Vector, play: Play) -> None:
    stream = [StreamTrack(kind="video", codec="H265", fmtp="profile-id=1")]
    track = play(vector("safari17_play.offer"), stream=stream).spec.tracks[0]
    assert (track.payload_type, track.rtx_payload_type) == (35, 36)
    stream = [StreamTrack(kind="video", codec="H265", fmtp="profile-id=2")]
    assert play(vector("safari17_play.offer"), stream=stream).spec.tracks[0].payload_type == 49


def test_safari_is_never_sent_vp9_for_an_h264_stream(vector: Vector, play: Play) -> None:
    answer = play(vector("safari17_play.offer")).answer
    assert "VP9" not in answer
    assert answer.count("a=rtpmap:") == 4, "H.264 with RTX, Opus with RED"


def test_mediamtx_pulls_with_session_level_fingerprint_and_mid_only_on_video(
    vector: Vector, play: Play
) -> None:
    negotiated = play(vector("mediamtx_play.offer"))
    picture, sound = negotiated.spec.tracks
    assert (picture.payload_type, sound.payload_type) == (106, 111)
    assert sound.extensions == {"transport_cc": 4}


def test_old_chromium_data_channels_are_answered_in_their_form(vector: Vector, play: Play) -> None:
    negotiated = play(vector("legacy_datachannel_play.offer"))
    assert "m=application 9 DTLS/SCTP 5000\r\n" in negotiated.answer
    assert "a=sctpmap:5000 webrtc-datachannel 1024\r\n" in negotiated.answer
    assert negotiated.data_channel is not None

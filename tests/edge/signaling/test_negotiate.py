"""Golden answers to recorded offers, rules common to both roles, and aiortc as a reader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from hypothesis import given, settings

from edge.errors import ErrorCode, PeerError
from edge.signaling.negotiate import answer_publisher, answer_subscriber, read_offer
from edge.signaling.sdp import parse

from .answers import check_answer
from .conftest import LOCAL, STREAM, VECTORS, Play, Publish
from .mutations import mutated
from .offers import FINGERPRINT, TRANSPORT, audio, offer, video, without

pytestmark = pytest.mark.timeout(120)

PUBLISH = sorted(
    path.name.removesuffix(".offer.sdp") for path in VECTORS.glob("*publish.offer.sdp")
)
PLAY = sorted(path.name.removesuffix(".offer.sdp") for path in VECTORS.glob("*play.offer.sdp"))
Vector = Callable[[str], str]


@pytest.mark.parametrize("name", PUBLISH)
def test_recorded_studio_gets_its_golden_answer(
    name: str, vector: Vector, publish: Publish
) -> None:
    negotiated = publish(vector(f"{name}.offer"))
    check_answer(vector(f"{name}.offer"), negotiated.answer)
    assert negotiated.answer == vector(f"{name}.answer")
    assert {track.codec for track in negotiated.tracks} == {"H264", "opus"}


@pytest.mark.parametrize("name", PLAY)
def test_recorded_player_gets_its_golden_answer(name: str, vector: Vector, play: Play) -> None:
    negotiated = play(vector(f"{name}.offer"))
    check_answer(vector(f"{name}.offer"), negotiated.answer)
    assert negotiated.answer == vector(f"{name}.answer")
    assert "H264" in {track.codec for track in negotiated.spec.tracks}


def test_both_roles_were_recorded() -> None:
    assert len(PUBLISH) >= 10
    assert len(PLAY) >= 8


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (offer(), "no audio, video or data channel section"),
        (offer(audio(), bundle="BUNDLE 0", session=TRANSPORT[1:]), "a=ice-ufrag and a=ice-pwd"),
        (without(offer(audio()), "a=fingerprint"), "a=fingerprint is needed with one of sha-256"),
        (offer(audio()).replace("sha-256", "sha-1"), "a=fingerprint is needed"),
        (without(offer(audio()), "a=rtcp-mux"), "the section needs a=rtcp-mux"),
        (offer(audio(), session=(*TRANSPORT, "a=ice-lite")), "both sides are ICE-lite"),
        (offer(audio(), video(), bundle=None), "needs a=group:BUNDLE"),
        (offer(audio()).replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), "with DTLS"),
        (offer(audio()).replace("m=audio 9", "m=audio 0"), "with DTLS"),
    ],
    ids=["empty", "ufrag", "fingerprint", "sha-1", "mux", "lite", "bundle", "plain", "refused"],
)
def test_an_offer_without_a_transport_is_unacceptable(text: str, reason: str) -> None:
    with pytest.raises(PeerError) as caught:
        read_offer(text)
    assert caught.value.code is ErrorCode.UNACCEPTABLE_OFFER
    assert reason in caught.value.detail


@pytest.mark.parametrize(
    ("offered", "ours"),
    [("actpass", "passive"), ("active", "passive"), ("passive", "active"), ("holdconn", "passive")],
)
def test_the_dtls_role_follows_the_offer(offered: str, ours: str, publish: Publish) -> None:
    negotiated = publish(offer(audio()).replace("setup:actpass", f"setup:{offered}"))
    assert negotiated.remote.setup == ours
    assert f"a=setup:{ours}\r\n" in negotiated.answer


def test_a_missing_role_counts_as_actpass(publish: Publish) -> None:
    assert publish(without(offer(audio()), "a=setup")).remote.setup == "passive"


def test_one_section_needs_no_bundle(publish: Publish) -> None:
    text = offer(audio(), bundle=None)
    negotiated = publish(text)
    check_answer(text, negotiated.answer)
    assert "a=group" not in negotiated.answer


def test_a_section_without_mid_is_named_by_its_place(publish: Publish) -> None:
    text = without(offer(audio(), bundle=None), "a=mid")
    negotiated = publish(text)
    assert negotiated.spec.tracks[0].mid == "0"
    assert "a=mid" not in negotiated.answer


def test_a_section_outside_the_bundle_is_refused(publish: Publish) -> None:
    text = offer(audio(), video(), bundle="BUNDLE 0")
    negotiated = publish(text)
    check_answer(text, negotiated.answer)
    assert parse(negotiated.answer).media[1].port == 0
    assert [track.kind for track in negotiated.spec.tracks] == ["audio"]


def test_the_transport_is_that_of_the_first_bundled_section() -> None:
    own = [
        "a=ice-ufrag:first",
        "a=ice-pwd:secretsecretsecretsecret",
        FINGERPRINT.replace("5A", "C3"),
    ]
    read = read_offer(offer(audio(), [*video(), *own], bundle="BUNDLE 1 0"))
    assert read.remote.ice.ufrag == "first"
    assert read.remote.fingerprints == (("sha-256", ":".join(["C3"] * 32)),)


def test_new_credentials_mean_an_ice_restart() -> None:
    remote = read_offer(offer(audio())).remote
    assert remote.ice_restart("other", "another-password-of-24-ch")
    assert not remote.ice_restart(remote.ice.ufrag, remote.ice.pwd)
    assert not remote.ice_restart(None, None)


@pytest.mark.parametrize("direction", ["sendonly", "recvonly", "inactive"])
def test_a_refused_section_keeps_its_place_with_port_0(direction: str, publish: Publish) -> None:
    other = [
        f"m=video 0 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:1\r\na={direction}\r\na=rtpmap:96 VP8/90000"
    ]
    text = offer(audio(), other)
    section = parse(publish(text).answer).media[1]
    assert (section.port, section.mid, section.formats) == (0, "1", ("96",))
    assert section.body.has("inactive")


def test_unknown_media_is_refused_in_place(publish: Publish) -> None:
    text = offer(audio(), ["m=text 9 UDP/TLS/RTP/SAVPF 98", "a=mid:1"])
    assert parse(publish(text).answer).media[1].port == 0


def test_direction_may_stand_in_the_session_part(publish: Publish) -> None:
    text = without(offer(audio(), session=(*TRANSPORT, "a=sendonly")), "a=sendrecv")
    assert publish(text.replace("a=mid:0\r\na=sendonly\r\n", "a=mid:0\r\n")).spec.tracks


@pytest.mark.parametrize(
    ("lines", "mid", "port", "size"),
    [
        (
            ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=sctp-port:5001"],
            "2",
            5001,
            65_536,
        ),
        (
            ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=max-message-size:0"],
            "2",
            5000,
            262_144,
        ),
        (
            ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=max-message-size:1200"],
            "2",
            5000,
            1200,
        ),
        (
            ["m=application 9 DTLS/SCTP 5002", "a=sctpmap:5002 webrtc-datachannel 256"],
            "2",
            5002,
            65_536,
        ),
    ],
    ids=["port", "any size", "small", "legacy"],
)
def test_a_data_channel_section_is_answered(
    lines: list[str], mid: str, port: int, size: int, play: Play
) -> None:
    text = offer(audio(direction="recvonly"), [*lines, f"a=mid:{mid}"])
    negotiated = play(text)
    check_answer(text, negotiated.answer)
    channel = negotiated.data_channel
    assert channel is not None
    assert (channel.mid, channel.sctp_port, channel.max_message_size) == (mid, port, size)


@pytest.mark.parametrize(
    "lines",
    [
        ["m=application 9 UDP/BFCP *"],
        ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=sctp-port:0"],
        ["m=application 9 UDP/DTLS/SCTP other"],
        ["m=application 9 DTLS/SCTP 5000"],
    ],
    ids=["bfcp", "closed", "other", "no sctpmap"],
)
def test_other_application_sections_are_refused(lines: list[str], play: Play) -> None:
    negotiated = play(offer(audio(direction="recvonly"), [*lines, "a=mid:2"]))
    assert negotiated.data_channel is None
    assert parse(negotiated.answer).media[1].port == 0


def test_only_the_first_data_channel_section_counts(publish: Publish) -> None:
    channel = ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel"]
    text = offer(audio(), [*channel, "a=mid:2"], [*channel, "a=mid:3"])
    negotiated = publish(text)
    assert negotiated.data_channel is not None
    assert [section.port for section in parse(negotiated.answer).media] == [9, 9, 0]


def test_aiortc_accepts_the_answers() -> None:
    async def publishes() -> str:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connection.addTrack(AudioStreamTrack())
        connection.addTrack(VideoStreamTrack())
        return await _exchange(connection, _publisher_answer)

    async def plays() -> str:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connection.addTransceiver("video", "recvonly")
        connection.addTransceiver("audio", "recvonly")
        connection.createDataChannel("edge")
        return await _exchange(connection, _subscriber_answer)

    assert asyncio.run(publishes()) == "sendonly sendonly"
    assert asyncio.run(plays()) == "recvonly recvonly"


async def _exchange(connection: RTCPeerConnection, answer: Callable[[str], str]) -> str:
    try:
        await connection.setLocalDescription(await connection.createOffer())
        text = answer(connection.localDescription.sdp)
        await connection.setRemoteDescription(RTCSessionDescription(sdp=text, type="answer"))
        return " ".join(str(entry.currentDirection) for entry in connection.getTransceivers())
    finally:
        await connection.close()


@settings(max_examples=400, deadline=None)
@given(mutated())
def test_mutated_offers_are_answered_or_refused(text: str) -> None:
    for answer in (_publisher_answer, _subscriber_answer):
        try:
            written = answer(text)
        except PeerError as error:
            assert error.code.status in (400, 406, 422)
        else:
            assert parse(written).serialize() == written
            check_answer(text, written)


def _publisher_answer(text: str) -> str:
    return answer_publisher(read_offer(text), LOCAL, session_number=1).answer


def _subscriber_answer(text: str) -> str:
    return answer_subscriber(
        read_offer(text), LOCAL, session_number=1, stream=STREAM, ssrcs=(1, 2, 3, 4), cname="t"
    ).answer

"""Offers as text, answers from text."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.client.description import Offer, OfferedMedia, Payload, RemoteCandidate, parse_answer
from edge.client.failure import ClientError
from edge.model import IceCredentials

pytestmark = pytest.mark.timeout(30)

MEDIAMTX = """v=0
o=- 7 1 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:sha-256 AB:CD
a=group:BUNDLE 0 1
m=audio 0 UDP/TLS/RTP/SAVPF 0
c=IN IP4 0.0.0.0
a=mid:0
m=video 9 UDP/TLS/RTP/SAVPF 96 97
c=IN IP4 0.0.0.0
a=setup:passive
a=mid:1
a=ice-ufrag:abcd
a=ice-pwd:efgh
a=rtcp-mux
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=extmap:4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:9 urn:example:unknown
a=rid:h recv
a=rid:l recv
a=simulcast:recv h;l
a=candidate:1 1 udp 10 192.0.2.1 8189 typ host
a=candidate:2 1 udp 99 2001:db8::1 8189 typ host
a=candidate:3 2 udp 99 192.0.2.1 8190 typ host
a=candidate:4 1 tcp 5 192.0.2.1 8189 typ host tcptype passive
a=candidate:broken
a=sendonly
""".replace("\n", "\r\n")


def test_answer_is_read() -> None:
    answer = parse_answer(MEDIAMTX)
    assert answer.ice == IceCredentials(ufrag="abcd", pwd="efgh")
    assert answer.fingerprints == (("sha-256", "AB:CD"),)
    assert (answer.dtls_role, answer.ice_lite, answer.sctp_port) == ("client", False, None)
    assert answer.candidates == (
        RemoteCandidate(address="2001:db8::1", port=8189, transport="udp", priority=99),
        RemoteCandidate(address="192.0.2.1", port=8189, transport="udp", priority=10),
        RemoteCandidate(address="192.0.2.1", port=8189, transport="tcp", priority=5),
    )
    assert answer.accepted("0") is None
    video = answer.accepted("1")
    assert video is not None
    assert (video.rtx_of(96), video.rtx_of(97), video.rids) == (97, None, ("h", "l"))
    assert video.extensions == {"transport_cc": 4}


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        ("a=ice-ufrag:abcd\r\n", "ICE credentials"),
        ("a=fingerprint:sha-256 AB:CD\r\n", "fingerprint"),
        ("v=0\r\n", "not a session description"),
    ],
)
def test_what_is_missing_is_named(lost: str, reason: str) -> None:
    with pytest.raises(ClientError, match=reason):
        parse_answer(MEDIAMTX.replace(lost, ""))


def test_malformed_media_line_is_named() -> None:
    with pytest.raises(ClientError, match="m=video nine"):
        parse_answer(MEDIAMTX.replace("m=video 9", "m=video nine"))


@given(st.lists(st.sampled_from([*MEDIAMTX.split("\r\n"), "a=ssrc:", "a=rid:", "m="])))
def test_any_lines_are_read_or_refused(lines: list[str]) -> None:
    with contextlib.suppress(ClientError):
        parse_answer("v=0\r\n" + "\r\n".join(lines))


def _offer(**changes: object) -> str:
    media = {
        "kind": "video",
        "mid": "1",
        "direction": "sendonly",
        "payloads": (Payload(number=96, encoding="H264/90000", fmtp="x=1", rtx=97),),
        "extensions": {"mid": 1},
        **changes,
    }
    ice = IceCredentials(ufrag="u", pwd="p")
    offered = OfferedMedia(**media)  # type: ignore[arg-type]
    return str(Offer(ice=ice, fingerprint="sha-256 AA", media=(offered,), data_channel_mid="2"))


def test_offer_announces_sources_and_their_repair() -> None:
    lines = _offer(ssrc=11, rtx_ssrc=12).split("\r\n")
    for line in (
        "a=group:BUNDLE 1 2",
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97",
        "a=fmtp:97 apt=96",
        "a=ssrc-group:FID 11 12",
        "a=ssrc:12 cname:edge-client",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=sctp-port:5000",
        "a=sendonly",
    ):
        assert line in lines
    assert lines[-1] == ""


def test_simulcast_offer_names_rids_instead_of_sources() -> None:
    text = _offer(rids=("h", "l"))
    assert "a=rid:h send\r\na=rid:l send\r\na=simulcast:send h;l\r\n" in text
    assert "a=ssrc" not in text


def test_receiving_offer_announces_no_source() -> None:
    assert "a=ssrc" not in _offer(direction="recvonly", ssrc=11)

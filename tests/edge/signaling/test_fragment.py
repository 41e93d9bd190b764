"""Invariant: `parse_fragment` returns a fragment or raises PeerError, nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import ErrorCode, PeerError
from edge.model import IceCredentials
from edge.signaling.fragment import MAX_CANDIDATES, Fragment, parse_fragment, write_fragment
from edge.signaling.negotiate import LocalTransport

pytestmark = pytest.mark.timeout(60)

CHROMIUM = (
    "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
    "m=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
    "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw"
    " network-id 1\r\n"
    "a=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ host generation 0\r\n"
    "a=end-of-candidates\r\n"
)
"""A page that trickles as RFC 9725, section 4.3.2 shows."""

MEDIAMTX = (
    "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
    "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n"
    "a=ice-ufrag:irLXWzddvisAhBPx\r\na=ice-pwd:SDbWOPeJzQQtVaEywkOkzvoHuiTyDFuV\r\n"
    "a=candidate:4255105121 1 udp 2130706431 192.0.2.2 48011 typ host ufrag irLXWzddvisAhBPx\r\n"
)
"""A client that sends a whole description and credentials below the m= line."""


def test_candidates_and_their_end_are_read() -> None:
    fragment = parse_fragment(CHROMIUM)
    assert fragment.credentials == IceCredentials(ufrag="EsAw", pwd="P2uYro0UCOQ4zxjKXaWCBui1")
    assert [candidate.split()[4] for candidate in fragment.candidates] == [
        "192.0.2.1",
        "198.51.100.2",
    ]
    assert fragment.end_of_candidates
    assert (fragment.mid, fragment.media) == ("0", "audio")


def test_credentials_below_the_m_line_and_a_whole_description_are_taken() -> None:
    fragment = parse_fragment(MEDIAMTX)
    assert fragment.ufrag == "irLXWzddvisAhBPx"
    assert len(fragment.candidates) == 1
    assert not fragment.end_of_candidates


def test_a_fragment_may_only_end_the_candidates() -> None:
    assert parse_fragment("a=end-of-candidates\n") == Fragment(end_of_candidates=True)
    assert parse_fragment("a=ice-ufrag:x\n").credentials is None


def test_mdns_short_and_tcp_candidates_are_kept_as_they_are() -> None:
    lines = [
        "1 1 udp",
        "1 1 udp 1 4a5b.local 9 typ host",
        "2 1 tcp 1 192.0.2.1 9 typ host tcptype active",
    ]
    text = "m=video 9 X 0\r\na=mid:v\r\n" + "".join(f"a=candidate:{line}\r\n" for line in lines)
    assert parse_fragment(text).candidates == tuple(lines)


def test_an_ice_restart_is_answered_with_credentials_and_all_candidates(
    local: LocalTransport,
) -> None:
    text = write_fragment(local.ice, local.candidates, mid="v", media="video")
    assert text.split("\r\n") == [
        "a=ice-lite",
        "a=ice-options:ice2 trickle",
        "a=ice-ufrag:edge0001",
        "a=ice-pwd:b66f472495ef0ccac7bda653ab6be49e",
        "m=video 9 RTP/AVP 0",
        "a=mid:v",
        "a=candidate:1 1 udp 2130706431 192.0.2.10 8189 typ host",
        "a=candidate:2 1 tcp 1671430143 192.0.2.10 8189 typ host tcptype passive",
        "a=end-of-candidates",
        "",
    ]
    read = parse_fragment(text)
    assert read.credentials == local.ice
    assert len(read.candidates) == len(local.candidates)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("\r\n\r\n", 1),
        ("candidate:1 1 udp 1 192.0.2.1 9 typ host", 1),
        ("a=mid:0\r\nm=audio\r\n", 2),
        ("a=ice-pwd:\r\n", 1),
        ("a=mid:0\r\n" + "a=candidate:1\r\n" * (MAX_CANDIDATES + 1), MAX_CANDIDATES + 2),
    ],
)
def test_a_malformed_fragment_names_the_line(text: str, line: int) -> None:
    with pytest.raises(PeerError) as caught:
        parse_fragment(text)
    assert caught.value.code is ErrorCode.MALFORMED_FRAGMENT
    assert caught.value.detail.startswith(f"line {line}: ")
    assert caught.value.extra["line"] == line


@settings(max_examples=300, deadline=None)
@given(st.text(), st.integers(0, len(CHROMIUM)), st.integers(0, 20))
def test_arbitrary_and_mutated_fragments_parse_or_raise_peer_error(
    text: str, at: int, cut: int
) -> None:
    for candidate in (text, CHROMIUM[:at] + text + CHROMIUM[at + cut :]):
        try:
            assert isinstance(parse_fragment(candidate), Fragment)
        except PeerError as error:
            assert error.code is ErrorCode.MALFORMED_FRAGMENT

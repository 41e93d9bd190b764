"""Invariant: `parse` returns a description or raises PeerError, nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import ErrorCode, PeerError
from edge.signaling.sdp import MAX_BYTES, MAX_SECTIONS, SessionDescription, parse

from .mutations import KNOWN_LINES, RECORDINGS, mutated

pytestmark = pytest.mark.timeout(120)

HEAD = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
LINE_TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\r\n"), max_size=30
).map(str.rstrip)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_every_recorded_description_survives_unchanged(path: Path) -> None:
    text = path.read_bytes().decode()
    assert parse(text).serialize() == text
    assert str(parse(text)) == text


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_line_ends_may_be_lf(path: Path) -> None:
    text = path.read_bytes().decode()
    assert parse(text.replace("\r\n", "\n")) == parse(text)


def test_unknown_lines_and_attributes_are_kept_in_place() -> None:
    text = (
        HEAD + "b=AS:5\r\na=x-own:1\r\nm=audio 9/2 RTP/XYZ 0 1\r\ni=studio\r\na=y\r\nk=prompt\r\n"
    )
    description = parse(text)
    assert description.serialize() == text
    assert description.media[0].port_count == 2
    assert description.media[0].body.has("y")


def test_attribute_names_and_values_are_found_without_case_and_spaces() -> None:
    body = parse(HEAD + "a=ICE-LITE\r\na=setup: actpass\r\n").body
    assert body.has("ice-lite")
    assert body.first("setup") == "actpass"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a=rtpmap:111", "a=rtpmap needs '<pt> <encoding>/<clock>'"),
        ("a=rtpmap:128 opus/48000", "a=rtpmap needs"),
        ("a=fmtp:", "a=fmtp needs"),
        ("a=rtcp-fb:96", "a=rtcp-fb needs"),
        ("a=extmap:x urn:a", "a=extmap needs"),
        ("a=extmap:3/upward urn:a", "a=extmap needs"),
        ("a=rid:h sideways", "a=rid needs"),
        ("a=simulcast:send", "a=simulcast needs"),
        ("a=ssrc:4294967296 cname:a", "a=ssrc needs"),
        ("a=ssrc-group:FID 1 x", "a=ssrc-group needs"),
        ("a=fingerprint:sha-256 AABB", "a=fingerprint needs"),
        ("a=setup:later", "a=setup needs one of"),
        ("a=group:", "a=group needs"),
        ("a=sctpmap:70000 webrtc-datachannel", "a=sctpmap needs"),
        ("a=sctp-port:70000", "a=sctp-port needs"),
        ("a=max-message-size:many", "a=max-message-size needs"),
        ("a=mid:", "need one word"),
        ("a=ice-pwd:a b", "need one word"),
        ("m=audio 9 UDP/TLS/RTP/SAVPF", "m= needs"),
        ("m=audio 70000 UDP/TLS/RTP/SAVPF 0", "m= needs"),
        ("hello", "needs '<type>=<value>'"),
        (" a=mid:0", "needs '<type>=<value>'"),
        ("a=x:\x00", "control characters"),
    ],
)
def test_a_malformed_line_is_named(line: str, reason: str) -> None:
    with pytest.raises(PeerError) as caught:
        parse(HEAD + line + "\r\n")
    assert caught.value.code is ErrorCode.MALFORMED_SDP
    assert caught.value.detail.startswith("line 5: ")
    assert reason in caught.value.detail
    assert caught.value.extra["line"] == 5


@pytest.mark.parametrize("text", ["", "\r\n", "s=-\r\nv=0\r\n", "v=1\r\n", "{}"])
def test_what_does_not_start_as_a_description_is_refused(text: str) -> None:
    with pytest.raises(PeerError) as caught:
        parse(text)
    assert caught.value.code is ErrorCode.MALFORMED_SDP


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEAD + "m=audio 9 X 0\r\n" * (MAX_SECTIONS + 1), 5 + MAX_SECTIONS),
        (HEAD + "a=x\r\n" * 513, 517),
        (HEAD + "m=audio 9 X 0\r\n" + "a=x\r\n" * 513, 518),
        (HEAD + "m=audio 9 X 0\r\na=mid:0\r\nm=video 9 X 0\r\na=mid:0\r\n", 7),
    ],
    ids=["sections", "session attributes", "media attributes", "repeated mid"],
)
def test_limits_name_the_line_that_breaks_them(text: str, line: int) -> None:
    with pytest.raises(PeerError) as caught:
        parse(text)
    assert caught.value.extra["line"] == line


def test_a_description_over_64_kib_is_refused_by_bytes_not_characters() -> None:
    filler = "i=" + "\u00e9" * (MAX_BYTES // 2) + "\r\n"
    with pytest.raises(PeerError, match="larger than 65536 bytes"):
        parse(HEAD + filler)


@pytest.mark.parametrize(
    "line",
    [
        "a=extmap:3/recvonly urn:x:y with attributes",
        "a=fmtp:99 unknown=1",
        "a=fmtp:* x",
        "a=setup:holdconn",
        "a=candidate:1 1 udp",
        "a=candidate:",
        "a=candidate:1 1 udp 1 studio.example.org 9 typ host",
        "a=candidate:1 1 udp 1 0d7ce0a4.local 9 typ host",
        "c=IN IP4 studio.example.org",
        "c=IN IP4 224.2.36.42/127",
        "a=rtpmap:72 H264/90000",
        "a=fmtp:96 profile-level-id=42e03c",
        "a=fmtp:96 profile-level-id=nonsense",
        "a=sctpmap:5000 webrtc-datachannel",
        "a=rid:h send pt=96,97;max-width=1280;max-fps=30",
        "a=rid:h send pt=;max-br",
        "a=simulcast: send rid=h,m;~l recv x",
        "a=simulcast:send ~;,;",
        "a=rtcp-fb:* nack",
        "a=extmap:300 urn:x",
        "a=ssrc:1",
        "a=framerate:29.97",
        "a=rtpmap:9 G722/8000/1",
    ],
)
def test_lawful_or_harmless_lines_are_read(line: str) -> None:
    assert (
        parse(HEAD + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" + line + "\r\n")
        .serialize()
        .endswith(line + "\r\n")
    )


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("latin-1"))))
def test_arbitrary_text_parses_or_raises_peer_error(text: str) -> None:
    _parses_or_refuses(text)
    _parses_or_refuses(HEAD + text)


@settings(max_examples=500, deadline=None)
@given(mutated())
def test_mutated_recordings_parse_or_raise_peer_error(text: str) -> None:
    _parses_or_refuses(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(KNOWN_LINES, LINE_TEXT.map("a={}".format), LINE_TEXT.map("m={}".format))))
def test_what_is_parsed_serialises_to_itself(lines: list[str]) -> None:
    text = HEAD + "".join(f"{line}\r\n" for line in lines)
    try:
        description = parse(text)
    except PeerError:
        return
    assert parse(description.serialize()) == description


def _parses_or_refuses(text: str) -> None:
    try:
        description = parse(text)
    except PeerError:
        return
    assert isinstance(description, SessionDescription)
    assert parse(description.serialize()) == description

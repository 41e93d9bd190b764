"""RTP headers and extensions: round trips, limits, and parsing of anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.client import rtp

pytestmark = pytest.mark.timeout(30)

PACKETS = st.builds(
    rtp.RtpPacket,
    payload_type=st.integers(0, 127),
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=1300),
    marker=st.booleans(),
    extensions=st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=6),
)


@given(PACKETS)
def test_packet_survives_the_wire(packet: rtp.RtpPacket) -> None:
    assert rtp.parse(bytes(packet)) == packet


@given(st.binary(max_size=200))
def test_anything_parses_or_is_refused(data: bytes) -> None:
    try:
        packet = rtp.parse(data)
    except ValueError:
        return
    assert len(packet.payload) <= len(data)


def test_padding_and_two_byte_extensions_are_understood() -> None:
    header = bytes.fromhex("b0e0 0001 00000002 00000003".replace(" ", ""))
    extension = bytes.fromhex("1000 0002 05 03 616263 00 07 00".replace(" ", ""))
    packet = rtp.parse(header + extension + b"xy" + b"\0\0\x03")
    assert (packet.payload, packet.marker, packet.payload_type) == (b"xy", True, 96)
    assert packet.extensions == {5: b"abc", 7: b""}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "80600001",
        "4060000100000002000000030000",
        "906000010000000200000003",
        "9060000100000002000000 03bede0004".replace(" ", ""),
        "a0600001000000020000000309",
    ],
)
def test_cut_packets_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="RTP"):
        rtp.parse(bytes.fromhex(text))


@pytest.mark.parametrize(
    ("value", "reference", "expected"),
    [(5, 3, 5), (0, 0xFFFF, 0x10000), (0xFFFF, 0x10000, 0xFFFF), (0, 0x1FFFE, 0x20000)],
)
def test_extend_takes_the_nearest(value: int, reference: int, expected: int) -> None:
    assert rtp.extend(value, reference) == expected


@given(st.integers(0, 1 << 40), st.integers(-32767, 32767))
def test_extend_undoes_truncation(reference: int, distance: int) -> None:
    assert rtp.extend((reference + distance) & 0xFFFF, reference) == reference + distance


def test_ntp_time_counts_from_1900() -> None:
    assert rtp.ntp_time(0.5) == (2_208_988_800 << 32) + (1 << 31)


def test_abs_send_time_wraps_after_64_seconds() -> None:
    assert rtp.abs_send_time(1.5) == rtp.abs_send_time(65.5) == bytes((6, 0, 0))

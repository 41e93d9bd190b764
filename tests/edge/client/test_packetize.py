"""Payload formats: what one side cuts the other side joins, for real encoders too."""

from __future__ import annotations

import contextlib
from typing import get_args

import av
import pytest
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from edge.client import h264
from edge.client.depacketize import depacketizer
from edge.client.encoder import VideoEncoder
from edge.client.packetize import (
    MAX_PAYLOAD_BYTES,
    equal_pieces,
    leb128,
    packetizer,
    read_leb128,
    split_obus,
)
from edge.client.planes import plane_view
from edge.client.testcard import TestCard
from edge.model import CodecName

pytestmark = pytest.mark.timeout(60)

CODECS: tuple[CodecName, ...] = get_args(CodecName)
VIDEO: tuple[CodecName, ...] = ("H264", "VP8", "VP9", "AV1", "H265")


def _nal(header: bytes, size: int) -> bytes:
    return header + b"\xab" * size


@given(st.lists(st.tuples(st.sampled_from([1, 5, 7, 8]), st.integers(1, 5000)), min_size=1))
def test_h264_units_come_back(shape: list[tuple[int, int]]) -> None:
    unit = h264.join_annexb([_nal(bytes((0x60 | kind,)), size) for kind, size in shape])
    picture = depacketizer("H264")(packetizer("H264")(unit, True, 1))
    assert picture.data == unit
    assert picture.key == any(kind == 5 for kind, _ in shape)


@given(st.lists(st.tuples(st.sampled_from([1, 19, 32, 33, 34]), st.integers(1, 5000)), min_size=1))
def test_h265_units_come_back(shape: list[tuple[int, int]]) -> None:
    unit = h264.join_annexb([_nal(bytes((kind << 1, 1)), size) for kind, size in shape])
    picture = depacketizer("H265")(packetizer("H265")(unit, True, 1))
    assert picture.data == unit
    assert picture.key == any(kind == 19 for kind, _ in shape)


@given(st.sampled_from(["VP8", "VP9"]), st.integers(1, 6000), st.booleans(), st.integers(0, 70000))
def test_vp8_and_vp9_frames_come_back(codec: CodecName, size: int, key: bool, number: int) -> None:
    unit = bytes((0 if key else 1,)) + b"\x5a" * (size - 1)
    picture = depacketizer(codec)(packetizer(codec)(unit, key, number))
    assert (picture.data, picture.key) == (unit, key)


@given(st.lists(st.tuples(st.sampled_from([1, 3, 6]), st.integers(0, 4000)), min_size=1))
def test_av1_units_come_back(shape: list[tuple[int, int]]) -> None:
    obus = [bytes((kind << 3 | 2,)) + leb128(size) + b"\x11" * size for kind, size in shape]
    unit = b"\x12\x00" + b"".join(obus)
    picture = depacketizer("AV1")(packetizer("AV1")(unit, False, 1))
    assert picture.data == unit


@given(st.sampled_from(CODECS), st.integers(1, 20000))
def test_payloads_fit_and_fragments_are_equal(codec: CodecName, size: int) -> None:
    unit = {
        "H264": h264.START_CODE + b"\x65",
        "H265": h264.START_CODE + b"\x26\x01",
        "AV1": b"\x32" + leb128(size),
    }.get(codec, b"") + b"\x01" * size
    payloads = packetizer(codec)(unit, True, 1)
    if codec == "opus":
        assert payloads == [unit]
        return
    sizes = [len(payload) for payload in payloads]
    assert max(sizes) <= MAX_PAYLOAD_BYTES
    if codec != "AV1":
        assert max(sizes) - min(sizes) <= 1


@given(st.binary(max_size=5000), st.integers(1, 1500))
def test_equal_pieces_add_up(data: bytes, limit: int) -> None:
    pieces = equal_pieces(data, limit)
    assert b"".join(pieces) == data
    assert len(pieces) == max(1, -(-len(data) // limit))


def test_parameter_sets_share_a_packet_and_the_picture_is_fragmented() -> None:
    unit = h264.join_annexb([b"\x09\xf0", b"\x67sps", b"\x68pps", b"\x65" + b"\x88" * 3000])
    payloads = packetizer("H264")(unit, True, 1)
    assert payloads[0] == b"\x78\x00\x04\x67sps\x00\x04\x68pps"
    assert [payload[:2] for payload in payloads[1:]] == [b"\x7c\x85", b"\x7c\x05", b"\x7c\x45"]


@given(st.sampled_from(CODECS), st.lists(st.binary(max_size=80), max_size=5))
def test_anything_is_joined_or_refused(codec: CodecName, payloads: list[bytes]) -> None:
    with contextlib.suppress(ValueError):
        depacketizer(codec)(payloads)


@pytest.mark.parametrize("codec", VIDEO)
def test_a_frame_joined_in_the_middle_is_refused(codec: CodecName) -> None:
    head = {"H264": h264.START_CODE + b"\x65", "H265": h264.START_CODE + b"\x26\x01"}
    unit = head.get(codec, b"") + b"\x01" * 5000
    if codec == "AV1":
        unit = b"\x32" + leb128(5000) + b"\x01" * 5000
    payloads = packetizer(codec)(unit, True, 1)
    with pytest.raises(ValueError, match=r"\w"):
        depacketizer(codec)(payloads[1:])


@pytest.mark.parametrize("codec", VIDEO)
def test_real_encoder_through_packets_to_real_decoder(codec: CodecName) -> None:
    size = (320, 184)
    card, picture = TestCard(*size), VideoFrame(*size, "yuv420p")
    encoder = VideoEncoder(codec, size=size, fps=30, bitrate_bps=800_000, gop_s=10)
    name = {"H264": "h264", "H265": "hevc", "AV1": "libdav1d"}.get(codec, codec.lower())
    decoder = av.CodecContext.create(name, "r")
    keys, decoded = [], 0
    for index in range(12):
        card.draw(1_700_000_000 + index / 30)
        for number, plane in enumerate(card.planes):
            plane_view(picture, number)[:] = plane
        for unit, key in encoder.encode(picture, index / 30, key=index == 7):
            joined = depacketizer(codec)(packetizer(codec)(unit, key, index))
            assert joined.key == key
            keys.append(key)
            decoded += len(decoder.decode(av.Packet(joined.data)))  # type: ignore[attr-defined]
    encoder.close()
    decoded += len(decoder.decode(None))  # type: ignore[attr-defined]
    assert decoded == 12
    assert [index for index, key in enumerate(keys) if key] == [0, 7]


@pytest.mark.parametrize(("value", "code"), [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02")])
def test_leb128_vectors(value: int, code: str) -> None:
    assert leb128(value) == bytes.fromhex(code)
    assert read_leb128(bytes.fromhex(code), 0) == (value, len(code) // 2)


def test_obu_longer_than_its_data_is_refused() -> None:
    with pytest.raises(ValueError, match="cut"):
        split_obus(b"\x32\x05\x00")


@pytest.mark.parametrize(
    ("size", "fps", "profile"),
    [((640, 360), 30, "42e01e"), ((1280, 720), 30, "42e01f"), ((1920, 1080), 30, "42e028")],
)
def test_profile_names_the_level_needed(size: tuple[int, int], fps: float, profile: str) -> None:
    assert h264.baseline_profile(*size, fps) == profile


def test_profile_is_read_from_sps_and_from_avcc() -> None:
    assert h264.profile_level_id(h264.START_CODE + b"\x67\x64\x00\x28\xac") == "640028"
    assert h264.profile_level_id(b"\x01\x4d\x40\x1f\xff") == "4d401f"
    assert h264.profile_level_id(b"") is None

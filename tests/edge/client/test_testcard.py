"""The clock in the picture is readable after scaling, noise and real compression."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from edge.client.encoder import VideoEncoder, beeping_second
from edge.client.planes import plane_view
from edge.client.testcard import TestCard, checksum, clock_bits, clock_delay_ms, read_clock

pytestmark = pytest.mark.timeout(60)

WALL_S = 1_700_000_000.123


@pytest.mark.parametrize(
    ("word", "expected"), [(0, 0x55), (0x31323334, 0xC2 ^ 0x55), (0xFFFFFFFF, 0xDE ^ 0x55)]
)
def test_checksum_vectors(word: int, expected: int) -> None:
    assert checksum(word) == expected


def test_bits_are_most_significant_first() -> None:
    assert clock_bits(0x80000001)[:32] == [1] + [0] * 30 + [1]


@given(st.integers(0, (1 << 33) - 1), st.sampled_from([(1280, 720), (320, 184), (640, 360)]))
def test_clock_is_read_back(wall_ms: int, size: tuple[int, int]) -> None:
    width, height = size
    picture = np.full((height, width), 90, dtype=np.uint8)
    cells = np.repeat(np.array(clock_bits(wall_ms)) * 219 + 16, width // 40)
    picture[: height // 12] = cells
    assert read_clock(picture) == wall_ms & 0xFFFFFFFF
    assert read_clock(np.repeat(picture[:, :, None], 3, axis=2)) == wall_ms & 0xFFFFFFFF


@given(st.integers(0, 39), st.integers(0, 0xFFFFFFFF))
def test_one_wrong_cell_is_noticed(cell: int, wall_ms: int) -> None:
    bits = clock_bits(wall_ms)
    bits[cell] ^= 1
    picture = np.repeat(np.array(bits, dtype=np.uint8) * 219 + 16, 8)
    assert read_clock(np.tile(picture, (180, 1))) is None


@pytest.mark.parametrize(
    "picture",
    [np.zeros((0, 0)), np.zeros(5), np.full((180, 320), 128), np.zeros((180, 30))],
    ids=["empty", "flat", "gray", "narrow"],
)
def test_pictures_without_a_clock_are_refused(
    picture: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> None:
    assert read_clock(picture) is None


@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (320, 184)])
@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_clock_survives_compression(codec: str, size: tuple[int, int]) -> None:
    card, picture = TestCard(*size), VideoFrame(*size, "yuv420p")
    starved_bps = size[0] * size[1]  # a third of what such a picture usually gets
    encoder = VideoEncoder(codec, size=size, fps=30, bitrate_bps=starved_bps, gop_s=1)  # type: ignore[arg-type]
    decoder = av.CodecContext.create(codec.lower(), "r")
    shown = []
    for index in range(10):
        card.draw(WALL_S + index / 30)
        for number, plane in enumerate(card.planes):
            plane_view(picture, number)[:] = plane
        for unit, _ in encoder.encode(picture, index / 30, key=False):
            frames = decoder.decode(av.Packet(unit))  # type: ignore[attr-defined]
            shown += [read_clock(plane_view(frame, 0)) for frame in frames]
            if index == 3:
                small = frames[0].reformat(width=size[0] // 2, height=size[1] // 2, format="rgb24")
                assert read_clock(small.to_ndarray()) == int((WALL_S + 0.1) * 1000) & 0xFFFFFFFF
    assert shown == [int((WALL_S + index / 30) * 1000) & 0xFFFFFFFF for index in range(len(shown))]
    assert len(shown) >= 9


def test_drawing_leaves_no_trace_of_the_bar() -> None:
    card, fresh = TestCard(640, 360), TestCard(640, 360)
    for step in range(40):
        card.draw(WALL_S + step * 0.1)
    fresh.draw(WALL_S + 3.9)
    card_picture, fresh_picture = card.planes[0].copy(), fresh.planes[0].copy()
    grain = slice(360 * 20 // 24, 360 * 21 // 24)
    card_picture[grain] = fresh_picture[grain] = 0
    assert np.array_equal(card_picture, fresh_picture)


def test_grain_changes_from_picture_to_picture() -> None:
    card = TestCard(320, 184)
    card.draw(WALL_S)
    before = card.planes[0].copy()
    card.draw(WALL_S)
    changed = np.flatnonzero((before != card.planes[0]).any(axis=1))
    assert (changed.min(), changed.max()) == (184 * 20 // 24, 184 * 21 // 24 - 1)


@pytest.mark.parametrize("delay_ms", [-20, 0, 35, 60_000])
@pytest.mark.parametrize("wall_ms", [1_700_000_000_000, (1 << 32) * 400 + 10])
def test_delay_across_the_wrap(delay_ms: int, wall_ms: int) -> None:
    shown = (wall_ms - delay_ms) & 0xFFFFFFFF
    assert clock_delay_ms(shown, wall_ms / 1000) == pytest.approx(delay_ms, abs=1)


def test_beep_is_one_second_of_sound_then_silence() -> None:
    packets = beeping_second()
    assert len(packets) == 50
    decoder = av.CodecContext.create("libopus", "r")
    loud = []
    for packet in packets * 2:
        frames = decoder.decode(av.Packet(packet))
        loud += [float(np.abs(frame.to_ndarray()).max()) for frame in frames]
    scale = 1.0 if max(loud) <= 1.5 else 32768.0
    assert max(loud[:5]) / scale > 0.1
    assert max(loud[20:50]) / scale < 0.01
    assert max(loud[50:55]) / scale > 0.1

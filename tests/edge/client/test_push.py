"""``edge push`` against an independent stack, and what it says when it cannot."""

from __future__ import annotations

import argparse
import asyncio
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from edge.client import push
from edge.client.arguments import bitrate, size
from edge.client.failure import ClientError
from edge.client.media_source import MediaSource
from edge.client.sources import VideoSettings
from edge.client.testcard import clock_delay_ms

from .counterpart import Counterpart

pytestmark = pytest.mark.timeout(60)


def _arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    push.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("codec", ["h264", "vp8"])
async def test_test_card_is_published_and_its_clock_is_read(codec: str) -> None:
    counterpart = Counterpart()
    async with counterpart.serving() as base:
        args = _arguments(f"{base}/whip", "--codec", codec, "--size", "640x360", "--no-reconnect")
        publishing = asyncio.create_task(push.publish(args))
        delays: list[int] = []
        while len(delays) < 30:
            shown = await counterpart.clocks.get()
            if shown is not None:
                delays.append(clock_delay_ms(shown, time.time()))
        signal.raise_signal(signal.SIGTERM)
        assert await publishing == 0
        await counterpart.deleted.wait()
    assert min(delays) >= 0
    assert sorted(delays)[15] < 5000


def _write_file(path: Path, *, b_frames: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.max_b_frames = b_frames
        stream.options = {"x264-params": f"bframes={b_frames}:keyint=15:b-adapt=0"}
        for index in range(30):
            picture = np.full((360, 320), 40 + index, dtype=np.uint8)
            container.mux(stream.encode(VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode(None))


def _settings(codec: str = "H264", rids: tuple[str, ...] = ("",)) -> VideoSettings:
    return VideoSettings(
        codec=codec,  # type: ignore[arg-type]
        size=None,
        fps=30,
        bitrate_bps=500_000,
        gop_s=1,
        rids=rids,
    )


@pytest.mark.parametrize(
    ("b_frames", "codec", "rids", "words"),
    [
        (0, "H264", ("",), "h264 320x240 passed through"),
        (2, "H264", ("",), "h264 320x240 encoded as H264"),
        (0, "VP8", ("",), "h264 320x240 encoded as VP8"),
        (0, "H264", ("h", "l"), "encoded as H264 320x240 in 2 layers"),
    ],
)
def test_files_are_passed_through_where_they_fit(
    tmp_path: Path, b_frames: int, codec: str, rids: tuple[str, ...], words: str
) -> None:
    path = tmp_path / "a.mp4"
    _write_file(path, b_frames=b_frames)
    source = MediaSource(str(path), _settings(codec, rids), audio=True, loop=False)
    assert words in source.format.summary
    assert "no audio" in source.format.summary
    assert source.format.profile == "" or len(source.format.profile) == 6


@pytest.mark.parametrize("b_frames", [0, 2])
def test_file_loops_on_one_time_line(tmp_path: Path, b_frames: int) -> None:
    path = tmp_path / "a.mp4"
    _write_file(path, b_frames=b_frames)
    source = MediaSource(str(path), _settings(), audio=True, loop=True)
    stop, units = threading.Event(), []

    def sink(unit: object) -> None:
        units.append(unit)
        if len(units) == 45:
            stop.set()

    source.run(sink, stop)
    times = [unit.media_time_s for unit in units]  # type: ignore[attr-defined]
    assert times == sorted(times)
    assert max(b - a for a, b in pairwise(times)) < 0.1
    assert units[0].key  # type: ignore[attr-defined]
    assert all(unit.data.startswith(b"\0\0\0\1") for unit in units)  # type: ignore[attr-defined]


@pytest.mark.parametrize("location", ["/nonexistent.mp4", "rtsp://127.0.0.1:1/x", "lavfi:nothing"])
def test_unreadable_sources_are_named(location: str) -> None:
    with pytest.raises(ClientError, match="cannot read " + location):
        MediaSource(location, _settings(), audio=True, loop=True)


def test_exit_status_and_message(
    capsys: pytest.CaptureFixture[str], unused_tcp_port_number: int
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port_number}/whip/x"
    assert push.run(_arguments(url, "--no-reconnect")) == 1
    assert "cannot reach" in capsys.readouterr().err
    assert push.run(_arguments("nonsense")) == 1
    assert "not a WHIP or WHEP address" in capsys.readouterr().err
    assert push.run(_arguments(url, "--duration", "0.2")) == 1
    assert "never connected" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"),
    [("2500k", 2_500_000), ("4M", 4_000_000), ("64000", 64000), ("1.5m", 1500000)],
)
def test_bit_rates(text: str, value: int) -> None:
    assert bitrate(text) == value


@pytest.mark.parametrize("text", ["", "k", "-5k", "1", "2G", "1e6"])
def test_bad_bit_rates_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="not a bit rate"):
        bitrate(text)


def test_sizes() -> None:
    assert size("1280x720") == (1280, 720)
    for text in ("1280", "1281x720", "0x0", "12800x720"):
        with pytest.raises(argparse.ArgumentTypeError, match="not WIDTHxHEIGHT"):
            size(text)

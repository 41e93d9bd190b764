"""Encoders behind one call each: pictures to access units, tone to Opus packets."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from edge.client.failure import ClientError
from edge.model import CodecName

SAMPLE_RATE_HZ = 48000
SAMPLES_PER_PACKET = 960
"""20 ms, what every WebRTC stack sends."""

_ENCODERS: dict[CodecName, tuple[str, dict[str, str]]] = {
    "H264": (
        "libx264",
        {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "profile": "baseline",
            "forced-idr": "1",
            "x264-params": "scenecut=0:bframes=0:repeat-headers=1:annexb=1:aud=0:sliced-threads=0",
        },
    ),
    "H265": (
        "libx265",
        {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "x265-params": "bframes=0:scenecut=0:repeat-headers=1:annexb=1:log-level=error",
        },
    ),
    "VP8": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    "VP9": (
        "libvpx-vp9",
        {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "row-mt": "1"},
    ),
    "AV1": (
        "libsvtav1",
        {"preset": "12", "svtav1-params": "rc=2:pred-struct=1:lookahead=0:scd=0:rtc=1"},
    ),
}


class VideoEncoder:
    """
    One low-delay encoding: no B-frames, a key frame every ``gop_s`` and on request.
    """

    def __init__(
        self,
        codec: CodecName,
        *,
        size: tuple[int, int],
        fps: float,
        bitrate_bps: int,
        gop_s: float,
    ) -> None:
        name, options = _ENCODERS[codec]
        # SVT-AV1 writes its banner to stderr unless told to report errors only.
        os.environ.setdefault("SVT_LOG", "1")
        self._time_base = Fraction(1, 90000)
        self._next_pts = 0
        try:
            context = cast(VideoCodecContext, av.CodecContext.create(name, "w"))
        except ValueError as error:
            raise ClientError(f"this PyAV has no encoder {name} for {codec}") from error
        context.width, context.height = size
        context.pix_fmt = "yuv420p"
        context.framerate = Fraction(fps).limit_denominator(1001)
        context.time_base = self._time_base
        context.gop_size = max(1, round(gop_s * fps))
        context.max_b_frames = 0
        context.bit_rate = bitrate_bps
        # One thread: slices and frame threads cost delay, and these presets are fast enough.
        context.thread_count = 1
        # Half a second of buffer keeps key frames from flooding a player's link.
        rate = {"maxrate": str(bitrate_bps), "bufsize": str(bitrate_bps // 2)}
        context.options = {**options, **({} if codec == "AV1" else rate)}
        try:
            context.open()
        except av.FFmpegError as error:
            raise ClientError(f"{name} refuses {size[0]}x{size[1]}: {error}") from error
        self._context = context

    def encode(
        self, picture: VideoFrame, media_time_s: float, key: bool
    ) -> list[tuple[bytes, bool]]:
        """
        Encode one picture; returns (access unit, whether it is a key frame), normally one.
        """
        picture.pts = max(self._next_pts, round(media_time_s * 90000))
        self._next_pts = picture.pts + 1
        picture.time_base = self._time_base
        picture.pict_type = PictureType.I if key else PictureType.NONE
        return [(bytes(packet), packet.is_keyframe) for packet in self._context.encode(picture)]

    def close(self) -> None:
        """
        Flush the encoder; nothing of what it held back is wanted.
        """
        with contextlib.suppress(av.FFmpegError):
            self._context.encode(None)


class OpusEncoder:
    """
    Stereo Opus at 48 kHz in packets of 20 ms.
    """

    def __init__(self, bitrate_bps: int = 64000) -> None:
        context = av.CodecContext.create("libopus", "w")
        context.sample_rate = SAMPLE_RATE_HZ
        context.format = "s16"
        context.layout = "stereo"
        context.bit_rate = bitrate_bps
        context.options = {"application": "lowdelay", "frame_duration": "20"}
        context.open()
        self._context = context

    def encode(self, frame: AudioFrame) -> list[bytes]:
        """
        Encode one frame of 960 samples.
        """
        frame.pts = None
        return [bytes(packet) for packet in self._context.encode(frame)]


def beeping_second() -> list[bytes]:
    """
    Fifty Opus packets that make one second: 60 ms of 1 kHz, then silence, to be repeated.

    They are encoded once: a tone that repeats is no reason to run an encoder for hours.
    """
    samples = np.zeros(SAMPLE_RATE_HZ)
    length = SAMPLE_RATE_HZ * 60 // 1000
    fade = np.minimum(1, np.minimum(np.arange(length), np.arange(length)[::-1]) / 240)
    samples[:length] = 0.25 * fade * np.sin(2 * np.pi * 1000 * np.arange(length) / SAMPLE_RATE_HZ)
    pcm = np.repeat((samples * 32767).astype(np.int16), 2).reshape(1, -1)
    encoder = OpusEncoder()
    packets: list[bytes] = []
    for _ in range(3):  # the encoder settles in the first two seconds
        for at in range(0, 2 * SAMPLE_RATE_HZ, 2 * SAMPLES_PER_PACKET):
            block = np.ascontiguousarray(pcm[:, at : at + 2 * SAMPLES_PER_PACKET])
            frame = AudioFrame.from_ndarray(block, format="s16", layout="stereo")
            frame.sample_rate = SAMPLE_RATE_HZ
            packets += encoder.encode(frame)
    return packets[-50:]

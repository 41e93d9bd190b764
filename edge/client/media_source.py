"""
Files, devices and addresses as a source: passed through where they fit, encoded where not.

Passed through: H.264, H.265, VP8, VP9 or AV1 of the codec wanted, without B-frames (their order of
sending is not their order of showing) and without simulcast; Opus always. What is passed through
cannot answer a request for a key frame.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any, cast

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from edge.client import h264
from edge.client.encoder import SAMPLE_RATE_HZ, SAMPLES_PER_PACKET, OpusEncoder, VideoEncoder
from edge.client.failure import ClientError
from edge.client.sources import (
    AccessUnit,
    KeyFrameRequests,
    Pacer,
    Sink,
    SourceFormat,
    VideoSettings,
)
from edge.model import CodecName

_CODECS: dict[str, CodecName] = {
    "h264": "H264",
    "hevc": "H265",
    "vp8": "VP8",
    "vp9": "VP9",
    "av1": "AV1",
}
_TO_ANNEXB = {"H264": "h264_mp4toannexb", "H265": "hevc_mp4toannexb"}
_LIVE = ("rtmp://", "rtmps://", "rtsp://", "rtsps://", "srt://", "udp://", "rtp://", "/dev/")
_OPEN_TIMEOUT_S = 10.0
_LATE_S = 1.0
"""A file this far behind its own clock gets a new clock rather than a burst of old pictures."""


class MediaSource:
    """
    Anything that PyAV opens: a path, ``/dev/video0``, ``rtmp://``, ``rtsp://``, ``lavfi:GRAPH``.
    """

    def __init__(self, location: str, settings: VideoSettings, *, audio: bool, loop: bool) -> None:
        self._location = location
        self._settings = settings
        self._live = location.startswith(_LIVE)
        self._loop = loop and not self._live
        self._requests = KeyFrameRequests()
        self._container: InputContainer | None = self._open()
        self._video = next(iter(self._container.streams.video), None)
        self._audio = next(iter(self._container.streams.audio), None) if audio else None
        if self._video is None and self._audio is None:
            raise ClientError(f"{location} has neither video nor audio")
        self._pass_video = self._video is not None and self._fits(self._video)
        self._pass_audio = self._audio is not None and self._audio.codec_context.name in (
            "opus",
            "libopus",
        )

    @property
    def format(self) -> SourceFormat:
        profile = ""
        if self._video is not None and self._settings.codec == "H264":
            profile = self._profile(self._video)
        return SourceFormat(
            codec=self._settings.codec if self._video is not None else None,
            profile=profile,
            has_audio=self._audio is not None,
            summary=f"{self._location}: {self._video_summary()}, {self._audio_summary()}",
        )

    def request_key_frame(self, rid: str) -> None:
        self._requests.ask(rid)

    def run(self, sink: Sink, stop: threading.Event) -> None:
        container = self._container or self._open()
        self._container = None
        try:
            run = _Run(self, container, sink, stop)
            while not stop.is_set():
                run.play()
                if not self._loop or stop.is_set():
                    break
                container.seek(0)
                run.start_again()
        except av.FFmpegError as error:
            raise ClientError(f"{self._location} stopped: {error.strerror}", retry=True) from error
        finally:
            container.close()

    def _open(self) -> InputContainer:
        location, name = self._location, None
        options: dict[str, str] = {}
        if location.startswith("lavfi:"):
            location, name = location.removeprefix("lavfi:"), "lavfi"
        elif location.startswith("/dev/video"):
            name = "v4l2"
        elif location.startswith("rtsp"):
            options = {"rtsp_transport": "tcp"}
        try:
            opened = av.open(location, format=name, options=options, timeout=_OPEN_TIMEOUT_S)
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ClientError(f"cannot read {self._location}: {reason}") from error
        return opened

    def _fits(self, video: VideoStream) -> bool:
        context = video.codec_context
        return (
            _CODECS.get(context.name.removeprefix("lib")) == self._settings.codec
            and not context.has_b_frames
            and len(self._settings.rids) == 1
            and self._settings.size in (None, (context.width, context.height))
        )

    def _profile(self, video: VideoStream) -> str:
        if self._pass_video:
            found = h264.profile_level_id(video.codec_context.extradata or b"")
            if found is not None:
                return found
        width, height = self.size(video)
        return h264.baseline_profile(width, height, self._settings.fps)

    def size(self, video: VideoStream) -> tuple[int, int]:
        """
        Size of the picture sent.
        """
        context = video.codec_context
        return self._settings.size or (context.width // 2 * 2, context.height // 2 * 2)

    def _video_summary(self) -> str:
        if self._video is None:
            return "no video"
        context = self._video.codec_context
        name = f"{context.name} {context.width}x{context.height}"
        if self._pass_video:
            return f"{name} passed through"
        width, height = self.size(self._video)
        layers = len(self._settings.rids)
        suffix = f" in {layers} layers" if layers > 1 else ""
        return f"{name} encoded as {self._settings.codec} {width}x{height}{suffix}"

    def _audio_summary(self) -> str:
        if self._audio is None:
            return "no audio"
        name = self._audio.codec_context.name
        return f"{name} passed through" if self._pass_audio else f"{name} encoded as Opus"


class _Run:
    """
    One playing of a container, from its opening to its end or its next loop.
    """

    def __init__(
        self, source: MediaSource, container: InputContainer, sink: Sink, stop: threading.Event
    ) -> None:
        self._source = source
        self._settings = source._settings
        self._container = container
        self._sink = sink
        self._stop = stop
        self._pacer = Pacer(stop)
        self._video = next(iter(container.streams.video), None) if source._video else None
        self._audio = next(iter(container.streams.audio), None) if source._audio else None
        self._filter: BitStreamFilterContext | None = None
        if self._video is not None and source._pass_video:
            name = _TO_ANNEXB.get(self._settings.codec)
            self._filter = BitStreamFilterContext(name, self._video) if name else None
        self._encoders: dict[str, VideoEncoder] = {}
        self._opus = _OpusPath() if self._audio is not None and not source._pass_audio else None
        self._origin: float | None = None
        self._base = self._end = 0.0

    def start_again(self) -> None:
        """
        Continue the time line after the end of the file.
        """
        self._base, self._origin = self._end, None
        if self._filter is not None:
            self._filter.flush()
        for stream in (self._video, self._audio):
            if stream is not None:
                stream.codec_context.flush_buffers()

    def play(self) -> None:
        streams = [stream for stream in (self._video, self._audio) if stream is not None]
        for packet in self._container.demux(streams):
            if self._stop.is_set():
                return
            if packet.stream is self._video:
                self._video_packet(packet)
            else:
                self._audio_packet(packet)

    def _video_packet(self, packet: Packet[Any]) -> None:
        if self._source._pass_video:
            if packet.pts is None or packet.time_base is None:
                return
            at = self._place(packet.pts, packet.time_base, packet.duration)
            key = packet.is_keyframe
            for data in self._filtered(packet):
                self._emit("video", data, at, key)
            return
        for frame in packet.decode():
            if frame.pts is not None:
                self._encode_video(frame, cast(Fraction, frame.time_base))

    def _filtered(self, packet: Packet[Any]) -> Iterator[bytes]:
        if self._filter is None:
            yield bytes(packet)
        else:
            yield from map(bytes, self._filter.filter(packet))

    def _encode_video(self, frame: VideoFrame, time_base: Fraction) -> None:
        assert frame.pts is not None
        assert self._video is not None
        at = self._place(frame.pts, time_base, 0)
        full = self._source.size(self._video)
        for rank, rid in enumerate(self._settings.rids):
            size, bitrate_bps = self._settings.layer(rank, full)
            picture = frame.reformat(width=size[0], height=size[1], format="yuv420p")
            encoder = self._encoders.get(rid)
            if encoder is None:
                rate = self._video.average_rate or self._settings.fps
                encoder = self._encoders[rid] = VideoEncoder(
                    self._settings.codec,
                    size=size,
                    fps=float(rate),
                    bitrate_bps=bitrate_bps,
                    gop_s=self._settings.gop_s,
                )
            key = self._source._requests.take(rid, at)
            for data, is_key in encoder.encode(picture, at, key):
                self._emit("video", data, at, is_key, rid)

    def _audio_packet(self, packet: Packet[Any]) -> None:
        if self._opus is None:
            if packet.pts is not None and packet.time_base is not None and packet.size:
                at = self._place(packet.pts, packet.time_base, packet.duration)
                self._emit("audio", bytes(packet), at, key=True)
            return
        for frame in cast(list[AudioFrame], packet.decode()):
            if frame.pts is not None:
                start = self._place(frame.pts, cast(Fraction, frame.time_base), 0)
                for at, data in self._opus.encode(frame, start):
                    self._emit("audio", data, at, key=True)

    def _place(self, pts: int, time_base: Fraction, duration: int | None) -> float:
        """
        Position on the endless time line, in seconds.
        """
        seconds = float(pts * time_base)
        if self._origin is None:
            self._origin = seconds
        at = max(0.0, self._base + seconds - self._origin)
        self._end = max(self._end, at + float((duration or 0) * time_base), at + 0.02)
        return at

    def _emit(self, kind: Any, data: bytes, at: float, key: bool, rid: str = "") -> None:
        if not self._source._live:
            late = self._pacer.wait_until(at)
            if late > _LATE_S:
                self._pacer.shift(late)
        self._sink(
            AccessUnit(kind=kind, data=data, media_time_s=at, wall_s=time.time(), key=key, rid=rid)
        )


class _OpusPath:
    """
    Any audio to Opus packets of 20 ms on an even time line.
    """

    def __init__(self) -> None:
        self._encoder = OpusEncoder()
        self._resampler = AudioResampler("s16", "stereo", SAMPLE_RATE_HZ, SAMPLES_PER_PACKET)
        self._next = 0.0

    def encode(self, frame: AudioFrame, start_s: float) -> Iterator[tuple[float, bytes]]:
        # Follow the source's clock only when it really jumped: its stamps are rounded.
        if abs(start_s - self._next) > 0.1:
            self._next = start_s
        frame.pts = None
        with suppress(av.error.EOFError):
            for block in self._resampler.resample(frame):
                for data in self._encoder.encode(block):
                    yield self._next, data
                    self._next += SAMPLES_PER_PACKET / SAMPLE_RATE_HZ

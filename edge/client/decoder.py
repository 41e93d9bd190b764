"""Decoding on a thread of its own, so that the network side keeps its times."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from edge.client.failure import ClientError
from edge.client.planes import plane_view
from edge.client.receiver import Frame
from edge.client.testcard import read_clock
from edge.model import CodecName

_DECODERS: dict[CodecName, str] = {
    "H264": "h264",
    "H265": "hevc",
    "VP8": "vp8",
    "VP9": "vp9",
    "AV1": "libdav1d",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """One picture, or the failure to make one."""

    frame: Frame
    width: int = 0
    height: int = 0
    clock_ms: int | None = None
    """What the machine clock in the picture shows, if asked for and readable."""
    error: str = ""


class Decoder:
    """
    Decodes frames in order; results go to ``on_decoded`` on the decoding thread.
    """

    def __init__(
        self, codec: CodecName, on_decoded: Callable[[Decoded], None], *, clock: bool
    ) -> None:
        self._on_decoded = on_decoded
        self._clock = clock
        self._queue: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._context = _low_delay_context(codec)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def decode(self, frame: Frame) -> None:
        """
        Queue a frame.
        """
        self._queue.put(frame)

    def close(self) -> None:
        """
        Finish what is queued and stop.
        """
        self._queue.put(None)
        self._thread.join(5.0)

    def _run(self) -> None:
        while (frame := self._queue.get()) is not None:
            try:
                pictures = self._context.decode(av.Packet(frame.picture.data))
            except av.FFmpegError as error:
                self._on_decoded(Decoded(frame=frame, error=str(error)))
                continue
            for picture in pictures:
                self._on_decoded(self._decoded(frame, picture))

    def _decoded(self, frame: Frame, picture: VideoFrame) -> Decoded:
        clock_ms = None
        if self._clock:
            clock_ms = read_clock(plane_view(picture, 0))
        return Decoded(frame=frame, width=picture.width, height=picture.height, clock_ms=clock_ms)


def _low_delay_context(codec: CodecName) -> VideoCodecContext:
    try:
        context = cast(VideoCodecContext, av.CodecContext.create(_DECODERS[codec], "r"))
    except ValueError as error:
        raise ClientError(f"this PyAV has no decoder for {codec}") from error
    context.thread_count = 1
    # One picture out for each one in: WebRTC sends none out of order.
    if codec == "AV1":
        context.options = {"max_frame_delay": "1"}
    else:
        context.options = {"flags": "+low_delay"}
    return context

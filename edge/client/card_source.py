"""The test card as a source: drawn, encoded once per layer, with a beep each second."""

from __future__ import annotations

import threading
import time

from av.video.frame import VideoFrame

from edge.client import h264
from edge.client.encoder import VideoEncoder, beeping_second
from edge.client.planes import plane_view
from edge.client.sources import (
    AccessUnit,
    KeyFrameRequests,
    Pacer,
    Sink,
    SourceFormat,
    VideoSettings,
)
from edge.client.testcard import TestCard

_AUDIO_PACKET_S = 0.02
_DEFAULT_SIZE = (1280, 720)


class CardSource:
    """
    A camera that always shows what time it is.
    """

    def __init__(self, settings: VideoSettings, audio: bool) -> None:
        self._settings = settings
        self._size = settings.size or _DEFAULT_SIZE
        self._audio = audio
        self._requests = KeyFrameRequests()
        self.pictures_skipped = 0
        """Pictures not drawn because this machine was late."""

    @property
    def format(self) -> SourceFormat:
        width, height = self._size
        codec = self._settings.codec
        return SourceFormat(
            codec=codec,
            profile=h264.baseline_profile(width, height, self._settings.fps)
            if codec == "H264"
            else "",
            has_audio=self._audio,
            summary=f"test card {width}x{height} at {self._settings.fps:g} fps, {codec} encoded"
            + (f" in {len(self._settings.rids)} layers" if len(self._settings.rids) > 1 else "")
            + (", Opus beep" if self._audio else ", no audio"),
        )

    def request_key_frame(self, rid: str) -> None:
        self._requests.ask(rid)

    def run(self, sink: Sink, stop: threading.Event) -> None:
        card = TestCard(*self._size)
        layers = [_Layer(rank, self._settings, card) for rank in range(len(self._settings.rids))]
        beep = beeping_second() if self._audio else []
        # A beep begins with each second of the wall clock.
        first_packet = int(time.time() % 1 / _AUDIO_PACKET_S)
        pacer = Pacer(stop)
        pictures = packets = 0
        while not stop.is_set():
            picture_due, packet_due = pictures / self._settings.fps, packets * _AUDIO_PACKET_S
            if beep and packet_due < picture_due:
                pacer.wait_until(packet_due)
                data = beep[(first_packet + packets) % len(beep)]
                sink(
                    AccessUnit(kind="audio", data=data, media_time_s=packet_due, wall_s=time.time())
                )
                packets += 1
                continue
            late_s = pacer.wait_until(picture_due)
            pictures += 1
            if late_s > 2 / self._settings.fps:
                self.pictures_skipped += 1
                continue
            wall_s = time.time()
            card.draw(wall_s)
            for layer in layers:
                key = self._requests.take(layer.rid, picture_due)
                for data, is_key in layer.encode(picture_due, key):
                    sink(
                        AccessUnit(
                            kind="video",
                            data=data,
                            media_time_s=picture_due,
                            wall_s=wall_s,
                            key=is_key,
                            rid=layer.rid,
                        )
                    )


class _Layer:
    """
    One encoding of the card, its size halved ``rank`` times by leaving out lines and columns.
    """

    def __init__(self, rank: int, settings: VideoSettings, card: TestCard) -> None:
        step = 1 << rank
        size, bitrate_bps = settings.layer(rank, card.planes[0].shape[::-1])
        self.rid = settings.rids[rank]
        self._frame = VideoFrame(*size, "yuv420p")
        self._pairs = [
            (plane_view(self._frame, index), plane[::step, ::step])
            for index, plane in enumerate(card.planes)
        ]
        self._encoder = VideoEncoder(
            settings.codec,
            size=size,
            fps=settings.fps,
            bitrate_bps=bitrate_bps,
            gop_s=settings.gop_s,
        )

    def encode(self, media_time_s: float, key: bool) -> list[tuple[bytes, bool]]:
        for target, drawn in self._pairs:
            rows, columns = target.shape
            target[:] = drawn[:rows, :columns]
        return self._encoder.encode(self._frame, media_time_s, key)

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
        pacer = Pacer(stop)
        beep = _Beep() if self._audio else None
        pictures = 0
        try:
            while not stop.is_set():
                due_s = pictures / self._settings.fps
                if beep is not None and beep.due_s < due_s:
                    pacer.wait_until(beep.due_s)
                    sink(beep.take())
                    continue
                late_s = pacer.wait_until(due_s)
                pictures += 1
                if late_s > 2 / self._settings.fps:
                    self.pictures_skipped += 1
                    continue
                self._picture(card, layers, due_s, sink)
        finally:
            for layer in layers:
                layer.close()

    def _picture(
        self, card: TestCard, layers: list[_Layer], media_time_s: float, sink: Sink
    ) -> None:
        wall_s = time.time()
        card.draw(wall_s)
        for layer in layers:
            asked = self._requests.take(layer.rid, media_time_s)
            for data, key in layer.encode(media_time_s, asked):
                sink(
                    AccessUnit(
                        kind="video",
                        data=data,
                        media_time_s=media_time_s,
                        wall_s=wall_s,
                        key=key,
                        rid=layer.rid,
                    )
                )


class _Beep:
    """
    Audio packets in order; a beep begins with each second of the wall clock.
    """

    def __init__(self) -> None:
        self._packets = beeping_second()
        self._first = int(time.time() % 1 / _AUDIO_PACKET_S)
        self._taken = 0

    @property
    def due_s(self) -> float:
        """
        Media time of the next packet.
        """
        return self._taken * _AUDIO_PACKET_S

    def take(self) -> AccessUnit:
        """
        The next packet.
        """
        due_s = self.due_s
        data = self._packets[(self._first + self._taken) % len(self._packets)]
        self._taken += 1
        return AccessUnit(kind="audio", data=data, media_time_s=due_s, wall_s=time.time())


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

    def close(self) -> None:
        self._encoder.close()

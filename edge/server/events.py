"""Events for players: the server-sent events of the WHEP draft, also over a data channel."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Any

from edge.server.transport import Channel
from edge.sfu.stream import State, Stream


class Notice(StrEnum):
    """Event types (draft-ietf-wish-whep, section 4.9.1)."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    LAYERS = "layers"
    RECONNECT = "reconnect"
    VIEWERCOUNT = "viewercount"


ALL = frozenset(Notice)


class Watcher:
    """One reader of a stream's events. It never delays the stream: a slow reader is let go."""

    def __init__(
        self,
        video_line: int,
        put: Callable[[Notice, str], bool],
        wanted: Collection[Notice] = ALL,
    ) -> None:
        self._video_line = video_line
        self._put = put
        self._wanted = frozenset(wanted)
        self._on_close: Callable[[], None] = _nothing
        self.closed = False

    @classmethod
    def on_channel(cls, video_line: int, channel: Channel) -> Watcher:
        """Write events as JSON to a data channel."""

        def put(notice: Notice, data: str) -> bool:
            return channel.send(f'{{"event":"{notice}","data":{data}}}')

        return cls(video_line, put)

    def greet(self, stream: Stream) -> None:
        """Say how things stand. There is no initial `inactive` (section 4.9.1.2)."""
        if stream.state is State.LIVE:
            self.tell(Notice.ACTIVE, stream)
        if stream.layers:
            self.tell(Notice.LAYERS, stream)
        self.tell(Notice.VIEWERCOUNT, stream)

    def tell(self, notice: Notice, stream: Stream) -> None:
        """Pass on one event if it is wanted; close when the reader is too far behind."""
        if self.closed or notice not in self._wanted:
            return
        data = json.dumps(payload(notice, stream, self._video_line), separators=(",", ":"))
        if not self._put(notice, data):
            self.close()

    def when_closed(self, call: Callable[[], None]) -> None:
        """What to do when the watcher closes."""
        self._on_close = call

    def close(self) -> None:
        """End it. Idempotent."""
        if not self.closed:
            self.closed = True
            self._on_close()


class Feed:
    """A bounded queue of events between a stream and one HTTP response."""

    def __init__(self, video_line: int, wanted: Collection[Notice], size: int) -> None:
        self._queue: asyncio.Queue[str | None] = asyncio.Queue(size + 1)
        self._size = size
        self.watcher = Watcher(video_line, self._put, wanted)

    async def next(self) -> str | None:
        """The next message in the form of the server-sent events protocol; None at the end."""
        return await self._queue.get()

    def end(self) -> None:
        """Let the reader finish."""
        while self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    def _put(self, notice: Notice, data: str) -> bool:
        if self._queue.qsize() >= self._size:
            return False
        self._queue.put_nowait(f"event: {notice}\ndata: {data}\n\n")
        return True


def payload(notice: Notice, stream: Stream, video_line: int) -> dict[str, Any]:
    """The data of an event."""
    if notice is Notice.VIEWERCOUNT:
        return {"viewercount": stream.viewers}
    if notice is Notice.LAYERS:
        return {str(video_line): [_layer(layer) for layer in stream.layers]}
    return {}


def _layer(layer: Any) -> dict[str, Any]:
    """One layer; without a bit rate it is inactive (section 4.9.1.3)."""
    name = {"rid": layer.rid} if layer.rid else {}
    rate = {"bitrate": layer.bitrate_bps} if layer.active else {}
    size = {"width": layer.width, "height": layer.height}
    return {**name, "spatialLayerId": layer.rank, **rate, **size, "fps": layer.fps}


def _nothing() -> None:
    return None

"""A data channel of ``edge watch`` and its round trip."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

from aiortc import RTCDataChannel

from edge.client.failure import ClientError
from edge.client.report import percentile
from edge.client.transport import Transport


class Ping:
    """
    A data channel and the time a message takes there and back.

    The opening is itself a round trip (RFC 8832: OPEN and ACK); an edge that answers
    ``{"type": "ping", "id": n}`` with a message of the same id makes a later, better figure.
    """

    def __init__(self, remote_port: int | None) -> None:
        if remote_port is None:
            raise ClientError("the edge accepted no data channel")
        self._remote_port = remote_port
        self._sent: dict[int, float] = {}
        self._round_trips: list[float] = []
        self._task: asyncio.Task[None] | None = None
        self.open_ms: float | None = None
        self._opened = asyncio.Event()

    @property
    def rtt_ms(self) -> float | None:
        """
        Median round trip of messages, or ``None`` if the edge answered none.
        """
        return percentile(self._round_trips, 0.5)

    async def open(self, transport: Transport) -> None:
        """
        Open the channel; pings start as soon as the edge has confirmed it.
        """
        started = time.monotonic()
        channel = await transport.open_data_channel("ping", self._remote_port)

        def opened() -> None:
            self.open_ms = (time.monotonic() - started) * 1000
            self._task = asyncio.create_task(self._run(channel))

        channel.on("open", opened)
        channel.on("message", self._handle)

    def close(self) -> None:
        """
        Stop pinging.
        """
        if self._task is not None:
            self._task.cancel()

    async def _run(self, channel: RTCDataChannel) -> None:
        number = 0
        while channel.readyState == "open":
            number += 1
            self._sent[number] = time.monotonic()
            channel.send(json.dumps({"type": "ping", "id": number}))
            await asyncio.sleep(0.25)

    def _handle(self, message: str | bytes) -> None:
        with contextlib.suppress(ValueError):
            reply = json.loads(message)
            number = reply.get("id") if isinstance(reply, dict) else None
            sent = self._sent.pop(number, None) if isinstance(number, int) else None
            if sent is not None:
                self._round_trips.append((time.monotonic() - sent) * 1000)

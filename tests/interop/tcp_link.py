"""A path to the edge over TCP only (RFC 6544 active candidate, RFC 4571 framing), for `Transport`."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from collections.abc import Callable, Sequence

from aioice import stun

from edge.client.description import RemoteCandidate
from edge.client.failure import ClientError
from edge.client.ice import local_credentials
from edge.model import IceCredentials

CHECK_INTERVAL_S = 2.0


class TcpLink:
    """Offers what `edge.client.ice.IceLink` does, without a single UDP datagram."""

    def __init__(
        self, on_datagram: Callable[[bytes], None], on_lost: Callable[[str], None]
    ) -> None:
        self.local = local_credentials()
        self.rtt_s: float | None = None
        self.frames_received = 0
        self._on_datagram = on_datagram
        self._on_lost = on_lost
        self._remote = IceCredentials(ufrag="", pwd="")
        self._pending: dict[bytes, float] = {}
        self._connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def candidates(self, remote_host: str) -> tuple[str, ...]:
        """One active candidate; port 9 stands for none (RFC 6544, section 4.5)."""
        return (f"1 1 tcp 1518280447 {remote_host} 9 typ host tcptype active",)

    async def connect(
        self, remote: IceCredentials, candidates: Sequence[RemoteCandidate], timeout_s: float
    ) -> None:
        """Connect to the edge's passive candidate and check it. Raises ClientError."""
        self._remote = remote
        target = next((c for c in candidates if c.transport == "tcp"), None)
        if target is None:
            raise ClientError("the edge offers no TCP candidate")
        reader, self._writer = await asyncio.open_connection(target.address, target.port)
        self._tasks = [asyncio.create_task(self._read(reader)), asyncio.create_task(self._check())]
        await asyncio.wait_for(asyncio.shield(self._connected), timeout_s)

    def send(self, datagram: bytes) -> None:
        """Send one frame: 16 bits of length, then the datagram (RFC 4571, section 2)."""
        if self._writer is not None:
            self._writer.write(struct.pack("!H", len(datagram)) + datagram)

    def close(self) -> None:
        """Close the connection."""
        for task in self._tasks:
            task.cancel()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (size,) = struct.unpack("!H", await reader.readexactly(2))
                frame = await reader.readexactly(size)
                self.frames_received += 1
                if frame and frame[0] < 4:
                    self._handle_stun(frame)
                elif frame:
                    self._on_datagram(frame)
        self._on_lost("the edge closed the TCP connection")

    async def _check(self) -> None:
        while True:
            request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
            request.attributes["USERNAME"] = f"{self._remote.ufrag}:{self.local.ufrag}"
            request.attributes["PRIORITY"] = (110 << 24) | (65535 << 8) | 255
            request.attributes["ICE-CONTROLLING"] = 1
            request.attributes["USE-CANDIDATE"] = None
            request.add_message_integrity(self._remote.pwd.encode())
            self._pending[request.transaction_id] = time.monotonic()
            self.send(bytes(request))
            await asyncio.sleep(CHECK_INTERVAL_S)

    def _handle_stun(self, frame: bytes) -> None:
        message = stun.parse_message(frame)
        sent = self._pending.pop(message.transaction_id, None)
        if sent is None or not message.check_message_integrity(self._remote.pwd.encode()):
            return
        self.rtt_s = time.monotonic() - sent
        if not self._connected.done():
            self._connected.set_result(None)

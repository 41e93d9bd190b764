"""A UDP relay in user space that treats datagrams as a bad network would (the kernel has no netem).

Each client address gets its own socket towards the edge and its own pair of links, so that flows do
not share a queue. The relay runs in a thread; conditions may change while it runs.
"""

from __future__ import annotations

import contextlib
import heapq
import selectors
import socket
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from .link import Conditions, Link

Address = tuple[str, int]

_MAX_DATAGRAM_BYTES = 65_535
_READS_PER_WAKE = 256
_LONGEST_WAIT_S = 0.05
_BUFFER_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What a direction did to all flows so far."""

    delivered: int
    delivered_bytes: int
    lost: int
    overflowed: int


class _Flow:
    """One client address: a socket towards the edge and a link for each direction."""

    def __init__(self, client: Address, target: Address, up: Link, down: Link) -> None:
        self.client = client
        self.up = up
        self.down = down
        self.socket = _udp_socket(target[0])
        self.socket.connect(target)


class UdpRelay:
    """Relays between clients, which send to `port`, and `target`.

    `up` is from client to edge, `down` from edge to client.
    """

    def __init__(
        self,
        target: Address,
        *,
        up: Conditions | None = None,
        down: Conditions | None = None,
        seed: int = 1,
    ) -> None:
        self._target = target
        self._conditions = (up or Conditions(), down or Conditions())
        self._seed = seed
        self._socket = _udp_socket(target[0])
        self._socket.bind((target[0], 0))
        self._flows: dict[Address, _Flow] = {}
        self._due: list[tuple[float, int, _Flow, bool, bytes]] = []
        self._number = 0
        self._delivered = [0, 0]
        self._bytes = [0, 0]
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="udp-relay", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """Where clients send to, on the target's address."""
        return int(self._socket.getsockname()[1])

    @property
    def flows(self) -> int:
        """Client addresses seen."""
        return len(self._flows)

    def set(self, *, up: Conditions | None = None, down: Conditions | None = None) -> None:
        """Change the conditions of all flows, present and to come; None leaves a direction alone."""
        with self._lock:
            self._conditions = (up or self._conditions[0], down or self._conditions[1])
            for flow in self._flows.values():
                flow.up.conditions, flow.down.conditions = self._conditions

    def passed(self, *, up: bool) -> Passed:
        """What happened in a direction."""
        with self._lock:
            links = [flow.up if up else flow.down for flow in self._flows.values()]
            return Passed(
                delivered=self._delivered[up],
                delivered_bytes=self._bytes[up],
                lost=sum(link.lost for link in links),
                overflowed=sum(link.overflowed for link in links),
            )

    def close(self) -> None:
        """End the thread and close the sockets; what is under way is lost."""
        self._over.set()
        self._thread.join(5)
        self._selector.close()
        for flow in self._flows.values():
            flow.socket.close()
        self._socket.close()

    def _run(self) -> None:
        while not self._over.is_set():
            for key, _ in self._selector.select(self._wait_s()):
                self._drain(key.data)
            self._deliver(time.monotonic())

    def _wait_s(self) -> float:
        if not self._due:
            return _LONGEST_WAIT_S
        return min(_LONGEST_WAIT_S, max(0.0, self._due[0][0] - time.monotonic()))

    def _drain(self, flow: _Flow | None) -> None:
        source = self._socket if flow is None else flow.socket
        for _ in range(_READS_PER_WAKE):
            try:
                data, client = source.recvfrom(_MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError:
                continue  # the other side has closed its port; that is reported once
            self._admit(flow or self._flow(client), data, up=flow is None)

    def _admit(self, flow: _Flow, data: bytes, *, up: bool) -> None:
        with self._lock:
            times = (flow.up if up else flow.down).admit(len(data), time.monotonic())
        for moment in times:
            self._number += 1
            heapq.heappush(self._due, (moment, self._number, flow, up, data))

    def _flow(self, client: Address) -> _Flow:
        flow = self._flows.get(client)
        if flow is None:
            with self._lock:
                name = f"{self._seed}/{len(self._flows)}"
                up, down = self._conditions
                flow = _Flow(
                    client, self._target, Link(up, name + "/up"), Link(down, name + "/down")
                )
                self._flows[client] = flow
            self._selector.register(flow.socket, selectors.EVENT_READ, flow)
        return flow

    def _deliver(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _, _, flow, up, data = heapq.heappop(self._due)
            self._delivered[up] += 1
            self._bytes[up] += len(data)
            with contextlib.suppress(OSError):  # a full buffer or a closed port loses it
                if up:
                    flow.socket.send(data)
                else:
                    self._socket.sendto(data, flow.client)


def _udp_socket(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
    sock.setblocking(False)
    return sock

"""
A small ICE agent: controlling, one socket per family (RFC 8445, RFC 7675).

The edge is ICE-lite on one port, so this side gathers nothing it need not: it checks each remote
candidate, takes the first that answers, and keeps asking so that consent and round trip are known.
A lone candidate is nominated by the first check, which saves a round trip; of several only the one
taken is nominated, because a full agent would otherwise choose for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import secrets
import socket
import time
from collections.abc import Callable, Sequence

from aioice import stun

from edge.client.description import RemoteCandidate
from edge.client.failure import ClientError
from edge.model import IceCredentials

CHECK_INTERVAL_S = 2.0
"""Time between consent checks; shorter than RFC 7675 asks (5 s), because each is also an RTT."""

CONSENT_TIMEOUT_S = 10.0
"""Silence after which the session is given up; RFC 7675 allows 30 s, a studio cannot wait."""

REFUSED_TIMEOUT_S = 1.5
"""How long the host may say that nobody listens on the port before the session is given up."""

_RECEIVE_BUFFER_BYTES = 2 << 20
_MAX_DATAGRAM_BYTES = 2048
_READS_PER_WAKE = 128

Address = tuple[str, int]


def local_credentials() -> IceCredentials:
    """
    Fresh credentials (RFC 8445, section 5.3: 24 and 128 bits at least).
    """
    return IceCredentials(ufrag=secrets.token_hex(4), pwd=secrets.token_hex(16))


class IceLink:
    """
    One datagram path to the edge.

    ``on_datagram`` gets everything that is not STUN, ``on_lost`` a reason, once.
    """

    def __init__(
        self, on_datagram: Callable[[bytes], None], on_lost: Callable[[str], None]
    ) -> None:
        self.local = local_credentials()
        self.rtt_s: float | None = None
        self.rtt_min_s: float | None = None
        self.sends_blocked = 0
        """Datagrams that the socket buffer had no room for."""
        self._on_datagram = on_datagram
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._tie_breaker = secrets.randbits(64)
        self._remote = IceCredentials(ufrag="", pwd="")
        self._sockets = _bound_sockets()
        self._selected: tuple[socket.socket, Address] | None = None
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._pending: dict[bytes, tuple[float, socket.socket, Address]] = {}
        self._nominating = False
        self._nominated = False
        self._last_answer = 0.0
        self._refused_since: float | None = None
        self._consent: asyncio.Task[None] | None = None
        for sock in self._sockets.values():
            self._loop.add_reader(sock.fileno(), self._readable, sock)

    def candidates(self, remote_host: str) -> tuple[str, ...]:
        """
        Host candidates of the addresses from which ``remote_host`` is reached.
        """
        lines: list[str] = []
        for family, sock in self._sockets.items():
            address = _source_address(family, remote_host)
            if address is not None:
                port = sock.getsockname()[1]
                priority = (126 << 24) | (65535 << 8) | 255
                lines.append(f"{len(lines) + 1} 1 udp {priority} {address} {port} typ host")
        return tuple(lines)

    async def connect(
        self, remote: IceCredentials, candidates: Sequence[RemoteCandidate], timeout_s: float
    ) -> None:
        """
        Check the candidates until one answers; raises `ClientError` when none does in time.
        """
        self._remote = remote
        targets = [t for t in map(self._target, candidates) if t is not None]
        if not targets:
            raise ClientError("the edge offers no UDP candidate that this host can use", retry=True)
        self._nominating = len(targets) == 1
        checks = asyncio.create_task(self._check_all(targets))
        try:
            await asyncio.wait_for(asyncio.shield(self._connected), timeout_s)
        except TimeoutError:
            where = ", ".join(f"{a[0]}:{a[1]}" for _, a in targets)
            raise ClientError(
                f"no answer over UDP from {where} in {timeout_s:g} s (firewall?)", retry=True
            ) from None
        finally:
            checks.cancel()
        self._consent = asyncio.create_task(self._keep_consent())

    def send(self, datagram: bytes) -> None:
        """
        Send one datagram on the selected path; a full socket buffer loses it, as a network would.
        """
        if self._selected is None:
            return
        sock, address = self._selected
        self._send(sock, datagram, address)

    def close(self) -> None:
        """
        Stop checking and close the sockets.
        """
        if self._consent is not None:
            self._consent.cancel()
        self._selected = None
        for sock in self._sockets.values():
            self._loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets = {}

    def _target(self, candidate: RemoteCandidate) -> tuple[socket.socket, Address] | None:
        if candidate.transport != "udp":
            return None
        try:
            version = ipaddress.ip_address(candidate.address).version
        except ValueError:
            return None
        sock = self._sockets.get(socket.AF_INET if version == 4 else socket.AF_INET6)
        return None if sock is None else (sock, (candidate.address, candidate.port))

    async def _check_all(self, targets: Sequence[tuple[socket.socket, Address]]) -> None:
        pause = 0.05
        while True:
            for sock, address in targets:
                self._check(sock, address)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)

    async def _keep_consent(self) -> None:
        self._last_answer = time.monotonic()
        pause = 0.05
        while (selected := self._selected) is not None:
            if time.monotonic() - self._last_answer > CONSENT_TIMEOUT_S:
                self._lose(f"the edge has been silent for {CONSENT_TIMEOUT_S:g} s")
                return
            if self._nominated:
                # Spread as in RFC 7675, section 5.1, so that many clients do not ask in step.
                pause = CHECK_INTERVAL_S * random.uniform(0.8, 1.2)  # noqa: S311 - spread, not secret
                self._pending.clear()
            else:
                pause = min(2 * pause, 0.5)
            self._check(*selected)
            await asyncio.sleep(pause)

    def _check(self, sock: socket.socket, address: Address) -> None:
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{self._remote.ufrag}:{self.local.ufrag}"
        request.attributes["PRIORITY"] = (110 << 24) | (65535 << 8) | 255
        request.attributes["ICE-CONTROLLING"] = self._tie_breaker
        if self._nominating:
            request.attributes["USE-CANDIDATE"] = None
        request.add_message_integrity(self._remote.pwd.encode())
        self._pending[request.transaction_id] = (time.monotonic(), sock, address)
        self._send(sock, bytes(request), address)

    def _send(self, sock: socket.socket, datagram: bytes, address: Address) -> None:
        try:
            if self._selected is not None and self._selected[0] is sock:
                sock.send(datagram)  # connected to the address selected
            else:
                sock.sendto(datagram, address)
        except BlockingIOError:
            self.sends_blocked += 1
        except ConnectionRefusedError:
            self._note_refusal()
        except OSError as error:
            if self._selected is not None and self._selected[0] is sock:
                self._lose(f"cannot send: {error}")

    def _readable(self, sock: socket.socket) -> None:
        for _ in range(_READS_PER_WAKE):
            try:
                datagram, address = sock.recvfrom(_MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                self._note_refusal()
                continue
            except OSError:
                return
            if not datagram:
                continue
            if datagram[0] < 4:
                self._handle_stun(sock, datagram, (address[0], address[1]))
            elif self._selected is not None:
                self._on_datagram(datagram)
            if not self._sockets:
                return

    def _handle_stun(self, sock: socket.socket, datagram: bytes, address: Address) -> None:
        try:
            message = stun.parse_message(datagram)
        except ValueError:
            return
        if message.message_class == stun.Class.RESPONSE:
            self._handle_response(message)
        elif message.message_class == stun.Class.REQUEST:
            self._answer_check(sock, message, address)

    def _handle_response(self, message: stun.Message) -> None:
        pending = self._pending.get(message.transaction_id)
        if pending is None or not message.check_message_integrity(self._remote.pwd.encode()):
            return
        del self._pending[message.transaction_id]
        sent, sock, address = pending
        self._last_answer = time.monotonic()
        self._refused_since = None
        self.rtt_s = self._last_answer - sent
        self.rtt_min_s = min(self.rtt_s, self.rtt_min_s or self.rtt_s)
        if self._selected is not None:
            self._nominated = True
        elif not self._connected.done():
            # Connected: the kernel filters strangers, and reports a port that nobody listens on.
            with contextlib.suppress(OSError):
                sock.connect(address)
            self._selected = (sock, address)
            self._nominated = self._nominating
            self._nominating = True
            self._pending.clear()
            self._connected.set_result(None)

    def _answer_check(self, sock: socket.socket, message: stun.Message, address: Address) -> None:
        if not message.check_message_integrity(self.local.pwd.encode()):
            return
        response = stun.Message(
            stun.Method.BINDING, stun.Class.RESPONSE, transaction_id=message.transaction_id
        )
        response.attributes["XOR-MAPPED-ADDRESS"] = address
        response.add_message_integrity(self.local.pwd.encode())
        self._send(sock, bytes(response), address)

    def _note_refusal(self) -> None:
        now = time.monotonic()
        if self._refused_since is None or self._last_answer > self._refused_since:
            self._refused_since = now
        elif self._selected is not None and now - self._refused_since > REFUSED_TIMEOUT_S:
            self._lose("nobody listens on the edge's port any more")

    def _lose(self, reason: str) -> None:
        if self._selected is not None:
            self._selected = None
            self._on_lost(reason)


def _bound_sockets() -> dict[socket.AddressFamily, socket.socket]:
    sockets: dict[socket.AddressFamily, socket.socket] = {}
    for family, wildcard in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM)
        except OSError:
            continue
        try:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            sock.setblocking(False)
            sock.bind((wildcard, 0))
        except OSError:
            sock.close()
            continue
        sockets[family] = sock
    if not sockets:
        raise ClientError("cannot open a UDP socket", retry=True)
    return sockets


def _source_address(family: socket.AddressFamily, host: str) -> str | None:
    try:
        address = socket.getaddrinfo(host, 9, family, socket.SOCK_DGRAM)[0][4]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError:
        return None

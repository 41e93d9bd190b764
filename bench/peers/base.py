"""What every adapter offers, and the process behind most of them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

SERVER_CPU = 0
"""CPU of the server under test."""
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerOptions:
    """Choices that adapters may need."""

    cache: Path
    """Directory for what is built or unpacked once."""
    edge_command: tuple[str, ...] = ()
    """Command of the edge up to `serve`; empty takes the environment's."""
    workers: int = 1
    """UDP workers of the edge."""
    cpus: tuple[int, ...] = (SERVER_CPU,)
    """CPUs the server may use."""
    libsrtp: Path | None = None
    """An OpenSSL-built libsrtp2 to put in place of Debian's for Janus."""
    mediamtx: Path | None = None
    """A MediaMTX binary; without it the Go module is built."""
    srs: Path | None = None
    """An SRS binary."""


class Peer(Protocol):
    """A running server, or one that can be started."""

    @property
    def name(self) -> str:
        """For tables."""

    @property
    def pid(self) -> int:
        """The server's process, once started."""

    def start(self) -> None:
        """Start and wait until it listens. Raises RuntimeError with the log's end when it does not."""

    def stop(self) -> None:
        """End the process. Idempotent."""

    def profile(self, wanted: str) -> str:
        """The SRTP profile to offer this server when `wanted` is what is compared."""

    def publish_arguments(self) -> list[str]:
        """Arguments of `load publish` that reach this server."""

    def play_arguments(self) -> list[str]:
        """Arguments of `load play` that reach this server."""

    def log_tail(self) -> str:
        """The last lines the server wrote, to explain a failure."""

    def describe(self) -> str:
        """Version and settings that matter, for the report."""


def ahead() -> list[str]:
    """Prefix that lets a process run before ordinary ones, so that other work on the machine disturbs less."""
    return ["nice", "-n", "-15"] if os.geteuid() == 0 else []


def _raise_autogroup(pid: int) -> None:
    """Raise the scheduling group of this login session too: with autogroups, `nice` counts only inside one."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text("-15")


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A loopback port that is free now. Below the ephemeral range, so that players do not take it."""
    first = 20_000 + os.getpid() % 5_000
    for port in range(first, 32_000):
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _GIVEN:
                _GIVEN.add(port)
                return port
    raise RuntimeError("no free port")


_GIVEN: set[int] = set()


@dataclass(slots=True)
class Server:
    """A child process with a log, pinned, in a directory of its own."""

    name: str
    options: PeerOptions
    pid: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _directory: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="bench-")
    )

    @property
    def directory(self) -> Path:
        """Scratch directory; gone after `close`."""
        return Path(self._directory.name)

    def spawn(
        self, command: Sequence[str], port: int, environment: Mapping[str, str] | None = None
    ) -> None:
        """Run the command pinned, and wait for its TCP port."""
        cpus = ",".join(map(str, self.options.cpus))
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*ahead(), "taskset", "-c", cpus, *command],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self.directory,
                env={**os.environ, **(environment or {})},
            )
        self.pid = self._process.pid
        _raise_autogroup(self.pid)
        self._await(port)

    def stop(self) -> None:
        """Terminate, then kill."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_S)
                return

    def log_tail(self) -> str:
        """The last lines the server wrote."""
        lines = (self.directory / "log").read_text(errors="replace").splitlines()
        ended = self._process.poll() if self._process else None
        return "\n".join([*lines[-20:], *([f"exit status {ended}"] if ended is not None else [])])

    def _await(self, port: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)
        tail = self.log_tail()
        self.stop()
        raise RuntimeError(f"{self.name} does not listen on port {port}:\n{tail}")


@dataclass(slots=True)
class RemotePeer:
    """A server somebody else started: `NAME=URL_PUBLISH,URL_PLAY,PID`."""

    name: str
    publish_url: str
    play_url: str
    pid: int

    @classmethod
    def parse(cls, text: str) -> RemotePeer:
        """Raises ValueError when the text is not of that form or an address is not loopback."""
        name, _, rest = text.partition("=")
        publish_url, play_url, pid = rest.split(",")
        for url in (publish_url, play_url):
            if urlsplit(url).hostname not in ("127.0.0.1", "localhost"):
                raise ValueError(f"{url}: only loopback addresses are loaded")
        return cls(name, publish_url, play_url, int(pid))

    def start(self) -> None:
        """Pin it; it runs already."""
        os.sched_setaffinity(self.pid, {SERVER_CPU})

    def stop(self) -> None:
        """Leave it running: it is not ours."""

    def log_tail(self) -> str:
        """It writes elsewhere."""
        return ""

    def profile(self, wanted: str) -> str:
        """Whatever is wanted."""
        return wanted

    def publish_arguments(self) -> list[str]:
        """WHIP."""
        return [self.publish_url]

    def play_arguments(self) -> list[str]:
        """WHEP."""
        return [self.play_url]

    def describe(self) -> str:
        """Nothing is known but the addresses."""
        return f"given on the command line, {self.play_url}"

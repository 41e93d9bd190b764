"""This gateway."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from bench.machine import ROOT
from bench.peers.base import PeerOptions, Server, free_port

STREAM = "bench"


@dataclass(slots=True)
class EdgePeer:
    """`edge serve` with open access on loopback."""

    name: str
    options: PeerOptions
    server: Server
    port: int = 0

    @classmethod
    def create(cls, name: str, options: PeerOptions) -> EdgePeer:
        """Nothing is started yet."""
        return cls(name, options, Server(name, options))

    @property
    def pid(self) -> int:
        """The one process of the edge."""
        return self.server.pid

    def start(self) -> None:
        """Write the configuration (JSON is YAML) and run."""
        self.port = free_port()
        configuration = {
            "http": {"host": "127.0.0.1", "port": self.port},
            "data_plane": {
                "bind": "127.0.0.1",
                "port": free_port(),
                "workers": self.options.workers,
                "tcp": False,
            },
            "announce": {"addresses": ["127.0.0.1"]},
            "limits": {"unauthenticated_per_s": 1e6, "unauthenticated_burst": 1_000_000},
            "log": {"level": "warning"},
        }
        path = self.server.directory / "edge.yaml"
        path.write_text(json.dumps(configuration))
        command = self.options.edge_command or (sys.executable, "-m", "edge")
        environment = {"PYTHONPATH": str(ROOT)}
        self.server.spawn(
            [*command, "serve", "--config", str(path), "--insecure-open"], self.port, environment
        )

    def stop(self) -> None:
        """End it."""
        self.server.stop()

    def log_tail(self) -> str:
        """Of its process."""
        return self.server.log_tail()

    def profile(self, wanted: str) -> str:
        """Whatever is wanted."""
        return wanted

    def publish_arguments(self) -> list[str]:
        """WHIP."""
        return [f"http://127.0.0.1:{self.port}/whip/{STREAM}"]

    def play_arguments(self) -> list[str]:
        """WHEP."""
        return [f"http://127.0.0.1:{self.port}/whep/{STREAM}"]

    def describe(self) -> str:
        """What was set."""
        return f"this checkout, {self.options.workers} worker(s)"

"""SRS, from a binary given on the command line."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from bench.peers.base import PeerOptions, Server, free_port

CONFIGURATION = """listen 127.0.0.1:{rtmp};
max_connections 5000;
daemon off;
pid srs.pid;
srs_log_tank console;
srs_log_level warn;
srs_log_level_v2 warn;
http_api {{ enabled on; listen 127.0.0.1:{http}; }}
rtc_server {{ enabled on; listen {udp}; candidate 127.0.0.1; protocol udp; }}
vhost __defaultVhost__ {{
  rtc {{ enabled on; rtmp_to_rtc off; rtc_to_rtmp off; nack on; twcc on; }}
}}
"""


@dataclass(slots=True)
class SrsPeer:
    """WHIP and WHEP of SRS; RTMP bridges off."""

    name: str
    options: PeerOptions
    server: Server
    port: int = 0

    @classmethod
    def create(cls, name: str, options: PeerOptions) -> SrsPeer:
        """Raises ValueError without a binary."""
        if options.srs is None:
            raise ValueError("srs needs --srs PATH")
        return cls(name, options, Server(name, options))

    @property
    def pid(self) -> int:
        """The process."""
        return self.server.pid

    def start(self) -> None:
        """Write the configuration and run."""
        assert self.options.srs is not None
        self.port = free_port()
        path = self.server.directory / "srs.conf"
        path.write_text(CONFIGURATION.format(rtmp=free_port(), http=self.port, udp=free_port()))
        self.server.spawn([str(self.options.srs.resolve()), "-c", str(path)], self.port)

    def stop(self) -> None:
        """End it."""
        self.server.stop()

    def log_tail(self) -> str:
        """Of its process."""
        return self.server.log_tail()

    def profile(self, wanted: str) -> str:  # noqa: ARG002 - SRS knows one profile
        """SRS negotiates AES128_CM_SHA1_80 and nothing else."""
        return "cm80"

    def publish_arguments(self) -> list[str]:
        """WHIP."""
        return [f"http://127.0.0.1:{self.port}/rtc/v1/whip/?app=live&stream=bench"]

    def play_arguments(self) -> list[str]:
        """WHEP."""
        return [f"http://127.0.0.1:{self.port}/rtc/v1/whep/?app=live&stream=bench"]

    def describe(self) -> str:
        """Version."""
        assert self.options.srs is not None
        command = [str(self.options.srs), "-v"]
        outcome = subprocess.run(command, check=False, capture_output=True, text=True)
        return f"SRS {(outcome.stdout + outcome.stderr).strip()}"

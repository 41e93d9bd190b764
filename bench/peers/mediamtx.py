"""MediaMTX, built as a Go module."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.peers.base import PeerOptions, Server, free_port

MODULE = "github.com/bluenviron/mediamtx"
VERSION = "v1.15.3"
HLS_SCRIPT = Path("internal/servers/hls/hls.min.js")
VERSION_FILE = Path("internal/core/VERSION")


def build(cache: Path) -> Path:
    """The binary, built on first use. Raises CalledProcessError when the module cannot be had."""
    binary = cache / f"mediamtx-{VERSION}"
    if binary.exists():
        return binary
    cache.mkdir(parents=True, exist_ok=True)
    listing = subprocess.run(
        ["go", "mod", "download", "-json", f"{MODULE}@{VERSION}"],
        check=True,
        capture_output=True,
        cwd=cache,
    )
    source = cache / f"mediamtx-{VERSION}.src"
    shutil.copytree(json.loads(listing.stdout)["Dir"], source, dirs_exist_ok=True)
    for path in (source, *source.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    # Two generated files are missing from the module: the version, and a script of the HLS page.
    (source / VERSION_FILE).write_text(VERSION)
    if not (source / HLS_SCRIPT).exists():
        (source / HLS_SCRIPT).write_text("// not needed here\n")
    subprocess.run(["go", "build", "-o", str(binary), "."], check=True, cwd=source)
    return binary


@dataclass(slots=True)
class MediaMtxPeer:
    """Only WebRTC, on one UDP port."""

    name: str
    options: PeerOptions
    server: Server
    port: int = 0

    @classmethod
    def create(cls, name: str, options: PeerOptions) -> MediaMtxPeer:
        """Nothing is started yet."""
        return cls(name, options, Server(name, options))

    @property
    def pid(self) -> int:
        """The process."""
        return self.server.pid

    def start(self) -> None:
        """Write the configuration (JSON is YAML) and run."""
        binary = self.options.mediamtx or build(self.options.cache)
        self.port = free_port()
        configuration = {
            "logLevel": "warn",
            "rtsp": False,
            "rtmp": False,
            "hls": False,
            "srt": False,
            "webrtcAddress": f"127.0.0.1:{self.port}",
            "webrtcLocalUDPAddress": f"127.0.0.1:{free_port()}",
            "webrtcIPsFromInterfaces": False,
            "webrtcAdditionalHosts": ["127.0.0.1"],
            "paths": {"all_others": {}},
        }
        path = self.server.directory / "mediamtx.yml"
        path.write_text(json.dumps(configuration))
        self.server.spawn([str(binary.resolve()), str(path)], self.port)

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
        return [f"http://127.0.0.1:{self.port}/bench/whip"]

    def play_arguments(self) -> list[str]:
        """WHEP."""
        return [f"http://127.0.0.1:{self.port}/bench/whep"]

    def describe(self) -> str:
        """Version and settings."""
        return f"{MODULE} {VERSION}, one UDP port, other protocols off"

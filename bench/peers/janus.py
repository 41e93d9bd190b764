"""Janus from Debian, its streaming plugin fed by plain RTP."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.peers.base import PeerOptions, Server, free_port

GENERAL = """general: {{
  configs_folder = "{folder}"
  plugins_folder = "{libraries}/plugins"
  transports_folder = "{libraries}/transports"
  events_folder = "{libraries}/events"
  loggers_folder = "{libraries}/loggers"
  debug_level = 2
  {event_loops}
}}
nat: {{ ice_lite = true }}
plugins: {{ disable = "{other_plugins}" }}
transports: {{ disable = "{other_transports}" }}
"""
HTTP = """general: {{ json = "compact", base_path = "/janus", http = true, ip = "127.0.0.1", port = {port}, https = false }}
admin: {{ admin_http = false }}
"""
STREAMING = """general: {{ }}
bench: {{
  type = "rtp"
  id = 1
  audio = false
  video = true
  videoport = {port}
  videoiface = "lo"
  videopt = 102
  videocodec = "h264"
  videofmtp = "profile-level-id=42e01f;packetization-mode=1"
}}
"""
LIBRARIES = Path("/usr/lib/x86_64-linux-gnu/janus")


def _others(kind: str, wanted: str) -> str:
    return ",".join(
        path.name for path in sorted((LIBRARIES / kind).glob("*.so")) if path.name != wanted
    )


@dataclass(slots=True)
class JanusPeer:
    """With one event loop (or a thread per handle), with Debian's libsrtp (or a given one)."""

    name: str
    options: PeerOptions
    server: Server
    event_loop: bool
    port: int = 0
    rtp_port: int = 0

    @classmethod
    def create(cls, name: str, options: PeerOptions) -> JanusPeer:
        """`janus`, `janus-threads` (as shipped) or `janus-openssl` (with the libsrtp given)."""
        if name == "janus-openssl" and options.libsrtp is None:
            raise ValueError("janus-openssl needs --libsrtp PATH")
        return cls(name, options, Server(name, options), event_loop=name != "janus-threads")

    @property
    def pid(self) -> int:
        """The process."""
        return self.server.pid

    def start(self) -> None:
        """Write three configuration files and run."""
        self.port, self.rtp_port = free_port(), free_port()
        folder = self.server.directory
        general = GENERAL.format(
            folder=folder,
            libraries=LIBRARIES,
            event_loops="event_loops = 1" if self.event_loop else "",
            other_plugins=_others("plugins", "libjanus_streaming.so"),
            other_transports=_others("transports", "libjanus_http.so"),
        )
        (folder / "janus.jcfg").write_text(general)
        (folder / "janus.transport.http.jcfg").write_text(HTTP.format(port=self.port))
        (folder / "janus.plugin.streaming.jcfg").write_text(STREAMING.format(port=self.rtp_port))
        environment = {}
        if self.name == "janus-openssl":
            environment["LD_LIBRARY_PATH"] = str(self._library_folder())
        self.server.spawn(["janus", "-F", str(folder)], self.port, environment)

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
        """Plain RTP: Janus 1.1.2 has no WHIP, so it is spared the decryption of what comes in."""
        return [f"127.0.0.1:{self.rtp_port}", "--plain-rtp"]

    def play_arguments(self) -> list[str]:
        """Its own signalling; ICE, DTLS and SRTP as for the others."""
        return [f"http://127.0.0.1:{self.port}/janus", "--signalling", "janus"]

    def describe(self) -> str:
        """Version and settings."""
        query = ["dpkg-query", "-W", "-f", "${Version}", "janus"]
        version = subprocess.run(query, check=False, capture_output=True, text=True).stdout
        loop = "event_loops=1" if self.event_loop else "a thread per handle (as shipped)"
        library = "the libsrtp given" if self.name == "janus-openssl" else "Debian's libsrtp2"
        return (
            f"Debian {version or 'version unknown'}, streaming plugin, {loop}, {library}, ice_lite"
        )

    def _library_folder(self) -> Path:
        """A folder where the given library has the name that Janus loads."""
        assert self.options.libsrtp is not None
        folder = self.server.directory / "lib"
        folder.mkdir(exist_ok=True)
        link = folder / "libsrtp2.so.1"
        link.unlink(missing_ok=True)
        link.symlink_to(self.options.libsrtp.resolve())
        return folder

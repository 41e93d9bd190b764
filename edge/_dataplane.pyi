"""Contract of the Rust data plane (crate `edge/dataplane`). No call blocks on the network.

Specifications are the JSON forms of the dataclasses in `edge.model` (field names as there).
Handles come from `open_session` and stay valid until `remove`; a call on a removed or unknown
handle is ignored, because a session may close on its own while Python still talks of it.
"""

from typing import Any, Literal, TypeAlias

Event: TypeAlias = tuple[str, int, Any]
"""(name, handle or stream number, detail). Names and details:

`("path_selected", handle, (address: str, "udp" | "tcp"))`  ICE: first valid binding, or a new path
`("dtls", handle, datagram: bytes)`                  a DTLS datagram for the session
`("consent_lapsed", handle, None)`                   no proof of life for `consent_timeout_s`
`("publishing", stream, handle)`                     the first media packet of this publisher
`("idle", stream, handle)`                           no media for `idle_timeout_s`; "publishing" follows when it returns
`("layers", stream, layers_json: str)`               list of edge.model.Layer fields plus "fmtp"; on change only
`("first_frame", handle, seconds: float)`            a subscriber was sent its first whole key frame; time since add_subscriber
`("layer_switched", handle, rid: str)`               a subscriber now receives this layer
`("stopped", worker, reason: str)`                   a worker died: the process must end
"""

class DataPlane:
    """UDP workers, ICE-lite, SRTP and forwarding."""

    def __init__(self, config: str) -> None:
        """Bind the sockets and start the workers.

        `config` is JSON with the fields of `edge.config.DataPlaneConfig`.
        Raises OSError when a port cannot be bound, ValueError for a bad configuration.
        """

    def ports(self) -> list[int]:
        """One UDP port (and TCP port of the same number where enabled) per worker."""

    def event_fd(self) -> int:
        """An eventfd that is readable while events wait."""

    def open_session(self, worker: int, ice: str) -> int:
        """Open a session on a worker. `ice` is JSON: local_ufrag, local_pwd, remote_ufrag, remote_pwd."""

    def restart_ice(self, session: int, ice: str) -> None:
        """Take new credentials beside the old; the old end when the new path is valid (RFC 8445, section 9)."""

    def send(self, session: int, datagram: bytes) -> None:
        """Send a DTLS datagram on the session's selected path; dropped when there is none."""

    def set_keys(self, session: int, profile: str, local: bytes, remote: bytes) -> None:
        """SRTP keys: profile by its OpenSSL name, `local`/`remote` are key followed by salt."""

    def add_publisher(self, session: int, stream: int, spec: str) -> None:
        """Make the session the stream's publisher; a former publisher of the stream is silenced at once."""

    def add_subscriber(self, session: int, stream: int, spec: str) -> None:
        """Send the stream to the session from its last key frame on. May come before any publisher."""

    def select_layer(self, session: int, selection: str) -> None:
        """Player's own wish. JSON: {"rid": str | null, "max_rank": int | null, "max_temporal": int | null, "paused": bool}."""

    def set_tier(self, stream: int | None, tier: Literal[0, 1, 2, 3, 4]) -> None:
        """Degradation tier of one stream, or of all with None."""

    def request_keyframe(self, stream: int) -> None:
        """Ask the studio for a key frame on each layer (throttled)."""

    def remove(self, session: int) -> None:
        """End a session: its state is freed and its ICE user name is unknown from now on."""

    def remove_stream(self, stream: int) -> None:
        """Forget a stream and its rings. Subscribers of it stay open and receive nothing."""

    def poll_events(self) -> list[Event]:
        """Take all waiting events and reset the eventfd."""

    def stats(self) -> str:
        """Counters and gauges of all workers and streams as JSON (keys: see `stats.rs`)."""

    def session_stats(self, session: int) -> str | None:
        """Counters of one session as JSON, or None when it is unknown."""

    def close(self) -> None:
        """Stop the workers and close the sockets. Idempotent."""

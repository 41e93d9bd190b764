"""The one configuration model of the edge. `edge.server.settings` reads it from file and environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge.model import CodecName

Port = Annotated[int, Field(ge=0, le=65535)]
Ratio = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Frozen, refuses unknown keys, and keeps the docstring below each field as its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class HttpConfig(Section):
    """The API port: WHIP, WHEP, operations, metrics and pages."""

    host: str = "0.0.0.0"
    """Address to listen on. All by default, because probes and players come from outside."""
    port: Port = 8080
    """TCP port; 0 takes a free one (tests)."""
    public_url: str | None = Field(default=None, pattern=r"^https?://[^/?#]+$")
    """Scheme and authority that players see, when a proxy stands in front; used in printed URLs."""
    cors_origins: tuple[str, ...] = ("*",)
    """Origins whose pages may call. `*` is safe: the API uses bearer tokens and never cookies."""
    max_body_bytes: Positive = 65_536
    """Largest request body. A full offer with simulcast and 30 candidates is below 12 KiB."""
    tls_cert_file: Path | None = None
    """PEM certificate chain. Without it the edge speaks plain HTTP and TLS ends in front of it."""
    tls_key_file: Path | None = None
    """PEM private key of `tls_cert_file`."""

    @model_validator(mode="after")
    def _cert_and_key_together(self) -> HttpConfig:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file belong together")
        return self


class DataPlaneConfig(Section):
    """The UDP workers. Handed to the Rust data plane as JSON, field by field."""

    bind: str = "0.0.0.0"
    """Literal address of the media sockets; `::` takes IPv6 and IPv4."""
    port: Port = 8189
    """First UDP port; worker n has `port + n`, so that a firewall opens one small range."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Worker threads, each with its own port. One carries some thousand players."""
    tcp: bool = True
    """Also offer a TCP candidate (RFC 6544) for players whose network blocks UDP."""
    receive_buffer_bytes: Positive = 8_388_608
    """SO_RCVBUF, verified after it was set. 8 MiB holds 70 ms at 1 Gbit/s."""
    send_buffer_bytes: Positive = 8_388_608
    """SO_SNDBUF. Key-frame bursts to all players must not meet a full buffer."""
    consent_timeout_s: Annotated[float, Field(gt=0, le=120)] = 25
    """Silence after which a session is closed; RFC 7675 says 30 s at most."""
    idle_timeout_s: Annotated[float, Field(gt=0, le=120)] = 2
    """No media for this long makes a stream inactive for its players' events."""
    ring_packets: Annotated[int, Field(ge=64, le=65_536)] = 2048
    """Packet slots per layer: 2 s of NACK and key-frame cache at 8 Mbit/s."""
    hold_us: Annotated[int, Field(ge=0, le=20_000)] = 1000
    """Longest wait for the rest of a burst, in microseconds: batches are what makes sending cheap."""
    keyframe_request_interval_ms: Positive = 500
    """At most one PLI or FIR per layer in this time, however many players join."""
    max_sessions: Annotated[int, Field(ge=1, le=65_535)] = 8192
    """Size of the session tables; `limits.max_sessions` admits fewer."""
    dscp: bool = True
    """Mark audio EF and video AF41 (RFC 8837)."""
    gso: bool = True
    """UDP generic segmentation offload: several packets per system call, where the kernel can."""
    min_bitrate_bps: Positive = 100_000
    """The estimate of a player's bandwidth never goes below: audio and the smallest layer."""
    max_bitrate_bps: Positive = 20_000_000
    """The estimate of a player's bandwidth never goes above."""
    start_bitrate_bps: Positive = 1_500_000
    """First estimate, before any feedback: a middle layer, so that the first picture is watchable."""
    pin_cpus: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """CPU of each worker in order; empty leaves placement to the kernel."""

    @model_validator(mode="after")
    def _bitrates_in_order(self) -> DataPlaneConfig:
        if not self.min_bitrate_bps <= self.start_bitrate_bps <= self.max_bitrate_bps:
            raise ValueError(
                "min_bitrate_bps <= start_bitrate_bps <= max_bitrate_bps does not hold"
            )
        if self.pin_cpus and len(self.pin_cpus) != self.workers:
            raise ValueError("pin_cpus needs one CPU per worker")
        return self


class AnnounceConfig(Section):
    """What the answer's ICE candidates say."""

    addresses: tuple[str, ...] = ()
    """Addresses put into candidates; empty takes those of the host's interfaces. Set behind NAT."""
    port_map: dict[int, Port] = Field(default_factory=dict)
    """Local port to announced port, where a load balancer or NAT translates."""


class KeyConfig(Section):
    """One key that tokens may be signed with."""

    kid: str = Field(min_length=1)
    """Key id as it stands in the token's header."""
    algorithm: Literal["HS256", "RS256", "ES256", "EdDSA"]
    """The only algorithm accepted with this key: a token cannot choose another."""
    file: Path | None = None
    """PEM public key, or the raw secret of HS256."""
    secret: str | None = Field(default=None, repr=False)
    """Secret of HS256 as text; prefer `file`."""

    @model_validator(mode="after")
    def _one_source(self) -> KeyConfig:
        if (self.file is None) == (self.secret is None):
            raise ValueError("give exactly one of file and secret")
        if self.secret is not None and self.algorithm != "HS256":
            raise ValueError("secret is for HS256 only; give the public key's file")
        return self


class AuthConfig(Section):
    """Who may publish, watch and operate."""

    keys: tuple[KeyConfig, ...] = ()
    """Keys accepted at the same time, so that keys rotate without an interruption."""
    jwks: str | None = None
    """JWKS (RFC 7517) as a file path or an http(s) URL."""
    jwks_refresh_s: Annotated[float, Field(ge=1, le=86_400)] = 300
    """Age after which the JWKS is read again; an unknown kid reads it at once, every 10 s at most."""
    leeway_s: Annotated[float, Field(ge=0, le=300)] = 5
    """Clock difference tolerated in `exp` and `nbf`."""
    audience: str | None = None
    """Required `aud` of tokens; without it `aud` is not looked at."""
    issuer: str | None = None
    """Required `iss` of tokens; without it `iss` is not looked at."""
    insecure_open: bool = False
    """Everybody may do everything. Must be asked for: an edge without keys refuses to start."""


class StreamsConfig(Section):
    """How long streams and players wait for each other."""

    reconnect_grace_s: Seconds = 30
    """A stream keeps its players this long after its publisher left; a studio's PC restarts in 20 s."""
    wait_max_s: Annotated[float, Field(ge=0, le=60)] = 10
    """Longest `?wait=` of a player for a stream that has no publisher yet."""
    retry_after_s: Positive = 2
    """Retry-After on a stream without publisher: short, since studios reconnect within seconds."""
    playout_delay_ms: tuple[int, int] | None = None
    """Minimum and maximum of the playout-delay extension sent to players; none by default."""


class LimitsConfig(Section):
    """What protects the node from its guests."""

    max_sessions: Positive = 4000
    """Sessions admitted; the next gets 503 `node_full` and nobody inside is refused anything."""
    max_streams: Positive = 500
    """Streams at a time; a studio beyond gets 503 `node_full`."""
    retry_after_s: Positive = 5
    """Retry-After of 503 answers: long enough for another edge to be tried first."""
    unauthenticated_per_s: Annotated[float, Field(gt=0)] = 20
    """Requests without a valid token per second and address, before 429."""
    unauthenticated_burst: Positive = 60
    """How many of those may come at once: a casino's players share few NAT addresses."""
    setup_timeout_s: Annotated[float, Field(gt=0, le=120)] = 15
    """An answered session that is not connected by then is closed; OBS gives up after 8 s."""
    events_queue: Positive = 64
    """Server-sent events a slow reader may lag behind before it is disconnected."""


class DrainConfig(Section):
    """Leaving without hurting anybody."""

    deadline_s: Seconds = 60
    """After SIGTERM the process ends by then, even if sessions remain."""


class IceServer(Section):
    """One STUN or TURN server told to clients in a Link header (RFC 9725, section 4.6)."""

    urls: tuple[str, ...] = Field(min_length=1)
    """`stun:`, `turn:` or `turns:` URLs."""
    username: str | None = None
    """TURN user name."""
    credential: str | None = Field(default=None, repr=False)
    """TURN password."""


class CodecsConfig(Section):
    """Which codec is preferred where an offer has several."""

    video: tuple[CodecName, ...] = ("H264", "VP9", "VP8", "AV1", "H265")
    """H.264 first: every player decodes it in hardware and LL-HLS needs it."""


class NodeConfig(Section):
    """What the edge demands of the node it runs on."""

    require_tuned: bool = False
    """Not ready while the kernel grants less receive buffer than asked for: bursts would be lost
    where nobody sees it. On for nodes that are tuned, off for a laptop."""


class LogConfig(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is written."""
    format: Literal["json", "console"] = "json"
    """`json` for collectors, `console` for people."""


class EdgeConfig(Section):
    """Everything the edge can be told."""

    region: str = Field(default="local", pattern=r"^[a-z0-9-]{1,32}$")
    """Region of this node, a label of metrics and placement."""
    http: HttpConfig = HttpConfig()
    data_plane: DataPlaneConfig = DataPlaneConfig()
    announce: AnnounceConfig = AnnounceConfig()
    auth: AuthConfig = AuthConfig()
    streams: StreamsConfig = StreamsConfig()
    limits: LimitsConfig = LimitsConfig()
    drain: DrainConfig = DrainConfig()
    ice_servers: tuple[IceServer, ...] = ()
    """Told to every client; none by default, since an ICE-lite edge with a public address needs none."""
    codecs: CodecsConfig = CodecsConfig()
    redirect: dict[str, str] = Field(default_factory=dict)
    """Stream pattern to base URL of another edge: requests for it get 307. The first match counts."""
    node: NodeConfig = NodeConfig()
    log: LogConfig = LogConfig()

    @model_validator(mode="after")
    def _admission_fits_tables(self) -> EdgeConfig:
        if self.limits.max_sessions > self.data_plane.max_sessions:
            raise ValueError("limits.max_sessions is above data_plane.max_sessions")
        return self

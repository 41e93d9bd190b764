"""What two sides tell each other of ICE and DTLS, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge.model import IceCredentials

FINGERPRINT_HASHES = ("sha-256", "sha-384", "sha-512")
"""Hashes that a certificate may be named by; older ones are too weak (RFC 8122, section 5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One of the edge's own ICE candidates (RFC 8839, section 5.1; TCP: RFC 6544, section 4.5)."""

    foundation: str
    component: int = 1
    protocol: Literal["udp", "tcp"] = "udp"
    priority: int
    address: str
    port: int
    type: str = "host"
    tcptype: Literal["passive"] | None = None

    def __str__(self) -> str:
        """The value of `a=candidate`, without the attribute's name."""
        tcp = f" tcptype {self.tcptype}" if self.tcptype else ""
        return (
            f"{self.foundation} {self.component} {self.protocol} {self.priority} "
            f"{self.address} {self.port} typ {self.type}{tcp}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTransport:
    """The edge's side of one session's transport."""

    ice: IceCredentials
    fingerprints: tuple[tuple[str, str], ...]
    """Pairs such as ("sha-256", "AA:BB:...")."""
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTransport:
    """The peer's side, as its offer gives it."""

    ice: IceCredentials
    setup: Literal["active", "passive"]
    """The edge's own DTLS role: "active" makes it the DTLS client."""
    fingerprints: tuple[tuple[str, str], ...]
    """Hash in lower case, digest in upper case; only hashes of `FINGERPRINT_HASHES`."""
    candidates: tuple[str, ...] = ()
    """Values of `a=candidate` as they came; an ICE-lite side needs none of them."""

    def ice_restart(self, ufrag: str | None, pwd: str | None) -> bool:
        """Whether later credentials mean a restart: both must be new (RFC 8445, section 9)."""
        return bool(ufrag and pwd) and ufrag != self.ice.ufrag and pwd != self.ice.pwd


def transport_lines(local: LocalTransport, setup: Literal["active", "passive"]) -> list[str]:
    """Attribute values that every bundled section repeats, for readers that look no further."""
    return [
        f"ice-ufrag:{local.ice.ufrag}",
        f"ice-pwd:{local.ice.pwd}",
        *(f"fingerprint:{name} {digest}" for name, digest in local.fingerprints),
        f"setup:{setup}",
    ]


def candidate_lines(candidates: tuple[Candidate, ...]) -> list[str]:
    """Candidates, UDP first because FFmpeg takes only the first one, and `a=end-of-candidates`."""
    ordered = sorted(candidates, key=lambda candidate: candidate.protocol != "udp")
    return [*(f"candidate:{candidate}" for candidate in ordered), "end-of-candidates"]

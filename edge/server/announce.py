"""What goes into our ICE candidates: addresses of this host and ports of the workers."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from pathlib import Path

from edge.config import AnnounceConfig, DataPlaneConfig
from edge.signaling.transport import Candidate

_SIOCGIFADDR = 0x8915
_TYPE_PREFERENCE = {"udp": 126, "tcp": 90}
"""RFC 8445, section 5.1.2.2 for host candidates; TCP below every UDP (RFC 6544, section 4.2)."""


def candidates(addresses: tuple[str, ...], port: int, *, tcp: bool) -> tuple[Candidate, ...]:
    """Host candidates of one worker, UDP before TCP."""
    protocols = ("udp", "tcp") if tcp else ("udp",)
    return tuple(
        Candidate(
            foundation=str(index + 1 + (len(addresses) if protocol == "tcp" else 0)),
            component=1,
            protocol=protocol,  # type: ignore[arg-type]
            priority=_priority(protocol, index),
            address=address,
            port=port,
            type="host",
            tcptype="passive" if protocol == "tcp" else None,
        )
        for protocol in protocols
        for index, address in enumerate(addresses)
    )


def announced_addresses(announce: AnnounceConfig, plane: DataPlaneConfig) -> tuple[str, ...]:
    """The configured addresses, the one we are bound to, or those of the host's interfaces.

    Loopback is announced when we are bound to it or when there is nothing else.
    """
    if announce.addresses:
        return announce.addresses
    bind = ipaddress.ip_address(plane.bind)
    if not bind.is_unspecified:
        return (plane.bind,)
    found = ipv4_addresses() + (ipv6_addresses() if bind.version == 6 else [])
    usable = [address for address in found if not ipaddress.ip_address(address).is_loopback]
    return tuple(usable) or ("127.0.0.1",)


def ipv4_addresses() -> list[str]:
    """The first IPv4 address of each interface."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
            except OSError:
                continue
            found.append(socket.inet_ntoa(answer[20:24]))
    return found


def ipv6_addresses() -> list[str]:
    """Global and unique-local IPv6 addresses (scope 00 in the kernel's table)."""
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        return []
    rows = [line.split() for line in lines]
    return [str(ipaddress.IPv6Address(bytes.fromhex(row[0]))) for row in rows if row[3] == "00"]


def _priority(protocol: str, index: int) -> int:
    local = 65_535 - index
    return (_TYPE_PREFERENCE[protocol] << 24) | (local << 8) | 255

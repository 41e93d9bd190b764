"""Adapters by name."""

from __future__ import annotations

from collections.abc import Callable

from bench.peers.base import Peer, PeerOptions
from bench.peers.edge import EdgePeer
from bench.peers.janus import JanusPeer
from bench.peers.mediamtx import MediaMtxPeer
from bench.peers.srs import SrsPeer

_ADAPTERS: dict[str, Callable[[str, PeerOptions], Peer]] = {
    "edge": EdgePeer.create,
    "janus": JanusPeer.create,
    "janus-threads": JanusPeer.create,
    "janus-openssl": JanusPeer.create,
    "mediamtx": MediaMtxPeer.create,
    "srs": SrsPeer.create,
}

NAMES = tuple(_ADAPTERS)
"""Every adapter."""


def peer(name: str, options: PeerOptions) -> Peer:
    """The adapter of that name, not started. Raises ValueError when it is unknown or lacks a binary."""
    if name not in _ADAPTERS:
        raise ValueError(f"unknown peer {name}; known: {', '.join(NAMES)}")
    return _ADAPTERS[name](name, options)

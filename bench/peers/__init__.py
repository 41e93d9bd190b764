"""Servers under test. Each adapter starts one process pinned to one CPU and says how to load it."""

from bench.peers.base import Peer, PeerOptions
from bench.peers.registry import NAMES, peer

__all__ = ["NAMES", "Peer", "PeerOptions", "peer"]

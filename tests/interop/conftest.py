"""Fixtures of the interop tests: an edge that runs, and edges with other settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .edges import Edge
from .front import Front
from .relay import UdpRelay

EdgeStarter = Callable[..., Edge]


@pytest.fixture(scope="module")
def edge_server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Edge]:
    """One edge for all tests of a module; each uses streams of its own."""
    edge = Edge(tmp_path_factory.mktemp("edge"))
    failed = request.session.testsfailed
    yield edge
    edge.close()
    if request.session.testsfailed > failed:
        print(edge.program.log(200))


@pytest.fixture
def start_edge(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[EdgeStarter]:
    """Starts edges with sections of their own; they end with the test."""
    edges: list[Edge] = []

    def start(**sections: Any) -> Edge:
        directory = tmp_path / str(len(edges))
        directory.mkdir()
        edges.append(Edge(directory, **sections))
        return edges[-1]

    failed = request.session.testsfailed
    yield start
    for edge in edges:
        edge.close()
        if request.session.testsfailed > failed:
            print(edge.program.log(200))


@dataclass(frozen=True, slots=True, kw_only=True)
class BadNetwork:
    """An edge's address for clients whose media goes through relays."""

    url: str
    relay: UdpRelay


@pytest.fixture
def bad_network(edge_server: Edge) -> Iterator[BadNetwork]:
    """A way to the edge that can be spoilt."""
    with ExitStack() as stack:
        relay = stack.enter_context(UdpRelay(("127.0.0.1", edge_server.udp_ports[0])))
        front = stack.enter_context(Front(edge_server.url, {edge_server.udp_ports[0]: relay.port}))
        yield BadNetwork(url=front.url, relay=relay)

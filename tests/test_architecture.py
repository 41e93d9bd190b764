"""Rules of the house that import contracts cannot state: one door per library, and the stub."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

import edge._dataplane

ROOT = Path(__file__).resolve().parent.parent

DOORS = {
    "edge._dataplane": {"edge/server/engine.py"},
    "prometheus_client": {"edge/server/metrics.py"},
    "jwt": {"edge/server/tokens.py", "edge/server/mint.py"},
}
"""Library to the only files that may import it."""

SERVER_DOORS = {"aiortc": {"edge/server/transport.py"}}
"""As above, inside `edge/server`; the clients have a transport of their own."""


def imports(file: Path) -> set[str]:
    """Every module that a file imports, with parents."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def importers(library: str, directory: str) -> set[str]:
    """Files below a directory that import a library."""
    return {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / directory).rglob("*.py")
        if any(name == library or name.startswith(library + ".") for name in imports(file))
    }


@pytest.mark.parametrize("library", DOORS)
def test_each_library_has_one_door(library: str) -> None:
    assert importers(library, "edge") <= DOORS[library]


@pytest.mark.parametrize("library", SERVER_DOORS)
def test_each_library_has_one_door_in_the_server(library: str) -> None:
    assert importers(library, "edge/server") <= SERVER_DOORS[library]


def test_the_stub_names_what_the_extension_has() -> None:
    stub = ast.parse((ROOT / "edge" / "_dataplane.pyi").read_text())
    (described,) = (node for node in stub.body if isinstance(node, ast.ClassDef))
    stated = {node.name for node in described.body if isinstance(node, ast.FunctionDef)}
    real = {name for name in dir(edge._dataplane.DataPlane) if not name.startswith("_")}
    assert stated - {"__init__"} == real


def test_unsafe_code_stands_only_where_system_calls_are_made() -> None:
    sources = ROOT / "edge" / "dataplane" / "src"
    allowing = {
        file.relative_to(sources).as_posix()
        for file in sources.rglob("*.rs")
        if re.search(r"allow\([^)]*unsafe_code", file.read_text())
    }
    assert allowing == {"io/sys.rs", "py.rs"}


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    crate = tomllib.loads((ROOT / "edge" / "dataplane" / "Cargo.toml").read_text())
    assert crate["package"]["version"] == project

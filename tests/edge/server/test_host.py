"""Findings about the host, with a made-up /proc/sys."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from edge.server import host
from edge.server.host import Level, check


def write(root: Path, **values: str) -> Path:
    for name, value in values.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n")
    return root


def levels(root: Path) -> dict[str, Level]:
    return {finding.name: finding.level for finding in check(root)}


def test_a_tuned_host(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        net__core__rmem_max="16777216",
        net__core__wmem_max="16777216",
        net__core__netdev_max_backlog="10000",
        net__ipv4__udp_mem="1000000 2000000 3000000",
    )
    found = levels(root)
    assert {name: found[name] for name in found if name.startswith("net.")} == dict.fromkeys(
        [
            "net.core.rmem_max",
            "net.core.wmem_max",
            "net.core.netdev_max_backlog",
            "net.ipv4.udp_mem",
        ],
        Level.OK,
    )


def test_a_fresh_host_is_told_what_to_do(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        net__core__rmem_max="212992",
        net__core__wmem_max="212992",
        net__core__netdev_max_backlog="1000",
        net__ipv4__udp_mem="100 200 300",
    )
    bad = {finding.name: finding for finding in check(root) if finding.level is not Level.OK}
    assert bad["net.core.rmem_max"].level is Level.ERROR
    assert bad["net.core.rmem_max"].remedy == "sysctl -w net.core.rmem_max=8388608"
    assert bad["net.core.wmem_max"].level is Level.WARNING
    assert "udp_mem" in bad["net.ipv4.udp_mem"].remedy
    assert all(finding.remedy for finding in bad.values())


def test_a_namespace_that_shows_nothing_is_a_warning(tmp_path: Path) -> None:
    assert levels(tmp_path)["net.core.rmem_max"] is Level.WARNING


@pytest.mark.parametrize(
    ("found", "strict", "status"),
    [
        (Level.OK, True, 0),
        (Level.WARNING, False, 0),
        (Level.WARNING, True, 1),
        (Level.ERROR, False, 1),
    ],
)
def test_the_exit_status(
    found: Level,
    strict: bool,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    finding = host.Finding(name="x", level=found, found="y", remedy="z")
    monkeypatch.setattr(host, "check", lambda: [finding])
    assert host.run(argparse.Namespace(json=True, strict=strict)) == status
    (row,) = json.loads(capsys.readouterr().out)
    assert row["remedy"] == "z"
    assert host.run(argparse.Namespace(json=False, strict=strict)) == status
    assert "remedy: z" in capsys.readouterr().out


def test_a_slow_clock(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("hpet\n")
    assert host._clock(clock).level is Level.WARNING
    clock.write_text("tsc\n")
    assert host._clock(clock).level is Level.OK

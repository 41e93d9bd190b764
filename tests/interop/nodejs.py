"""Node scripts of this folder: their packages, installed once, and their results."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .program import Program

DIRECTORY = Path(__file__).parent / "node"


@functools.cache
def installed() -> Path:
    """Where node is, with the packages of the lock file in place. Skips the test without them."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    marker = DIRECTORY / "node_modules" / ".package-lock.json"
    lock = DIRECTORY / "package-lock.json"
    if not marker.exists() or marker.stat().st_mtime < lock.stat().st_mtime:
        done = subprocess.run(
            [npm, "ci", "--no-audit", "--no-fund"],
            cwd=DIRECTORY,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"npm could not install libdatachannel: {done.stderr[-300:]}")
        os.utime(marker)
    return Path(node)


def script(name: str, *arguments: str) -> Program:
    """A script of this folder, running."""
    return Program([str(installed()), name, *arguments], cwd=DIRECTORY)


def result(program: Program, timeout_s: float) -> dict[str, Any]:
    """The line of JSON that a script ends with."""
    status = program.wait(timeout_s)
    assert status == 0, program.log()
    found: dict[str, Any] = json.loads(program.line(lambda line: line.startswith("{"), 1))
    return found

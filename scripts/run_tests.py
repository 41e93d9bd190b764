"""Runs every suite, shows its output, and counts all tests in the last line."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One test runner and how its summary lines are read."""

    name: str
    command: Sequence[str]
    directory: Path
    passed: str
    failed: str
    skipped: str


@dataclass(slots=True)
class Counts:
    """Tests of all suites."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


RUST = Suite(
    name="data plane (cargo test)",
    command=("cargo", "test", "--locked", "--quiet"),
    directory=ROOT / "edge" / "dataplane",
    passed=r"test result: .*?(\d+) passed",
    failed=r"test result: .*?(\d+) failed",
    skipped=r"test result: .*?(\d+) ignored",
)
PAGES = Suite(
    name="pages (npm test)",
    command=("npm", "test", "--silent"),
    directory=ROOT / "edge" / "web",
    passed=r"^(?:#|ℹ) pass (\d+)",
    failed=r"^(?:#|ℹ) fail (\d+)",
    skipped=r"^(?:#|ℹ) skipped (\d+)",
)


def python_suite(long: bool) -> Suite:
    """pytest over everything, or only over the long tests."""
    mark = "long" if long else "not long"
    return Suite(
        name=f"Python and interoperation (pytest, {mark})",
        command=(sys.executable, "-m", "pytest", "-q", "-m", mark, "tests"),
        directory=ROOT,
        passed=r"^(?:=+ )?.*?(\d+) passed.* in ",
        failed=r"^(?:=+ )?.*?(\d+) (?:failed|error).* in ",
        skipped=r"^(?:=+ )?.*?(\d+) skipped.* in ",
    )


def main() -> int:
    """Run the suites. Exit status 1 when any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--long", action="store_true", help="only the tests of half a minute and more"
    )
    args = parser.parse_args()
    suites = [python_suite(True)] if args.long else [RUST, PAGES, python_suite(False)]
    counts, broken = Counts(), []
    for suite in suites:
        print(f"==> {suite.name}", flush=True)
        if not run(suite, counts):
            broken.append(suite.name)
    for name in broken:
        print(f"failed: {name}")
    print(
        f"{counts.passed} passed, {max(counts.failed, len(broken))} failed, {counts.skipped} skipped"
    )
    return 1 if broken else 0


def run(suite: Suite, counts: Counts) -> bool:
    """Run one suite, echo its output, add its counts; true when it succeeded."""
    with subprocess.Popen(
        suite.command,
        cwd=suite.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            counts.passed += _sum(suite.passed, line)
            counts.failed += _sum(suite.failed, line)
            counts.skipped += _sum(suite.skipped, line)
    return process.returncode == 0


def _sum(pattern: str, line: str) -> int:
    return sum(int(number) for number in re.findall(pattern, line))


if __name__ == "__main__":
    sys.exit(main())

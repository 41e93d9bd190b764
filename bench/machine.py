"""Where and when a figure was measured, and how quiet it was there."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
CACHE = ROOT / ".cache" / "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What stands beside every result."""

    cpu: str
    cpus: int
    kernel: str
    python: str
    commit: str
    command: str
    date: str

    def lines(self) -> list[str]:
        """For a Markdown file."""
        return [f"- {name}: `{value}`" for name, value in asdict(self).items()]


def provenance() -> Provenance:
    """Of this process, now."""
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return Provenance(
        cpu=models[0].partition(":")[2].strip() if models else platform.machine(),
        cpus=os.cpu_count() or 0,
        kernel=platform.release(),
        python=platform.python_version(),
        commit=_commit(),
        command=shlex.join(
            ["python", "-m", f"bench.{Path(sys.argv[0]).stem}", *map(_without_folder, sys.argv[1:])]
        ),
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    )


def _without_folder(word: str) -> str:
    """Where programs lie on this machine says nothing elsewhere."""
    return " ".join(Path(part).name if part.startswith("/") else part for part in word.split(" "))


def _commit() -> str:
    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(ROOT), *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "edge")
    return git("rev-parse", "--short", "HEAD") + (
        " with uncommitted changes in edge/" if changed else ""
    )


def busy_s(cpu: int) -> float:
    """Seconds this CPU was not idle since boot."""
    for line in Path("/proc/stat").read_text().splitlines():
        fields = line.split()
        if fields[0] == f"cpu{cpu}":
            user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, fields[1:])
            return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    return 0.0


def receive_drops() -> int:
    """Datagrams dropped for a full receive buffer, of the whole machine (`RcvbufErrors`)."""
    rows = [
        line.split()
        for line in Path("/proc/net/snmp").read_text().splitlines()
        if line.startswith("Udp:")
    ]
    return int(dict(zip(rows[0], rows[1], strict=True))["RcvbufErrors"])


def socket_drops(pid: int) -> int:
    """Datagrams dropped for a full receive buffer, of one process's UDP sockets now open."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(entry) if entry.is_symlink() else ""
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    rows = Path("/proc/net/udp").read_text().splitlines()[1:]
    rows += Path("/proc/net/udp6").read_text().splitlines()[1:]
    return sum(int(row.split()[-1]) for row in rows if row.split()[9] in inodes)


def write_result(name: str, title: str, body: list[str], figures: object) -> None:
    """`bench/results/NAME.md` and `.json`, with where and when."""
    where = provenance()
    RESULTS.mkdir(parents=True, exist_ok=True)
    document = {"provenance": asdict(where), "figures": figures}
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    text = [f"# {title}", "", *where.lines(), "", *body]
    (RESULTS / f"{name}.md").write_text("\n".join(text) + "\n")
    print("\n".join(text))

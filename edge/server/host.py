"""`edge check-host`: whether this node is tuned for UDP media, each finding with its remedy."""

from __future__ import annotations

import argparse
import json
import resource
import socket
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

UDP_SEGMENT = 103
"""Socket option of UDP generic segmentation offload (linux/udp.h); Python has no name for it."""

SYSCTLS = Path("/proc/sys")
CLOCK = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
PAGE_BYTES = resource.getpagesize()

WANTED_BUFFER_BYTES = 8_388_608
WANTED_BACKLOG = 5_000
WANTED_FILES = 65_536
WANTED_UDP_BYTES = 268_435_456
FAST_CLOCKS = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter")


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at."""

    name: str
    level: Level
    found: str
    remedy: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `edge check-host`."""
    parser.add_argument("--json", action="store_true", help="print findings as JSON")
    parser.add_argument("--strict", action="store_true", help="warnings count as errors")


def run(args: argparse.Namespace) -> int:
    """Print the findings. Exit status 1 when one of them is an error."""
    findings = check()
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{finding.level:8}{finding.name:28}{finding.found}")
            if finding.remedy:
                print(f"{'':8}remedy: {finding.remedy}")
    bad = {Level.ERROR, Level.WARNING} if args.strict else {Level.ERROR}
    return int(any(finding.level in bad for finding in findings))


def check(sysctls: Path = SYSCTLS) -> list[Finding]:
    """Look at everything."""
    return [
        _at_least(sysctls, "net.core.rmem_max", WANTED_BUFFER_BYTES, Level.ERROR),
        _at_least(sysctls, "net.core.wmem_max", WANTED_BUFFER_BYTES, Level.WARNING),
        _at_least(sysctls, "net.core.netdev_max_backlog", WANTED_BACKLOG, Level.WARNING),
        _udp_memory(sysctls),
        _receive_buffer(),
        _open_files(),
        _segmentation(),
        _clock(CLOCK),
    ]


def _at_least(sysctls: Path, name: str, wanted: int, level: Level) -> Finding:
    text = _read(sysctls / name.replace(".", "/"))
    if text is None:
        # A network namespace of its own does not show the host's values.
        return Finding(
            name=name, level=Level.WARNING, found="not visible here", remedy=_sysctl(name, wanted)
        )
    if int(text.split()[0]) >= wanted:
        return Finding(name=name, level=Level.OK, found=text)
    return Finding(
        name=name, level=level, found=f"{text}, wanted {wanted}", remedy=_sysctl(name, wanted)
    )


def _udp_memory(sysctls: Path) -> Finding:
    """The most memory that all UDP sockets may use, in pages (third number)."""
    name = "net.ipv4.udp_mem"
    text = _read(sysctls / "net/ipv4/udp_mem")
    if text is None:
        return Finding(name=name, level=Level.WARNING, found="not visible here")
    limit = int(text.split()[2]) * PAGE_BYTES
    if limit >= WANTED_UDP_BYTES:
        return Finding(name=name, level=Level.OK, found=f"{limit} bytes")
    pages = WANTED_UDP_BYTES // PAGE_BYTES
    return Finding(
        name=name,
        level=Level.WARNING,
        found=f"{limit} bytes, wanted {WANTED_UDP_BYTES}",
        remedy=f'sysctl -w {name}="{pages // 2} {pages * 3 // 4} {pages}"',
    )


def _receive_buffer() -> Finding:
    """What a socket really gets: the kernel doubles the value asked for and caps it silently."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WANTED_BUFFER_BYTES)
        got = probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    name = "SO_RCVBUF in effect"
    if got >= WANTED_BUFFER_BYTES:
        return Finding(name=name, level=Level.OK, found=f"{got} bytes")
    return Finding(
        name=name,
        level=Level.ERROR,
        found=f"{got} bytes, wanted {WANTED_BUFFER_BYTES}",
        remedy=_sysctl("net.core.rmem_max", WANTED_BUFFER_BYTES),
    )


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= WANTED_FILES:
        return Finding(name="open files", level=Level.OK, found=str(soft))
    return Finding(
        name="open files",
        level=Level.WARNING,
        found=f"soft {soft}, hard {hard}, wanted {WANTED_FILES}",
        remedy=f"ulimit -n {WANTED_FILES}, or LimitNOFILE={WANTED_FILES} in the unit",
    )


def _segmentation() -> Finding:
    """UDP GSO: without it every packet costs a trip through the kernel's whole stack."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1200)
        except OSError as error:
            return Finding(
                name="UDP GSO",
                level=Level.WARNING,
                found=f"refused: {error.strerror}",
                remedy="Linux 4.18 or newer; the edge then sends packet by packet",
            )
    return Finding(name="UDP GSO", level=Level.OK, found="available")


def _clock(path: Path) -> Finding:
    source = _read(path)
    if source is None or source in FAST_CLOCKS:
        return Finding(name="clock source", level=Level.OK, found=source or "not visible here")
    return Finding(
        name="clock source",
        level=Level.WARNING,
        found=f"{source}: every clock read is a system call",
        remedy=f"echo tsc > {path}, or choose a machine type with a stable TSC",
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _sysctl(name: str, value: int) -> str:
    return f"sysctl -w {name}={value}"

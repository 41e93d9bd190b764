"""H.264 parameters in SDP (RFC 6184, section 8.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_DEFAULT = "420010"
_ORDER = ("constrained-baseline", "baseline", "main", "constrained-high", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class H264Profile:
    """A profile-level-id (RFC 6184, section 8.1)."""

    idc: int
    constraints: int
    level: int

    @property
    def name(self) -> str:
        """The profile's name, or its number where it has none here (RFC 6184, table 5)."""
        set0, set1, set4, set5 = (bool(self.constraints & bit) for bit in (0x80, 0x40, 0x08, 0x04))
        if self.idc == 0x42:
            return "constrained-baseline" if set1 else "baseline"
        if self.idc == 0x4D:
            return "constrained-baseline" if set0 else "main"
        if self.idc == 0x58 and set0:
            return "constrained-baseline" if set1 else "baseline"
        if self.idc == 0x64:
            return "constrained-high" if set4 and set5 else "high"
        return f"{self.idc:02x}"

    @property
    def order(self) -> int:
        """Place among the profiles, the most widely decodable first."""
        return _ORDER.index(self.name) if self.name in _ORDER else len(_ORDER)


def h264_profile(parameters: Mapping[str, str]) -> H264Profile:
    """The profile-level-id; the default of RFC 6184 where it is missing or not hexadecimal."""
    text = parameters.get("profile-level-id", "")
    value = int(text if re.fullmatch(r"[0-9A-Fa-f]{6}", text) else _DEFAULT, 16)
    return H264Profile(idc=value >> 16, constraints=value >> 8 & 0xFF, level=value & 0xFF)


def packetization_mode(parameters: Mapping[str, str]) -> str:
    """The H.264 packetization mode; "0" where it is missing (RFC 6184, section 8.1)."""
    return parameters.get("packetization-mode", "0")

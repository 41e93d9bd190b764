"""H.264 and H.265 byte streams: NAL units, key frames, parameter sets."""

from __future__ import annotations

import re

_START_CODE = re.compile(b"\x00\x00\x00?\x01")

START_CODE = b"\x00\x00\x00\x01"

AVC_IDR, AVC_SEI, AVC_SPS, AVC_PPS, AVC_DELIMITER, AVC_FILLER = 5, 6, 7, 8, 9, 12
HEVC_VPS, HEVC_SPS, HEVC_PPS, HEVC_DELIMITER, HEVC_FILLER = 32, 33, 34, 35, 38


def split_annexb(data: bytes) -> list[bytes]:
    """
    NAL units of a byte stream without their start codes (H.264, annex B).
    """
    parts = _START_CODE.split(data)
    # Zero bytes before a start code belong to neither unit.
    return [unit.rstrip(b"\x00") for unit in parts[1:] if unit.rstrip(b"\x00")]


def join_annexb(units: list[bytes]) -> bytes:
    """
    A byte stream of the NAL units given.
    """
    return b"".join(START_CODE + unit for unit in units)


def avc_type(unit: bytes) -> int:
    """
    The H.264 NAL unit type.
    """
    return unit[0] & 0x1F


def hevc_type(unit: bytes) -> int:
    """
    The H.265 NAL unit type.
    """
    return unit[0] >> 1 & 0x3F


def is_avc_key(units: list[bytes]) -> bool:
    """
    Whether an access unit starts with an instantaneous decoder refresh.
    """
    return any(avc_type(unit) == AVC_IDR for unit in units)


def is_hevc_key(units: list[bytes]) -> bool:
    """
    Whether an access unit is an intra random access point (types 16 to 23).
    """
    return any(16 <= hevc_type(unit) <= 23 for unit in units)


def profile_level_id(data: bytes) -> str | None:
    """
    ``profile-level-id`` of the first SPS in a byte stream or an avcC record, or ``None``.
    """
    if data[:1] == b"\x01" and len(data) >= 4:
        return data[1:4].hex()
    for unit in split_annexb(data):
        if avc_type(unit) == AVC_SPS and len(unit) >= 4:
            return unit[1:4].hex()
    return None


_LEVELS = ((1620, 40500, "1e"), (3600, 108000, "1f"), (8192, 245760, "28"), (22080, 589824, "32"))
"""Macroblocks per frame and second of levels 3, 3.1, 4 and 5 (H.264, table A-1)."""


def baseline_profile(width: int, height: int, fps: float) -> str:
    """
    The constrained baseline ``profile-level-id`` that holds a picture of this size and rate.
    """
    blocks = -(-width // 16) * -(-height // 16)
    for frame_limit, rate_limit, level in _LEVELS:
        if blocks <= frame_limit and blocks * fps <= rate_limit:
            return f"42e0{level}"
    return "42e034"

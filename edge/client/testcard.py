"""
The test card: colour bars, a sweeping bar, a clock for people and a clock for machines.

The machine clock is a row of 40 equal cells over the whole width of the picture, in its top
twelfth. A cell is black for 0 and white for 1, most significant bit first:

- cells 0 to 31: Unix time in milliseconds when the picture was drawn, modulo 2**32, big endian;
- cells 32 to 39: CRC-8 (polynomial 0x07, initial value 0, result xor 0x55) of those four bytes.

To read it, from a canvas as from an array: take the mean brightness of the middle half of each
cell, in width and in height; halfway between the darkest and the brightest cell is the threshold;
refuse the reading if those two are less than 64 apart or if the checksum is wrong. The layout is
relative, so it survives scaling. Cells are 32 pixels wide at 1280 and 8 at 320: one or more whole
transform blocks, which survive compression.
"""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]

CLOCK_CELLS = 40
CLOCK_ROWS = 12
"""The clock takes one of this many equal rows, the topmost."""

_MIN_CONTRAST = 64
_BLACK, _WHITE, _GRAY = 16, 235, 128

# 75 % colour bars as (Y, Cb, Cr), BT.709 limited range (ITU-R BT.709, items 3 and 4).
_BARS = (
    (180, 128, 128),
    (168, 44, 136),
    (145, 147, 44),
    (133, 63, 52),
    (63, 193, 204),
    (51, 109, 212),
    (28, 212, 120),
)

_DIGITS = {
    "0": (14, 17, 19, 21, 25, 17, 14),
    "1": (4, 12, 4, 4, 4, 4, 14),
    "2": (14, 17, 1, 2, 4, 8, 31),
    "3": (31, 2, 4, 2, 1, 17, 14),
    "4": (2, 6, 10, 18, 31, 2, 2),
    "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (6, 8, 16, 30, 17, 17, 14),
    "7": (31, 1, 2, 4, 8, 8, 8),
    "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 2, 12),
    ":": (0, 4, 4, 0, 4, 4, 0),
    ".": (0, 0, 0, 0, 0, 12, 12),
}
"""Five by seven dots, one number per row, most significant bit leftmost."""


def checksum(word: int) -> int:
    """
    The eight check bits of a 32-bit clock word.
    """
    crc = 0
    for byte in word.to_bytes(4, "big"):
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc ^ 0x55


def clock_bits(wall_ms: int) -> list[int]:
    """
    The 40 cells for a time, left to right.
    """
    word = wall_ms & 0xFFFFFFFF
    code = word << 8 | checksum(word)
    return [code >> shift & 1 for shift in range(CLOCK_CELLS - 1, -1, -1)]


def read_clock(picture: npt.NDArray[np.generic]) -> int | None:
    """
    The time shown by the machine clock in milliseconds modulo 2**32, or ``None`` if unreadable.

    Takes brightness as (height, width) or colour as (height, width, 3 or 4).
    """
    if picture.ndim not in (2, 3) or picture.shape[1] < CLOCK_CELLS:
        return None
    height = picture.shape[0] / CLOCK_ROWS
    band = picture[int(height / 4) : max(int(height / 4) + 1, int(height * 3 / 4))]
    gray = band.astype(np.float32)
    if gray.ndim == 3:
        gray = gray[:, :, :3].mean(axis=2)
    row = gray.mean(axis=0)
    cell = len(row) / CLOCK_CELLS
    starts = [int((index + 0.25) * cell) for index in range(CLOCK_CELLS)]
    levels = [float(row[at : at + max(1, int(cell / 2))].mean()) for at in starts]
    low, high = min(levels), max(levels)
    if high - low < _MIN_CONTRAST:
        return None
    code = 0
    for level in levels:
        code = code << 1 | (level > (low + high) / 2)
    word = code >> 8
    return word if checksum(word) == code & 0xFF else None


def clock_delay_ms(shown_ms: int, wall_s: float) -> int:
    """
    Age of a picture whose clock shows ``shown_ms``, at ``wall_s``; negative if clocks disagree.
    """
    return (int(wall_s * 1000) - shown_ms + (1 << 31)) % (1 << 32) - (1 << 31)


class TestCard:
    """
    A picture in planar YUV 4:2:0 that is changed in place, so that drawing costs almost nothing.

    ``planes`` are the arrays to show after each `draw`: Y, then Cb and Cr at half the size. A strip
    of grain that never repeats itself from one picture to the next makes encoders use the bit rate
    they were given, as a camera does.
    """

    __test__ = False

    def __init__(self, width: int, height: int) -> None:
        self.planes = _background(width, height)
        self._width, self._height = width, height
        self._band = slice(height * 4 // 12, height * 6 // 12)
        self._band_background = self.planes[0][self._band].copy()
        self._bar_width = max(2, width // 40)
        self._bar_at = 0
        scale = max(1, height // 90)
        self._glyphs = {char: _glyph(rows, scale) for char, rows in _DIGITS.items()}
        self._text_at = (height * 8 // 12, (width - 12 * 6 * scale) // 2)
        self._text = " " * 12
        self._grain_at = slice(height * 20 // 24, height * 21 // 24)
        self._grain = _grain(self._grain_at.stop - self._grain_at.start, width)
        self._drawn = 0
        edges = [width * index // CLOCK_CELLS for index in range(CLOCK_CELLS + 1)]
        self._cell_of_column = np.repeat(np.arange(CLOCK_CELLS), np.diff(edges))

    def draw(self, wall_s: float) -> None:
        """
        Show the time given (Unix seconds).
        """
        luma = self.planes[0]
        cells = (
            np.array(clock_bits(int(wall_s * 1000)), dtype=np.uint8) * (_WHITE - _BLACK) + _BLACK
        )
        luma[: self._height // CLOCK_ROWS] = cells[self._cell_of_column]
        band = luma[self._band]
        old = slice(self._bar_at, self._bar_at + self._bar_width)
        band[:, old] = self._band_background[:, old]
        # One sweep in four seconds.
        self._bar_at = int(wall_s % 4 / 4 * (self._width - self._bar_width))
        band[:, self._bar_at : self._bar_at + self._bar_width] = _WHITE
        luma[self._grain_at] = self._grain[self._drawn % len(self._grain)]
        self._drawn += 1
        self._write(
            time.strftime("%H:%M:%S", time.gmtime(wall_s)) + f".{int(wall_s * 1000) % 1000:03}"
        )

    def _write(self, text: str) -> None:
        top, left = self._text_at
        for index, char in enumerate(text):
            if char != self._text[index]:
                glyph = self._glyphs[char]
                height, width = glyph.shape
                at = left + index * width
                self.planes[0][top : top + height, at : at + width] = glyph
        self._text = text


def _grain(height: int, width: int) -> list[Gray]:
    # The seed is fixed: the same card on every run. Seven is no multiple of usual reference counts.
    random = np.random.default_rng(1)
    return [random.integers(98, 158, (height, width), dtype=np.uint8) for _ in range(7)]


def _glyph(rows: tuple[int, ...], scale: int) -> Gray:
    dots = [[row >> bit & 1 for bit in (4, 3, 2, 1, 0)] + [0] for row in rows]
    levels = np.array(dots, dtype=np.uint8) * (_WHITE - _BLACK) + _BLACK
    return np.kron(levels, np.ones((scale, scale), dtype=np.uint8)).astype(np.uint8)


def _background(width: int, height: int) -> tuple[Gray, Gray, Gray]:
    bar_of_column = np.arange(width) * len(_BARS) // width
    planes = []
    for component, divisor in ((0, 1), (1, 2), (2, 2)):
        levels = np.array([bar[component] for bar in _BARS], dtype=np.uint8)[
            bar_of_column[::divisor]
        ]
        planes.append(np.tile(levels, (height // divisor, 1)))
    luma, cb, cr = planes
    _gradient(luma, cb, cr)
    for plane, divisor, clock, box in (
        (luma, 1, _BLACK, _BLACK),
        (cb, 2, _GRAY, _GRAY),
        (cr, 2, _GRAY, _GRAY),
    ):
        rows = height // divisor
        plane[: -(-(height // CLOCK_ROWS) // divisor)] = clock
        plane[rows * 15 // 24 : rows * 19 // 24] = box
    return luma, cb, cr


def _gradient(luma: Gray, cb: Gray, cr: Gray) -> None:
    """
    A grey ramp at the bottom, where banding shows.
    """
    rows, columns = luma.shape
    ramp = np.linspace(_BLACK, _WHITE, columns).astype(np.uint8)
    luma[rows * 21 // 24 :] = ramp
    for plane in (cb, cr):
        plane[rows * 21 // 48 :] = _GRAY

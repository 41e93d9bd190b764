/**
 * The machine-readable clock of the test card: a row of 40 cells over the whole width, in the
 * picture's top twelfth, black for 0 and white for 1, most significant bit first. Cells 0 to 31 are
 * Unix milliseconds modulo 2^32, cells 32 to 39 their CRC-8 (polynomial 0x07, result xor 0x55).
 */

export const CELLS = 40;
/** The clock takes one of this many equal rows, the topmost. */
export const ROWS = 12;

const MIN_CONTRAST = 64;
const WORD = 2 ** 32;

/** Brightness of pixels, four bytes each, as a canvas gives them. */
export interface Pixels {
  readonly data: Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** The cells for a time, left to right. */
export function clockBits(wallMs: number): number[] {
  const word = Math.floor(wallMs) % WORD;
  const code = BigInt(word) * 256n + BigInt(checksum(word));
  return Array.from({ length: CELLS }, (_, index) =>
    Number((code >> BigInt(CELLS - 1 - index)) & 1n),
  );
}

/**
 * The time shown, in milliseconds modulo 2^32, or null if it cannot be read. The pixels are the
 * clock's own row: the picture's top twelfth, or any horizontal strip of it.
 */
export function readClock(strip: Pixels): number | null {
  if (strip.width < CELLS || strip.height < 1) {
    return null;
  }
  const levels = Array.from({ length: CELLS }, (_, index) => cellLevel(strip, index));
  const low = Math.min(...levels);
  const high = Math.max(...levels);
  if (high - low < MIN_CONTRAST) {
    return null;
  }
  let word = 0;
  let check = 0;
  levels.forEach((level, index) => {
    const bit = level > (low + high) / 2 ? 1 : 0;
    if (index < 32) {
      word = word * 2 + bit;
    } else {
      check = check * 2 + bit;
    }
  });
  return checksum(word) === check ? word : null;
}

/** Age of a picture whose clock shows `shownMs`, at `wallMs`; negative if clocks disagree. */
export function clockDelayMs(shownMs: number, wallMs: number): number {
  const difference = (Math.floor(wallMs) % WORD) - shownMs;
  return ((((difference + WORD / 2) % WORD) + WORD) % WORD) - WORD / 2;
}

/** The eight check bits of a 32-bit clock word. */
export function checksum(word: number): number {
  let crc = 0;
  for (const shift of [24, 16, 8, 0]) {
    crc ^= (word >>> shift) & 0xff;
    for (let bit = 0; bit < 8; bit += 1) {
      crc = crc & 0x80 ? ((crc << 1) ^ 0x07) & 0xff : crc << 1;
    }
  }
  return crc ^ 0x55;
}

/** Mean brightness of the middle half of a cell, in width and in height. */
function cellLevel({ data, width, height }: Pixels, index: number): number {
  const cell = width / CELLS;
  const left = Math.floor((index + 0.25) * cell);
  const right = left + Math.max(1, Math.floor(cell / 2));
  const top = Math.floor(height / 4);
  const bottom = Math.max(top + 1, Math.floor((height * 3) / 4));
  let sum = 0;
  for (let row = top; row < bottom; row += 1) {
    for (let column = left; column < right; column += 1) {
      const at = (row * width + column) * 4;
      sum += (data[at] ?? 0) + (data[at + 1] ?? 0) + (data[at + 2] ?? 0);
    }
  }
  return sum / (3 * (right - left) * (bottom - top));
}

import assert from "node:assert/strict";
import { test } from "node:test";
import { CELLS, checksum, clockBits, clockDelayMs, readClock } from "../src/media/clock";

/** A strip as a canvas gives it, with cells of `cell` pixels. */
function strip(bits: readonly number[], cell = 8, height = 4, black = 0, white = 255) {
  const width = Math.round(cell * CELLS);
  const data = new Uint8ClampedArray(width * height * 4);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const bit = bits[Math.min(CELLS - 1, Math.floor(column / cell))];
      const level = bit === 1 ? white : black;
      data.set([level, level, level, 255], (row * width + column) * 4);
    }
  }
  return { data, width, height };
}

const NOW = 1_795_411_806_642;

test("cells are the word and its check, most significant bit first", () => {
  // Word 0x00000001: the CRC-8 of 00 00 00 01 is 07, and 07 xor 55 is 52.
  assert.equal(clockBits(1).join(""), `${"0".repeat(31)}1${"01010010"}`);
  assert.equal(checksum(0), 0x55);
});

test("the time modulo 2^32 comes back, at any scale and contrast that a codec leaves", () => {
  for (const [cell, black, white] of [
    [8, 0, 255],
    [32, 30, 200],
    [16.5, 16, 235],
    [1, 0, 255],
  ] as const) {
    assert.equal(readClock(strip(clockBits(NOW), cell, 4, black, white)), NOW % 2 ** 32);
  }
});

test("a wrong bit, low contrast and a narrow picture are refused", () => {
  const bits = clockBits(NOW);
  for (let index = 0; index < CELLS; index += 1) {
    const wrong = bits.map((bit, at) => (at === index ? 1 - bit : bit));
    assert.equal(readClock(strip(wrong)), null, `cell ${index}`);
  }
  assert.equal(readClock(strip(bits, 8, 4, 100, 150)), null);
  assert.equal(readClock({ data: new Uint8ClampedArray(39 * 4), width: 39, height: 1 }), null);
});

test("delay survives the wrap of 2^32 and may be negative", () => {
  assert.equal(clockDelayMs(NOW % 2 ** 32, NOW + 90), 90);
  assert.equal(clockDelayMs(NOW % 2 ** 32, NOW - 5), -5);
  assert.equal(clockDelayMs(2 ** 32 - 10, 2 ** 32 * 400 + 20), 30);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Receiving } from "../src/media/receiving";
import { readReceiving } from "../src/media/receiving";
import { Cushion } from "../src/player/cushion";

function reading(nacks: number, rttMs: number): Receiving {
  return { ...readReceiving(new Map(), null), nacks, rttMs };
}

test("a clean network is left to the browser", () => {
  const cushion = new Cushion();
  assert.deepEqual(
    [0, 1, 2, 3].map((nacks) => cushion.next(reading(nacks, 80))),
    [0, 0, 0, 0],
  );
});

test("a lossy one waits for the copy, and gives the delay back when it is clean again", () => {
  const cushion = new Cushion();
  assert.equal(cushion.next(reading(10, 80)), 150);
  assert.equal(cushion.next(reading(20, 40)), 150, "it does not shrink while packets are lost");
  const calm = Array.from({ length: 20 }, () => cushion.next(reading(20, 40)));
  assert.deepEqual([calm.at(-2), calm.at(-1)], [150, 0]);
  assert.equal(cushion.next(reading(40, 5000)), 400);
});

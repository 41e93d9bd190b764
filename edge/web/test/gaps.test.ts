import assert from "node:assert/strict";
import { test } from "node:test";
import { GapTracker } from "../src/media/gaps";

function steady(tracker: GapTracker, frames: number, from = 0, step = 33): number {
  for (let index = 0; index < frames; index += 1) {
    tracker.add(from + index * step, tracker.frames + 1);
  }
  return from + (frames - 1) * step;
}

test("a steady picture has no freeze", () => {
  const tracker = new GapTracker();
  steady(tracker, 300);
  assert.deepEqual([tracker.frames, tracker.freezes, tracker.longestMs], [300, 0, 33]);
  assert.equal(tracker.intervals.length, 299);
});

test("a gap of the mean and 150 ms is a freeze, a shorter one is not", () => {
  const tracker = new GapTracker();
  let at = steady(tracker, 60);
  at += 182;
  tracker.add(at, 61);
  assert.equal(tracker.freezes, 0);
  at = steady(tracker, 60, at + 33);
  tracker.add(at + 183, 122);
  assert.deepEqual([tracker.freezes, tracker.freezeMs], [1, 183]);
});

test("frames told late and together were not late", () => {
  const tracker = new GapTracker();
  const at = steady(tracker, 60);
  tracker.add(at + 330, 70);
  assert.deepEqual([tracker.frames, tracker.freezes, tracker.longestMs], [70, 0, 33]);
});

test("a pause is no gap, a change of the video is one", () => {
  const tracker = new GapTracker();
  let at = steady(tracker, 60);
  tracker.breakOff();
  assert.equal(tracker.since(at + 5000), null);
  at += 5000;
  tracker.add(at, 61);
  assert.equal(tracker.freezes, 0);
  tracker.changeSource();
  tracker.add(at + 400, 1);
  assert.deepEqual([tracker.frames, tracker.freezes, tracker.freezeMs], [62, 1, 400]);
});

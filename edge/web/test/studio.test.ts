import assert from "node:assert/strict";
import { test } from "node:test";
import { capturedAt } from "../src/media/capture";
import { readReceiving } from "../src/media/receiving";
import { readSending } from "../src/media/sending";
import { encodings, offerOnly } from "../src/studio/encodings";
import { levelDb } from "../src/studio/meter";

test("only the wanted codec is offered, of H.264 constrained baseline in several packets first", () => {
  const codecs = [
    { mimeType: "video/VP8" },
    { mimeType: "video/rtx" },
    { mimeType: "video/H264", sdpFmtpLine: "packetization-mode=1;profile-level-id=640c1f" },
    { mimeType: "video/H264", sdpFmtpLine: "packetization-mode=0;profile-level-id=42e01f" },
    { mimeType: "video/H264", sdpFmtpLine: "packetization-mode=1;profile-level-id=42e01f" },
  ];
  const offered = (codec: string) => offerOnly(codecs, codec).map((one) => codecs.indexOf(one));
  assert.deepEqual(offered("H264"), [4, 2, 3, 1]);
  assert.deepEqual(offered("VP8"), [0, 1]);
});

test("three layers are a quarter, a half and the whole, lowest first", () => {
  const picture = { width: 1280, height: 720, fps: 30 };
  assert.deepEqual(
    encodings(picture, true, "H264").map(({ rid, scaleResolutionDownBy, maxBitrate }) => [
      rid,
      scaleResolutionDownBy,
      maxBitrate,
    ]),
    [
      ["l", 4, 207_000],
      ["m", 2, 691_000],
      ["h", 1, 2_488_000],
    ],
  );
  const rids = (width: number, height: number) =>
    encodings({ width, height, fps: 30 }, true, "H264").map(({ rid }) => rid);
  assert.deepEqual(rids(960, 540), ["l", "m", "h"]);
  assert.deepEqual(rids(640, 360), ["m", "h"]);
  assert.deepEqual(rids(320, 180), [undefined]);
  const [single, ...others] = encodings(picture, false, "H264");
  assert.deepEqual([single?.rid, others.length], [undefined, 0]);
  assert.ok(encodings(picture, true, "VP9").every((layer) => "scalabilityMode" in layer));
});

test("the level of a full sine is three decibels below full scale", () => {
  const sine = Float32Array.from({ length: 4800 }, (_, at) => Math.sin((at * 2 * Math.PI) / 48));
  assert.ok(Math.abs(levelDb(sine) + 3.01) < 0.01);
  assert.equal(levelDb(new Float32Array(16)), -Infinity);
});

test("rates of a studio are differences between readings", () => {
  const reading = (at: number, bytes: number) =>
    new Map<string, unknown>([
      ["T", { type: "transport", selectedCandidatePairId: "P" }],
      ["P", { type: "candidate-pair", currentRoundTripTime: 0.02, availableOutgoingBitrate: 3e6 }],
      ["C", { type: "codec", mimeType: "video/H264" }],
      [
        "L",
        {
          id: "L",
          type: "outbound-rtp",
          kind: "video",
          rid: "l",
          frameHeight: 180,
          timestamp: at,
          bytesSent: 10,
        },
      ],
      [
        "H",
        {
          id: "H",
          type: "outbound-rtp",
          kind: "video",
          rid: "h",
          frameHeight: 720,
          timestamp: at,
          bytesSent: bytes,
          codecId: "C",
          nackCount: 2,
        },
      ],
    ]);
  const first = readSending(reading(1000, 1000), null);
  assert.equal(first.layers[0]?.bitrateBps, null);
  const second = readSending(reading(3000, 501_000), first);
  assert.deepEqual(
    second.layers.map(({ rid, bitrateBps }) => [rid, bitrateBps]),
    [
      ["h", 2_000_000],
      ["l", 0],
    ],
  );
  assert.deepEqual([second.rttMs, second.availableBps], [20, 3e6]);
});

test("figures of a player are read; what is missing is null or zero", () => {
  const reading = (at: number, bytes: number, emitted: number) =>
    new Map<string, unknown>([
      [
        "P",
        {
          type: "candidate-pair",
          selected: true,
          localCandidateId: "L",
          currentRoundTripTime: 0.005,
        },
      ],
      ["L", { type: "local-candidate", protocol: "udp" }],
      [
        "V",
        {
          type: "inbound-rtp",
          kind: "video",
          timestamp: at,
          bytesReceived: bytes,
          framesDecoded: emitted,
          jitterBufferDelay: emitted * 0.04,
          jitterBufferEmittedCount: emitted,
          packetsLost: 3,
        },
      ],
    ]);
  const first = readReceiving(reading(0, 0, 0), null);
  assert.deepEqual([first.bitrateBps, first.jitterBufferMs, first.codec], [null, null, null]);
  const second = readReceiving(reading(1000, 250_000, 30), first);
  assert.deepEqual([second.bitrateBps, second.rttMs, second.protocol], [2e6, 5, "udp"]);
  assert.ok(Math.abs((second.jitterBufferMs ?? 0) - 40) < 1e-9);
  assert.equal(readReceiving(new Map(), null).rttMs, null);
});

test("a picture's capture time follows from its neighbour's, also over the wrap of timestamps", () => {
  const source = { captureTimestamp: 4_004_401_279_456, rtpTimestamp: 0xffffff00 };
  assert.equal(capturedAt(source, 0xffffff00 - 9000), 1_795_412_479_356);
  assert.equal(capturedAt(source, 9000 - 256), 1_795_412_479_556);
  assert.equal(capturedAt({ rtpTimestamp: 1 }, 1), null);
  assert.equal(capturedAt(undefined, 1), null);
});

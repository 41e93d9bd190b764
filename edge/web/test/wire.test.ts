import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff, LONGEST_DELAY_MS, sleep } from "../src/wire/backoff";
import { restartedAnswer, restartFragment } from "../src/wire/fragment";
import { EVENTS_RELATION, iceServers, LAYER_RELATION, linkTo, parseLinks } from "../src/wire/link";
import { parseNotice } from "../src/wire/notices";
import { inWords, isRetryable, problemOf, retryAfterSeconds } from "../src/wire/problem";

test("links of a session and of ICE servers are read from one header", () => {
  const links = parseLinks(
    '</whep/demo/x/events>; rel="urn:ietf:params:whep:ext:core:server-sent-events"; events="active,layers", ' +
      `</whep/demo/x/layer>;rel="${LAYER_RELATION}", ` +
      '<turn:a.example:3478?transport=udp>; rel="ice-server"; username="u, \\"v\\""; credential="p"',
  );
  assert.equal(linkTo(links, EVENTS_RELATION), "/whep/demo/x/events");
  assert.equal(linkTo(links, LAYER_RELATION), "/whep/demo/x/layer");
  assert.equal(linkTo(links, "other"), null);
  assert.deepEqual(iceServers(links), [
    { urls: "turn:a.example:3478?transport=udp", username: 'u, "v"', credential: "p" },
  ]);
  assert.deepEqual(parseLinks(null), []);
});

test("delays grow to the longest, are spread, and never undercut Retry-After", () => {
  const backoff = new Backoff(() => 1);
  assert.deepEqual(
    [1, 2, 3].map(() => backoff.next()),
    [500, 1000, 2000],
  );
  for (let index = 0; index < 10; index += 1) {
    backoff.next();
  }
  assert.equal(backoff.next(), LONGEST_DELAY_MS);
  backoff.reset();
  assert.ok(backoff.next(3) >= 3000);
  assert.equal(new Backoff(() => 0).next(), 250);
});

test("an aborted sleep ends at once", async () => {
  const run = new AbortController();
  const slept = sleep(60_000, run.signal);
  run.abort();
  await slept;
  await sleep(60_000, run.signal);
});

test("a problem document becomes words, and its code decides on a retry", async () => {
  const problem = (status: number, body: unknown, headers: Record<string, string> = {}) =>
    problemOf(new Response(JSON.stringify(body), { status, headers }));
  const away = await problem(
    404,
    { code: "stream_not_found", detail: "no demo", retryable: true },
    { "Retry-After": "2" },
  );
  assert.deepEqual([away.retryAfterS, isRetryable(away)], [2, true]);
  assert.equal(inWords(away), "The stream is not live yet.");
  const strange = await problem(422, { code: "new_code", detail: "mid is missing" });
  assert.deepEqual([inWords(strange), isRetryable(strange)], ["Mid is missing.", false]);
  const proxy = await problemOf(new Response("<html>", { status: 502, statusText: "Bad Gateway" }));
  assert.deepEqual([inWords(proxy), isRetryable(proxy)], ["Bad Gateway.", true]);
  assert.equal(inWords(new TypeError("Failed to fetch")), "The edge cannot be reached.");
  assert.equal(retryAfterSeconds(new Date(5000).toUTCString(), 2000), 3);
  assert.equal(retryAfterSeconds("soon", 0), 0);
});

const OFFER = [
  "v=0",
  "a=group:BUNDLE 0 1",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "a=ice-ufrag:new",
  "a=ice-pwd:newpassword",
  "a=ice-options:trickle",
  "a=mid:0",
  "m=video 9 UDP/TLS/RTP/SAVPF 96",
  "a=ice-ufrag:new",
  "a=ice-pwd:newpassword",
  "a=mid:1",
  "",
].join("\r\n");

const ANSWER = [
  "v=0",
  "a=ice-lite",
  "m=audio 8189 UDP/TLS/RTP/SAVPF 111",
  "a=candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host",
  "a=end-of-candidates",
  "a=ice-ufrag:old",
  "a=ice-pwd:oldpassword",
  "a=mid:0",
  "",
].join("\r\n");

test("a restart fragment has the new credentials in the first section", () => {
  assert.equal(
    restartFragment(OFFER),
    "a=ice-options:trickle\r\na=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" +
      "a=mid:0\r\na=ice-ufrag:new\r\na=ice-pwd:newpassword\r\n",
  );
});

test("the restarted answer takes credentials and candidates of the reply", () => {
  const reply =
    "a=ice-ufrag:fresh\r\na=ice-pwd:freshpassword\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n" +
    "a=candidate:1 1 udp 2130706431 192.0.2.2 8189 typ host\r\na=end-of-candidates\r\n";
  const answer = restartedAnswer(ANSWER, reply);
  assert.ok(answer.includes("a=ice-ufrag:fresh\r\na=ice-pwd:freshpassword\r\n"));
  assert.ok(!answer.includes("old") && !answer.includes("192.0.2.1"));
  assert.equal(answer.match(/a=candidate:/g)?.length, 1);
  assert.ok(restartedAnswer(ANSWER, "a=ice-ufrag:f\r\na=ice-pwd:p\r\n").includes("192.0.2.1"));
  assert.throws(() => restartedAnswer(ANSWER, "a=ice-lite\r\n"));
});

test("events are read, best layer first, and what is unknown is passed over", () => {
  const layers = parseNotice(
    "layers",
    '{"1":[{"rid":"l","spatialLayerId":0,"width":320,"height":180,"fps":30},' +
      '{"rid":"h","spatialLayerId":2,"bitrate":2500000,"width":1280,"height":720,"fps":30}]}',
  );
  assert.ok(layers?.type === "layers");
  assert.equal(layers.mediaId, "1");
  assert.deepEqual(
    layers.layers.map(({ rid, bitrate }) => [rid, bitrate]),
    [
      ["h", 2_500_000],
      ["l", 0],
    ],
  );
  assert.deepEqual(parseNotice("viewercount", '{"viewercount":3}'), {
    type: "viewercount",
    viewers: 3,
  });
  assert.deepEqual(parseNotice("reconnect", "{}"), { type: "reconnect" });
  for (const [type, data] of [
    ["viewercount", "[]"],
    ["layers", "not json"],
    ["layers", "{}"],
    ["scte35", "{}"],
  ] as const) {
    assert.equal(parseNotice(type, data), null);
  }
});

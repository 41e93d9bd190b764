/** What a player reads from `getStats`, as typed figures. */

export interface Receiving {
  readonly rttMs: number | null;
  readonly protocol: string | null;
  readonly codec: string | null;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly framesDecoded: number;
  readonly framesDropped: number;
  readonly freezes: number;
  readonly packetsReceived: number;
  readonly packetsLost: number;
  readonly nacks: number;
  readonly keyFrameRequests: number;
  /** Mean delay of the jitter buffer since the reading before, in milliseconds. */
  readonly jitterBufferMs: number | null;
  /** Video and audio since the reading before. */
  readonly bitrateBps: number | null;
  readonly raw: Totals;
}

/** Sums from which the next reading makes rates. */
interface Totals {
  readonly at: number;
  readonly bytes: number;
  readonly bufferDelayS: number;
  readonly buffered: number;
}

type Entry = Readonly<Record<string, unknown>>;

/** Read a report; `before` is the reading before, for rates. */
export function readReceiving(
  report: ReadonlyMap<string, unknown>,
  before: Receiving | null,
): Receiving {
  const entries = [...report.values()] as Entry[];
  const video = entries.find((entry) => isInbound(entry, "video")) ?? {};
  const audio = entries.find((entry) => isInbound(entry, "audio")) ?? {};
  const pair = selectedPair(report, entries);
  const local = lookup(report, pair.localCandidateId);
  const rtt = pair.currentRoundTripTime;
  const mime = lookup(report, video.codecId).mimeType;
  const raw: Totals = {
    at: number(video.timestamp ?? audio.timestamp),
    bytes: number(video.bytesReceived) + number(audio.bytesReceived),
    bufferDelayS: number(video.jitterBufferDelay),
    buffered: number(video.jitterBufferEmittedCount),
  };
  return {
    rttMs: typeof rtt === "number" ? rtt * 1000 : null,
    protocol: typeof local.protocol === "string" ? local.protocol : null,
    codec: typeof mime === "string" ? mime.replace(/^video\//, "") : null,
    width: number(video.frameWidth),
    height: number(video.frameHeight),
    fps: number(video.framesPerSecond),
    framesDecoded: number(video.framesDecoded),
    framesDropped: number(video.framesDropped),
    freezes: number(video.freezeCount),
    packetsReceived: number(video.packetsReceived) + number(audio.packetsReceived),
    packetsLost: number(video.packetsLost) + number(audio.packetsLost),
    nacks: number(video.nackCount),
    keyFrameRequests: number(video.pliCount) + number(video.firCount),
    jitterBufferMs: jitterBufferMs(raw, before?.raw),
    bitrateBps: bitrateBps(raw, before?.raw),
    raw,
  };
}

/** The candidate pair in use; Firefox names it by `selected`, the standard by the transport. */
export function selectedPair(report: ReadonlyMap<string, unknown>, entries: Entry[]): Entry {
  const transport = entries.find((entry) => entry.type === "transport");
  return transport?.selectedCandidatePairId === undefined
    ? (entries.find((entry) => entry.type === "candidate-pair" && entry.selected) ?? {})
    : lookup(report, transport.selectedCandidatePairId);
}

/** A statistic that may be missing. */
export function number(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

function isInbound(entry: Entry, kind: string): boolean {
  return entry.type === "inbound-rtp" && entry.kind === kind;
}

function lookup(report: ReadonlyMap<string, unknown>, id: unknown): Entry {
  return (typeof id === "string" ? (report.get(id) as Entry | undefined) : undefined) ?? {};
}

function jitterBufferMs(now: Totals, before: Totals | undefined): number | null {
  const frames = now.buffered - (before?.buffered ?? 0);
  return frames > 0 ? ((now.bufferDelayS - (before?.bufferDelayS ?? 0)) / frames) * 1000 : null;
}

function bitrateBps(now: Totals, before: Totals | undefined): number | null {
  const seconds = before === undefined ? 0 : (now.at - before.at) / 1000;
  const bytes = now.bytes - (before?.bytes ?? 0);
  return seconds > 0 && bytes >= 0 ? (bytes * 8) / seconds : null;
}

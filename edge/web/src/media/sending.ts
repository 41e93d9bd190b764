/** What a studio reads from `getStats`, as typed figures. */

import { number, selectedPair } from "./receiving";

export interface SendingLayer {
  readonly rid: string;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly bitrateBps: number | null;
  /** Why the browser sends less than it was asked for; "none" if it does not. */
  readonly limitedBy: string;
  readonly nacks: number;
  readonly keyFrameRequests: number;
}

export interface Sending {
  readonly layers: readonly SendingLayer[];
  readonly audioBitrateBps: number | null;
  readonly codec: string | null;
  readonly rttMs: number | null;
  readonly availableBps: number | null;
  readonly packetsLost: number;
  /** Bytes of each stream, for the next reading. */
  readonly raw: ReadonlyMap<string, { readonly at: number; readonly bytes: number }>;
}

type Entry = Readonly<Record<string, unknown>>;

/** Read a report; `before` is the reading before, for rates. */
export function readSending(report: ReadonlyMap<string, unknown>, before: Sending | null): Sending {
  const entries = [...report.values()] as Entry[];
  const outbound = entries.filter((entry) => entry.type === "outbound-rtp");
  const video = outbound.filter((entry) => entry.kind === "video");
  const audio = outbound.find((entry) => entry.kind === "audio");
  const pair = selectedPair(report, entries);
  const codec = report.get(String(video[0]?.codecId)) as Entry | undefined;
  const remote = entries.filter((entry) => entry.type === "remote-inbound-rtp");
  return {
    layers: video
      .map((entry) => readLayer(entry, before))
      .sort((one, other) => other.height - one.height),
    audioBitrateBps: audio === undefined ? null : rate(audio, before),
    codec: typeof codec?.mimeType === "string" ? codec.mimeType.replace(/^video\//, "") : null,
    rttMs: milliseconds(pair.currentRoundTripTime),
    availableBps: (pair.availableOutgoingBitrate as number | undefined) ?? null,
    packetsLost: remote.reduce((sum, entry) => sum + number(entry.packetsLost), 0),
    raw: new Map(
      outbound.map((entry) => [
        String(entry.id),
        { at: number(entry.timestamp), bytes: number(entry.bytesSent) },
      ]),
    ),
  };
}

function readLayer(entry: Entry, before: Sending | null): SendingLayer {
  return {
    rid: typeof entry.rid === "string" ? entry.rid : "",
    width: number(entry.frameWidth),
    height: number(entry.frameHeight),
    fps: number(entry.framesPerSecond),
    bitrateBps: rate(entry, before),
    limitedBy: String(entry.qualityLimitationReason ?? "none"),
    nacks: number(entry.nackCount),
    keyFrameRequests: number(entry.pliCount) + number(entry.firCount),
  };
}

function rate(entry: Entry, before: Sending | null): number | null {
  const last = before?.raw.get(String(entry.id));
  const seconds = last === undefined ? 0 : (number(entry.timestamp) - last.at) / 1000;
  return seconds > 0 ? ((number(entry.bytesSent) - (last?.bytes ?? 0)) * 8) / seconds : null;
}

function milliseconds(seconds: unknown): number | null {
  return typeof seconds === "number" ? seconds * 1000 : null;
}

/** Events of a WHEP session, as server-sent events bring them (draft-ietf-wish-whep, section 4.9.1). */

export interface VideoLayer {
  /** Empty without simulcast. */
  readonly rid: string;
  /** 0 is the lowest quality. */
  readonly rank: number;
  readonly width: number;
  readonly height: number;
  /** Bits per second, 0 while the studio does not send it. */
  readonly bitrate: number;
  readonly fps: number;
}

export type Notice =
  | { readonly type: "active" | "inactive" | "reconnect" }
  | { readonly type: "viewercount"; readonly viewers: number }
  | { readonly type: "layers"; readonly mediaId: string; readonly layers: readonly VideoLayer[] };

export const NOTICE_TYPES = ["active", "inactive", "layers", "reconnect", "viewercount"] as const;

/** Read one event; null for what is not understood. */
export function parseNotice(type: string, data: string): Notice | null {
  switch (type) {
    case "active":
    case "inactive":
    case "reconnect":
      return { type };
    case "viewercount": {
      const viewers = record(parse(data)).viewercount;
      return typeof viewers === "number" ? { type, viewers } : null;
    }
    case "layers":
      return parseLayers(record(parse(data)));
    default:
      return null;
  }
}

function parseLayers(body: Record<string, unknown>): Notice | null {
  const entry = Object.entries(body).find(([, value]) => Array.isArray(value));
  if (entry === undefined) {
    return null;
  }
  const [mediaId, list] = entry;
  const layers = (list as unknown[])
    .map((item) => record(item))
    .map((item, index) => ({
      rid: String(item.rid ?? item.encodingId ?? ""),
      rank: count(item.spatialLayerId ?? index),
      width: count(item.width),
      height: count(item.height),
      bitrate: count(item.bitrate),
      fps: count(item.fps),
    }))
    .sort((one, other) => other.rank - one.rank);
  return { type: "layers", mediaId, layers };
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function count(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

/** Operations of an edge: what is there, and tiers. */

import { problemOf } from "./problem";
import { bearer } from "./resource";

export interface StreamRow {
  readonly stream: string;
  readonly state?: string;
  readonly tier?: number;
  readonly viewers?: number;
  readonly tracks?: readonly { readonly kind: string; readonly codec: string }[];
  readonly layers?: readonly LayerRow[];
}

export interface LayerRow {
  readonly rid: string;
  readonly width: number;
  readonly height: number;
  readonly bitrate_bps: number;
  readonly fps: number;
  readonly active: boolean;
}

export interface SessionRow {
  readonly session: string;
  readonly stream: string;
  readonly role?: string;
  readonly protocol?: string;
  readonly state?: string;
  readonly age_s?: number;
  readonly path?: readonly string[] | string | null;
  readonly layer?: string | null;
}

/** Every stream. Throws EdgeProblem, TypeError without a network. */
export async function listStreams(token: string | null): Promise<StreamRow[]> {
  return rows<StreamRow>(await call("/v1/streams", "GET", token), "streams");
}

/** Every session. Throws as `listStreams`. */
export async function listSessions(token: string | null): Promise<SessionRow[]> {
  return rows<SessionRow>(await call("/v1/sessions", "GET", token), "sessions");
}

/** Set the tier of a stream, or of all with null. Throws as `listStreams`. */
export async function setTier(
  token: string | null,
  stream: string | null,
  tier: number,
): Promise<void> {
  await call("/v1/tier", "PUT", token, stream === null ? { tier } : { tier, stream });
}

async function call(
  path: string,
  method: string,
  token: string | null,
  body?: unknown,
): Promise<unknown> {
  const response = await fetch(path, {
    method,
    headers: {
      ...bearer(token),
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    cache: "no-store",
  });
  if (!response.ok) {
    throw await problemOf(response);
  }
  return response.json();
}

function rows<T extends { readonly stream: string }>(body: unknown, name: string): T[] {
  const list = (body as Record<string, unknown> | null)?.[name];
  return Array.isArray(list) ? list.filter((row): row is T => typeof row?.stream === "string") : [];
}

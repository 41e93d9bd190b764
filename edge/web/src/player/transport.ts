/** How media reaches the page. WHEP is one way; others fit behind the same few members. */

import type { Receiving } from "../media/receiving";
import type { Notice } from "../wire/notices";
import type { LinkState } from "../wire/recovery";

export type TransportState = LinkState;

export interface TransportEvents {
  onstate(state: TransportState, reason: string): void;
  onnotice(notice: Notice): void;
}

export interface Transport {
  /** Where the edge keeps this session, if it does. */
  readonly sessionUrl: string | null;
  /** Begin to play into a video. Throws EdgeProblem or TypeError where there is nothing to play. */
  start(video: HTMLVideoElement, signal: AbortSignal): Promise<void>;
  /** End the session; also usable while the page goes away. Idempotent. */
  stop(): void;
  /** Choose a layer by RID, or null for the edge's choice. Throws EdgeProblem. */
  selectLayer(rid: string | null): Promise<void>;
  /** Unix milliseconds, by the studio's clock, when a picture was captured; null if unknown. */
  capturedAt(rtpTimestamp: number): number | null;
  /** Figures since the last call; null where there are none. */
  figures(): Promise<Receiving | null>;
}

export interface TransportRequest {
  readonly stream: string;
  readonly token: string | null;
  /** Seconds the edge may wait for a publisher before it refuses. */
  readonly waitS: number;
}

export type OpenTransport = (request: TransportRequest, events: TransportEvents) => Transport;

/** What is known of playback, for the overlay and for tests (`window.edgePlayer.stats()`). */

import type { Receiving } from "../media/receiving";

export type PlayerState =
  | "idle"
  | "connecting"
  | "playing"
  /** There is nothing to play yet, or not any more. */
  | "waiting"
  /** Picture lost; being repaired or joined again. */
  | "recovering"
  | "paused"
  /** Refused for good: only the person can change that. */
  | "failed";

export interface PlayerStats {
  readonly state: PlayerState;
  readonly words: string;
  readonly stream: string;
  /** From the click, or from the start of the page's load, to the first rendered frame. */
  readonly joinMs: number | null;
  /** The first join and every rejoin; a rejoin begins with its own attempt. */
  readonly joins: readonly number[];
  readonly framesRendered: number;
  /** Milliseconds between rendered frames. */
  readonly gaps: readonly number[];
  readonly freezes: number;
  readonly freezeMs: number;
  readonly longestGapMs: number;
  readonly captureDelayMs: number | null;
  readonly cardDelayMs: number | null;
  /** RID chosen by the person, null for the edge's choice. */
  readonly layer: string | null;
  readonly sessionUrl: string | null;
  readonly receiving: Receiving | null;
}

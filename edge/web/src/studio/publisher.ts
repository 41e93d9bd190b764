/** Keeps one source published: starts, and starts again with backoff when the session is lost. */

import type { Sending } from "../media/sending";
import { Backoff, sleep } from "../wire/backoff";
import { EdgeProblem, inWords, isRetryable } from "../wire/problem";
import type { LinkState } from "../wire/recovery";
import { Publication, type PublicationRequest } from "./whip";

export type PublisherState = "idle" | "connecting" | "live" | "recovering" | "failed";

export interface PublisherStats {
  readonly state: PublisherState;
  readonly words: string;
  readonly stream: string;
  /** Sessions that connected. */
  readonly sessions: number;
  readonly sessionUrl: string | null;
  readonly liveSince: number | null;
  readonly sending: Sending | null;
}

export class Publisher {
  readonly #backoff = new Backoff();
  #run: AbortController | null = null;
  #publication: Publication | null = null;
  #state: PublisherState = "idle";
  #words = "";
  #stream = "";
  #sessions = 0;
  #liveSince: number | null = null;
  #sending: Sending | null = null;

  constructor(private readonly onstate: (state: PublisherState, words: string) => void) {}

  publish(request: PublicationRequest): void {
    this.stop();
    this.#stream = request.stream;
    this.#run = new AbortController();
    void this.#keepPublishing(request, this.#run.signal);
  }

  /** End the session; also usable while the page goes away. */
  stop(): void {
    this.#run?.abort();
    this.#run = null;
    this.#publication?.stop();
    this.#publication = null;
    this.#sending = null;
    this.#liveSince = null;
    this.#setState("idle", "");
  }

  /** Once a second: read figures. */
  async tick(): Promise<void> {
    this.#sending = (await this.#publication?.figures()) ?? null;
  }

  stats(): PublisherStats {
    return {
      state: this.#state,
      words: this.#words,
      stream: this.#stream,
      sessions: this.#sessions,
      sessionUrl: this.#publication?.sessionUrl ?? null,
      liveSince: this.#liveSince,
      sending: this.#sending,
    };
  }

  async #keepPublishing(request: PublicationRequest, run: AbortSignal): Promise<void> {
    this.#backoff.reset();
    this.#setState("connecting", "Connecting to the edge");
    while (!run.aborted) {
      const publication = new Publication(request, (state, reason) => this.#changed(state, reason));
      this.#publication = publication;
      let retryAfterS = 0;
      try {
        await publication.start();
        await publication.ended();
      } catch (error) {
        publication.stop();
        if (run.aborted) {
          return;
        }
        if (!isRetryable(error)) {
          this.#setState("failed", inWords(error));
          return;
        }
        retryAfterS = error instanceof EdgeProblem ? error.retryAfterS : 0;
        this.#setState("recovering", `${inWords(error)} Trying again.`);
      }
      await sleep(this.#backoff.next(retryAfterS), run);
    }
  }

  #changed(state: LinkState, reason: string): void {
    if (state === "connected") {
      this.#backoff.reset();
      this.#sessions += 1;
      this.#liveSince ??= performance.now();
      this.#setState("live", "");
    } else if (state === "recovering" || state === "lost") {
      this.#setState("recovering", `Reconnecting: ${reason}`);
    }
  }

  #setState(state: PublisherState, words: string): void {
    if (state !== this.#state || words !== this.#words) {
      this.#state = state;
      this.#words = words;
      this.onstate(state, words);
    }
  }
}

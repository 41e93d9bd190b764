/** A WHIP or WHEP session as an HTTP resource (RFC 9725, section 4.2). */

import { type Link, linkTo, parseLinks } from "./link";
import { problemOf } from "./problem";

export class SessionResource {
  private constructor(
    readonly url: URL,
    readonly answer: string,
    readonly links: readonly Link[],
    /** Whether ICE may be restarted: without an ETag it may not (RFC 9725, section 4.3.1). */
    readonly restartable: boolean,
    private readonly token: string | null,
  ) {}

  /** Post an offer. Throws EdgeProblem when refused, TypeError without a network. */
  static async create(
    endpoint: URL,
    offer: string,
    token: string | null,
    signal: AbortSignal,
  ): Promise<SessionResource> {
    const post = (url: URL | string) =>
      fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/sdp", ...bearer(token) },
        body: offer,
        signal,
      });
    let response = await post(endpoint);
    if (response.status === 401 && response.redirected && token !== null) {
      // Browsers drop Authorization on the way to another edge.
      response = await post(response.url);
    }
    if (response.status !== 201) {
      throw await problemOf(response);
    }
    const location = response.headers.get("Location");
    if (location === null) {
      throw new Error("The edge named no session");
    }
    return new SessionResource(
      new URL(location, response.url),
      await response.text(),
      parseLinks(response.headers.get("Link")),
      response.headers.has("ETag"),
      token,
    );
  }

  /** Absolute URL of an extension, or null where the edge has none. */
  extension(relation: string): URL | null {
    const target = linkTo(this.links, relation);
    return target === null ? null : new URL(target, this.url);
  }

  /** Send a restart fragment; returns the edge's fragment. Throws EdgeProblem. */
  async restart(fragment: string, signal: AbortSignal): Promise<string> {
    const response = await fetch(this.url, {
      method: "PATCH",
      headers: {
        "Content-Type": "application/trickle-ice-sdpfrag",
        // Whatever the ETag is now: section 4.3.3.
        "If-Match": "*",
        ...bearer(this.token),
      },
      body: fragment,
      signal,
    });
    if (response.status !== 200) {
      throw await problemOf(response);
    }
    return response.text();
  }

  /** Call an extension with JSON. Throws EdgeProblem. */
  async call(url: URL, method: "POST" | "DELETE", body?: unknown): Promise<void> {
    const response = await fetch(url, {
      method,
      headers: { "Content-Type": "application/json", ...bearer(this.token) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) {
      throw await problemOf(response);
    }
  }

  /** End the session, also while the page goes away. Never throws. */
  delete(): void {
    void fetch(this.url, {
      method: "DELETE",
      headers: bearer(this.token),
      keepalive: true,
    }).catch(() => undefined);
  }
}

/** The header that carries a token, if there is one. */
export function bearer(token: string | null): Record<string, string> {
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}

/** Link headers (RFC 8288), as far as WHIP and WHEP use them. */

export interface Link {
  readonly target: string;
  readonly params: Readonly<Record<string, string>>;
}

export const LAYER_RELATION = "urn:ietf:params:whep:ext:core:layer";
export const EVENTS_RELATION = "urn:ietf:params:whep:ext:core:server-sent-events";

const ONE_LINK =
  /<([^>]*)>((?:\s*;\s*[\w!#$&+.^`|~-]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)/g;
const ONE_PARAM = /;\s*([\w!#$&+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?/g;

/** All links of a header; what is not a link is passed over. */
export function parseLinks(header: string | null): Link[] {
  return [...(header ?? "").matchAll(ONE_LINK)].map(([, target = "", params = ""]) => ({
    target,
    params: Object.fromEntries(
      [...params.matchAll(ONE_PARAM)].map(([, name = "", quoted, plain]) => [
        name.toLowerCase(),
        quoted === undefined ? (plain ?? "") : quoted.replace(/\\(.)/g, "$1"),
      ]),
    ),
  }));
}

/** The target of the first link with a relation, or null. */
export function linkTo(links: readonly Link[], relation: string): string | null {
  return links.find((link) => link.params.rel?.split(/\s+/).includes(relation))?.target ?? null;
}

/** STUN and TURN servers of `ice-server` links (RFC 9725, section 4.6). */
export function iceServers(links: readonly Link[]): RTCIceServer[] {
  return links
    .filter((link) => link.params.rel === "ice-server")
    .map(({ target, params: { username, credential } }) => ({
      urls: target,
      ...(username === undefined ? {} : { username }),
      ...(credential === undefined ? {} : { credential }),
    }));
}

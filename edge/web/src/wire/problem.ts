/** Refusals of the edge (RFC 9457 problem documents) as errors with words for people. */

export class EdgeProblem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly retryable: boolean,
    /** Seconds of Retry-After, 0 where the edge named none. */
    readonly retryAfterS: number,
  ) {
    super(detail);
    this.name = "EdgeProblem";
  }
}

const WORDS: Readonly<Record<string, string>> = {
  missing_token: "This stream needs an access token.",
  invalid_token: "The access token was not accepted.",
  expired_token: "The access token has expired.",
  scope_missing: "The access token does not allow this.",
  stream_forbidden: "The access token is for another stream.",
  stream_not_found: "The stream is not live yet.",
  stream_conflict: "Somebody else is publishing this stream.",
  node_full: "This edge is full.",
  draining: "This edge is closing for maintenance.",
  not_ready: "This edge is not ready yet.",
  too_many_requests: "Too many attempts from this network.",
  unsupported_codec: "Browser and stream have no codec in common.",
};

/** Read a refused response; never throws. */
export async function problemOf(response: Response): Promise<EdgeProblem> {
  const body = await readJson(response);
  const code = text(body.code) ?? `http_${response.status}`;
  const detail = text(body.detail) ?? text(body.title) ?? response.statusText;
  const known = body.retryable;
  const retryable = typeof known === "boolean" ? known : isTransient(response.status);
  return new EdgeProblem(
    response.status,
    code,
    detail || `The edge answered ${response.status}.`,
    retryable,
    retryAfterSeconds(response.headers.get("Retry-After"), Date.now()),
  );
}

/** What to show a person. */
export function inWords(error: unknown): string {
  if (error instanceof EdgeProblem) {
    const words = WORDS[error.code];
    return words ?? sentence(error.message);
  }
  if (error instanceof TypeError) {
    return "The edge cannot be reached.";
  }
  return sentence(error instanceof Error ? error.message : String(error));
}

/** Whether trying again can help; what is not a refusal is the network's fault and may pass. */
export function isRetryable(error: unknown): boolean {
  return error instanceof EdgeProblem ? error.retryable : true;
}

/** Retry-After in seconds: a number, or a date (RFC 9110, section 10.2.3). */
export function retryAfterSeconds(header: string | null, wallMs: number): number {
  if (header === null) {
    return 0;
  }
  const seconds = /^\s*\d+\s*$/.test(header)
    ? Number(header)
    : (Date.parse(header) - wallMs) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : 0;
}

function isTransient(status: number): boolean {
  return status >= 500 || [404, 408, 409, 425, 429].includes(status);
}

async function readJson(response: Response): Promise<Record<string, unknown>> {
  try {
    const body: unknown = await response.json();
    return typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function sentence(message: string): string {
  const first = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

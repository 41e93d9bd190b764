/** SDP fragments of an ICE restart (RFC 8840, section 9; RFC 9725, section 4.3.3). */

/** What to PATCH: the new credentials of a local offer, in the offer's first section. */
export function restartFragment(offer: string): string {
  const lines = offer.split(/\r?\n/);
  const pick = (prefix: string) => lines.find((line) => line.startsWith(prefix));
  return [
    pick("a=ice-options:"),
    pick("a=group:BUNDLE"),
    pick("m="),
    pick("a=mid:"),
    pick("a=ice-ufrag:"),
    pick("a=ice-pwd:"),
  ]
    .filter((line) => line !== undefined)
    .map((line) => `${line}\r\n`)
    .join("");
}

/** The answer to an ICE restart: the answer before, with the credentials and candidates replied. */
export function restartedAnswer(answer: string, fragment: string): string {
  const replied = fragment.split(/\r?\n/);
  const renewed = (prefix: string) => replied.find((line) => line.startsWith(prefix));
  const ufrag = renewed("a=ice-ufrag:");
  const pwd = renewed("a=ice-pwd:");
  if (ufrag === undefined || pwd === undefined) {
    throw new Error("The edge did not restart ICE");
  }
  const candidates = replied.filter(isCandidate);
  const lines: string[] = [];
  for (const line of answer.split(/\r?\n/)) {
    if (line.startsWith("a=ice-ufrag:")) {
      lines.push(ufrag);
    } else if (line.startsWith("a=ice-pwd:")) {
      // Candidates go beside the credentials: the sections that have them are the transport's own.
      lines.push(pwd, ...candidates);
    } else if (candidates.length === 0 || !isCandidate(line)) {
      lines.push(line);
    }
  }
  return lines.join("\r\n");
}

function isCandidate(line: string): boolean {
  return line.startsWith("a=candidate:") || line === "a=end-of-candidates";
}

/** The access token of this tab. It leaves the address bar, so that nobody shares it by accident. */

const KEY = "edge-token";

/** The token given by `?token=` or kept from before, or null. */
export function currentToken(): string | null {
  const url = new URL(location.href);
  const given = url.searchParams.get("token");
  if (given !== null) {
    keepToken(given);
    url.searchParams.delete("token");
    history.replaceState(history.state, "", url);
  }
  return sessionStorage.getItem(KEY);
}

/** Keep a token for this tab, or forget it when it is empty. */
export function keepToken(token: string): void {
  if (token.trim() === "") {
    sessionStorage.removeItem(KEY);
  } else {
    sessionStorage.setItem(KEY, token.trim());
  }
}

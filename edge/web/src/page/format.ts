/** Figures as people read them. A missing figure is a dash, never a zero. */

const NONE = "–";

export function milliseconds(value: number | null): string {
  return value === null ? NONE : `${Math.round(value)} ms`;
}

export function bitrate(bps: number | null): string {
  if (bps === null) {
    return NONE;
  }
  return bps >= 1e6 ? `${(bps / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bps / 1000)} kbit/s`;
}

export function resolution(width: number, height: number): string {
  return width > 0 ? `${width}×${height}` : NONE;
}

export function perSecond(value: number): string {
  return value.toFixed(value < 10 ? 1 : 0);
}

export function share(part: number, rest: number): string {
  const whole = part + rest;
  return whole > 0 ? `${part} (${((100 * part) / whole).toFixed(1)} %)` : "0";
}

export function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const [hours = 0, minutes = 0, rest = 0] = parts;
  return hours > 0
    ? `${hours}:${String(minutes).padStart(2, "0")}:${String(rest).padStart(2, "0")}`
    : `${minutes}:${String(rest).padStart(2, "0")}`;
}

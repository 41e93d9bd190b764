/** When a picture was captured, by abs-capture-time, on the studio's wall clock. */

/** NTP counts from 1900, Unix from 1970: the seconds between (RFC 868). */
const NTP_TO_UNIX_MS = 2_208_988_800_000;
const VIDEO_TICKS_PER_MS = 90;

/** What a receiver tells of the last picture it showed; the capture time is Chromium's. */
export interface CaptureSource {
  readonly captureTimestamp?: number | undefined;
  readonly rtpTimestamp: number;
}

/** Unix milliseconds at which the picture with an RTP timestamp was captured, or null. */
export function capturedAt(source: CaptureSource | undefined, rtpTimestamp: number): number | null {
  if (source?.captureTimestamp === undefined) {
    return null;
  }
  // Signed difference of 32-bit timestamps.
  const ticks = (rtpTimestamp - source.rtpTimestamp) | 0;
  return source.captureTimestamp - NTP_TO_UNIX_MS + ticks / VIDEO_TICKS_PER_MS;
}

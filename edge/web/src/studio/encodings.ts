/** What is sent: codec order, layers and their bit rates. */

export const CODECS = ["H264", "VP8", "VP9", "AV1"] as const;

export interface Capability {
  readonly mimeType: string;
  readonly sdpFmtpLine?: string;
}

/** Codecs in order of preference: the wanted one first, H.264 baseline before its other profiles. */
export function preferCodec<T extends Capability>(capabilities: readonly T[], wanted: string): T[] {
  const rank = ({ mimeType, sdpFmtpLine = "" }: T): number => {
    const isWanted = mimeType.toLowerCase() === `video/${wanted.toLowerCase()}`;
    if (!isWanted) {
      return 2;
    }
    // What every player decodes: constrained baseline, whole frames over several packets.
    const preferred =
      wanted !== "H264" ||
      (/42[ce]0/i.test(sdpFmtpLine) && sdpFmtpLine.includes("packetization-mode=1"));
    return preferred ? 0 : 1;
  };
  return [...capabilities].sort((one, other) => rank(one) - rank(other));
}

/** Bits per pixel that look clean, by how much the picture is scaled down. */
const LAYERS = [
  { rid: "l", scale: 4, bitsPerPixel: 0.12 },
  { rid: "m", scale: 2, bitsPerPixel: 0.1 },
  { rid: "h", scale: 1, bitsPerPixel: 0.09 },
] as const;

/** Encodings for a picture, lowest first: browsers fill the bit rate they have in this order. */
export function encodings(
  { width, height, fps }: { width: number; height: number; fps: number },
  simulcast: boolean,
  codec: string,
): RTCRtpEncodingParameters[] {
  const layers = LAYERS.slice(simulcast ? 0 : -1);
  return layers.map(({ rid, scale, bitsPerPixel }) => ({
    ...(simulcast ? { rid, scaleResolutionDownBy: scale } : {}),
    maxBitrate: Math.round((width * height * fps * bitsPerPixel) / scale ** 2 / 1000) * 1000,
    maxFramerate: fps,
    // Without a mode these codecs would send one spatially scalable stream instead of three.
    ...(simulcast && (codec === "VP9" || codec === "AV1") ? { scalabilityMode: "L1T2" } : {}),
  }));
}

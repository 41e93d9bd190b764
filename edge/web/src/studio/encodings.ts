/** What is sent: codec order, layers and their bit rates. */

export const CODECS = ["H264", "VP8", "VP9", "AV1"] as const;

export interface Capability {
  readonly mimeType: string;
  readonly sdpFmtpLine?: string;
}

/** Repair and redundancy: offered beside any codec. */
const COMPANIONS = /^video\/(rtx|red|ulpfec|flexfec)/i;

/**
 * What to offer: the wanted codec alone, since the edge has an order of its own and would take
 * another, and its companions. Constrained baseline comes before H.264's other profiles.
 */
export function offerOnly<T extends Capability>(capabilities: readonly T[], wanted: string): T[] {
  const named = `video/${wanted}`.toLowerCase();
  const chosen = capabilities.filter(({ mimeType }) => mimeType.toLowerCase() === named);
  return [
    ...chosen.filter(isEverywhere),
    ...chosen.filter((capability) => !isEverywhere(capability)),
    ...capabilities.filter(({ mimeType }) => COMPANIONS.test(mimeType)),
  ];
}

/** What every player decodes: constrained baseline, frames over several packets. */
function isEverywhere({ sdpFmtpLine = "" }: Capability): boolean {
  return /42[ce]0/i.test(sdpFmtpLine) && sdpFmtpLine.includes("packetization-mode=1");
}

/** Bits per pixel that look clean, by how much the picture is scaled down. */
const LAYERS = [
  { rid: "l", scale: 4, bitsPerPixel: 0.12 },
  { rid: "m", scale: 2, bitsPerPixel: 0.1 },
  { rid: "h", scale: 1, bitsPerPixel: 0.09 },
] as const;

/** Least pixels for three and for two layers: browsers send no more, and leave out the highest. */
const PIXELS_FOR_THREE = 960 * 540;
const PIXELS_FOR_TWO = 480 * 270;

/** Encodings for a picture, lowest first: browsers fill the bit rate they have in this order. */
export function encodings(
  { width, height, fps }: { width: number; height: number; fps: number },
  simulcast: boolean,
  codec: string,
): RTCRtpEncodingParameters[] {
  const pixels = width * height;
  const possible = pixels >= PIXELS_FOR_THREE ? 3 : pixels >= PIXELS_FOR_TWO ? 2 : 1;
  const count = simulcast ? possible : 1;
  return LAYERS.slice(-count).map(({ rid, scale, bitsPerPixel }) => ({
    ...(count > 1 ? { rid, scaleResolutionDownBy: scale } : {}),
    maxBitrate: Math.round((pixels * fps * bitsPerPixel) / scale ** 2 / 1000) * 1000,
    maxFramerate: fps,
    // Without a mode these codecs would send one spatially scalable stream instead of several.
    ...(count > 1 && (codec === "VP9" || codec === "AV1") ? { scalabilityMode: "L1T2" } : {}),
  }));
}

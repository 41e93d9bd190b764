/** RTP header extensions that browsers know but do not offer by themselves. */

const CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";

interface HeaderExtension {
  uri: string;
  direction: string;
}

/** Members that TypeScript's library does not have yet. */
interface Negotiable {
  getHeaderExtensionsToNegotiate?(): HeaderExtension[];
  setHeaderExtensionsToNegotiate?(extensions: HeaderExtension[]): void;
}

/** Ask for abs-capture-time, so that the delay from the camera can be told. */
export function askForCaptureTime(transceiver: RTCRtpTransceiver): void {
  const negotiable = transceiver as RTCRtpTransceiver & Negotiable;
  const known = negotiable.getHeaderExtensionsToNegotiate?.() ?? [];
  if (known.some(({ uri }) => uri === CAPTURE_TIME)) {
    negotiable.setHeaderExtensionsToNegotiate?.(
      known.map(({ uri, direction }) => ({
        uri,
        direction: uri === CAPTURE_TIME ? "sendrecv" : direction,
      })),
    );
  }
}

//! Writing one packet for one player: header, extensions, payload, padding, encryption.

use crate::codec::{Offsets, apply_offsets, red};
use crate::ring::Packet;
use crate::rtp::{ExtensionForm, HeaderFields, HeaderWriter};
use crate::spec::{Extensions, SubscriberTrack};
use crate::srtp::Outbound;
use crate::types::{Kind, Ssrc};

/// Longest dependency descriptor that is passed on.
const MAX_DESCRIPTOR: usize = 256;

/// What all packets of one outgoing track have in common.
#[derive(Debug)]
pub struct Shape {
    /// Audio or video.
    pub kind: Kind,
    /// Ids as negotiated with the player.
    ids: Extensions,
    /// One- or two-byte form (RFC 8285).
    form: ExtensionForm,
    /// MID, where negotiated.
    mid: Box<[u8]>,
    /// Playout delay: 12 bits minimum, 12 bits maximum, in 10 ms.
    playout: Option<[u8; 3]>,
    /// Payload type of media.
    payload_type: u8,
    /// Payload type of RFC 2198 redundancy, where negotiated.
    red_payload_type: Option<u8>,
    /// Media source.
    ssrc: Ssrc,
    /// Payload type and source of retransmissions, where negotiated.
    rtx: Option<(u8, Ssrc)>,
    /// A packet that is sent again has its number again, and so its nonce: it must be the same to
    /// the last bit (RFC 7714, section 8.1), without anything that depends on when it is sent.
    repeats: bool,
}

/// Numbers of one packet.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    /// Extended sequence number on the media stream.
    pub number: u64,
    /// Added to the timestamp.
    pub delta: u32,
    /// Codec-level numbers.
    pub offsets: Offsets,
    /// Extended sequence number on the RTX stream, for a repair.
    pub repair: Option<u64>,
}

impl Outgoing {
    /// A packet under its own number.
    pub fn first(number: u64, delta: u32, offsets: Offsets) -> Self {
        Outgoing {
            number,
            delta,
            offsets,
            repair: None,
        }
    }
}

/// Extension values that belong to the sending, not to the packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamp {
    /// Transport-wide sequence number.
    pub transport_cc: Option<u16>,
    /// 24-bit send time, 6.18 fixed point seconds.
    pub send_time: u32,
    /// Capture time to write with this packet.
    pub capture_time: Option<(u64, Option<i64>)>,
}

impl Shape {
    /// From the negotiated track.
    pub fn new(spec: &SubscriberTrack, playout: Option<(u16, u16)>) -> Self {
        let form = if spec.extensions.needs_two_bytes() || spec.mid.len() > 16 {
            ExtensionForm::TwoByte
        } else {
            ExtensionForm::OneByte
        };
        Shape {
            kind: spec.kind,
            ids: spec.extensions,
            form,
            mid: spec.mid.as_bytes().into(),
            playout: playout.map(playout_bytes),
            payload_type: spec.payload_type,
            red_payload_type: spec.red_payload_type,
            ssrc: Ssrc(spec.ssrc),
            rtx: spec.rtx_payload_type.zip(spec.rtx_ssrc.map(Ssrc)),
            repeats: Shape::repeats(spec),
        }
    }

    /// Whether packets of such a track are sent again under their own number.
    pub fn repeats(spec: &SubscriberTrack) -> bool {
        spec.nack && (spec.rtx_payload_type.is_none() || spec.rtx_ssrc.is_none())
    }

    /// Source of media packets.
    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// Whether repairs go on a stream of their own.
    pub fn has_rtx(&self) -> bool {
        self.rtx.is_some()
    }

    /// Whether the capture time extension was negotiated.
    pub fn wants_capture_time(&self) -> bool {
        self.ids.abs_capture_time != 0
    }

    /// Whether a capture time may be made for some of the packets.
    pub fn may_stamp(&self) -> bool {
        !self.repeats
    }

    /// Write `packet` into `space`. Returns its size, 0 when it does not fit a datagram.
    ///
    /// `pad_to` is the payload size of the frame's other packets: RTP padding makes this one as
    /// long, so that the kernel can cut one buffer into equal datagrams.
    #[inline]
    pub fn write(
        &self,
        space: &mut [u8],
        packet: &Packet,
        outgoing: Outgoing,
        stamp: Stamp,
        pad_to: usize,
        outbound: &mut Outbound,
    ) -> usize {
        self.try_write(space, packet, outgoing, stamp, pad_to, outbound)
            .unwrap_or(0)
    }

    #[inline]
    fn try_write(
        &self,
        space: &mut [u8],
        packet: &Packet,
        outgoing: Outgoing,
        stamp: Stamp,
        pad_to: usize,
        outbound: &mut Outbound,
    ) -> Option<usize> {
        let (payload, payload_type) = self.payload(packet);
        let (number, ssrc, payload_type, prefix) = match (outgoing.repair, self.rtx) {
            (Some(number), Some((payload_type, ssrc))) => (number, ssrc, payload_type, 2),
            _ => (outgoing.number, self.ssrc, payload_type, 0),
        };
        let pad_to = if self.repeats { 0 } else { pad_to };
        let padding = pad_to.saturating_sub(payload.len());
        let padding = if padding <= 255 { padding } else { 0 };
        let fields = HeaderFields {
            marker: packet.marker,
            payload_type,
            sequence: number as u16,
            timestamp: packet.timestamp.wrapping_add(outgoing.delta),
            ssrc,
            padding: padding > 0,
        };
        let header = self.write_header(space, &fields, packet, outgoing.offsets, stamp)?;
        let start = header + prefix;
        let body = start + payload.len();
        let end = body + padding;
        let total = end + outbound.overhead();
        let datagram = space.get_mut(..total)?;
        if prefix != 0 {
            let original = (outgoing.number as u16).to_be_bytes();
            datagram.get_mut(header..start)?.copy_from_slice(&original);
        }
        let copy = datagram.get_mut(start..body)?;
        copy.copy_from_slice(payload);
        apply_offsets(outgoing.offsets, &packet.info, copy, None);
        if packet.red && self.red_payload_type.is_some() {
            red::retag(copy, self.payload_type);
        }
        if padding > 0 {
            let tail = datagram.get_mut(body..end)?;
            tail.fill(0);
            *tail.last_mut()? = padding as u8;
        }
        outbound.protect_rtp(datagram, header, ssrc, number);
        Some(total)
    }

    /// What this player gets of the payload: redundancy is unwrapped where it was not negotiated.
    fn payload<'p>(&self, packet: &'p Packet) -> (&'p [u8], u8) {
        if !packet.red {
            return (&packet.payload, self.payload_type);
        }
        if let Some(payload_type) = self.red_payload_type {
            return (&packet.payload, payload_type);
        }
        let primary = red::primary(&packet.payload)
            .and_then(|(_, range)| packet.payload.get(range))
            .unwrap_or(&[]);
        (primary, self.payload_type)
    }

    #[inline]
    fn write_header(
        &self,
        space: &mut [u8],
        fields: &HeaderFields,
        packet: &Packet,
        offsets: Offsets,
        stamp: Stamp,
    ) -> Option<usize> {
        let ids = &self.ids;
        let descriptor = packet.carried.dependency_descriptor.as_deref();
        let descriptor = descriptor.filter(|_| ids.dependency_descriptor != 0);
        // A descriptor with a template structure is longer than one-byte elements can be.
        let form = match descriptor {
            Some(long) if long.len() > 16 => ExtensionForm::TwoByte,
            _ => self.form,
        };
        let mut writer = HeaderWriter::new(space, fields, form);
        if ids.mid != 0 {
            writer.extension(ids.mid, &self.mid);
        }
        if let Some(number) = stamp.transport_cc {
            writer.extension(ids.transport_cc, &number.to_be_bytes());
        }
        if ids.abs_send_time != 0 && !self.repeats {
            let [_, rest @ ..] = stamp.send_time.to_be_bytes();
            writer.extension(ids.abs_send_time, &rest);
        }
        let carried = &packet.carried;
        if let Some(level) = carried.audio_level.filter(|_| ids.audio_level != 0) {
            writer.extension(ids.audio_level, &[level]);
        }
        if let Some(rotation) = carried
            .video_orientation
            .filter(|_| ids.video_orientation != 0)
        {
            writer.extension(ids.video_orientation, &[rotation]);
        }
        if let Some(delay) = self
            .playout
            .filter(|_| ids.playout_delay != 0 && packet.info.key)
        {
            writer.extension(ids.playout_delay, &delay);
        }
        if let Some((time, offset)) = stamp.capture_time {
            let mut data = [0; 16];
            let (capture, clock) = data.split_at_mut(8);
            capture.copy_from_slice(&time.to_be_bytes());
            clock.copy_from_slice(&offset.unwrap_or(0).to_be_bytes());
            let size = if offset.is_some() { 16 } else { 8 };
            writer.extension(ids.abs_capture_time, data.get(..size)?);
        }
        if let Some(descriptor) = descriptor {
            let mut copy = [0; MAX_DESCRIPTOR];
            let copy = copy.get_mut(..descriptor.len())?;
            copy.copy_from_slice(descriptor);
            apply_offsets(offsets, &packet.info, &mut [], Some(copy));
            writer.extension(ids.dependency_descriptor, copy);
        }
        writer.finish()
    }
}

fn playout_bytes((min_ms, max_ms): (u16, u16)) -> [u8; 3] {
    let min = u32::from(min_ms / 10).min(0xfff);
    let max = u32::from(max_ms / 10).min(0xfff);
    let [_, bytes @ ..] = (min << 12 | max).to_be_bytes();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playout_delay_is_two_times_twelve_bits_of_ten_milliseconds() {
        assert_eq!(playout_bytes((100, 400)), [0x00, 0xa0, 0x28]);
    }
}

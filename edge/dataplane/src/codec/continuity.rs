//! Keeps a codec's own numbers continuous over layer switches and frames left out.
//!
//! VP8 picture ids close the gap of a frame left out: a receiver takes a gap for loss (RFC 7741,
//! section 4.2). VP9 picture ids and frame numbers of the dependency descriptor keep it: their
//! references are told as differences (RFC 9628, P_DIFF and the structure's groups of pictures),
//! which a closed gap would make wrong.

use super::{ByteNumber, FrameInfo, Numbers, PictureId};

/// How many left-out frames are remembered to number a packet that comes late.
const REMEMBERED: usize = 16;

/// What is added to the numbers of one packet; kept with it for a retransmission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// Added to the picture id, modulo its width.
    picture_id: u16,
    /// Added to the dependency descriptor's frame number.
    frame_number: u16,
    /// Added to TL0PICIDX.
    tl0: u8,
    /// Added to KEYIDX.
    keyidx: u8,
}

const _: () = assert!(
    size_of::<Offsets>() <= 12,
    "Offsets are kept per packet sent"
);

/// The last numbers a player was sent.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    /// Picture id.
    picture_id: Option<u16>,
    /// Frame number of the dependency descriptor.
    frame_number: Option<u16>,
    /// TL0PICIDX.
    tl0: Option<u8>,
    /// KEYIDX.
    keyidx: Option<u8>,
}

/// Picture ids of the source that were left out lately, oldest first in a ring.
#[derive(Clone, Copy, Debug, Default)]
struct LeftOut {
    /// The ids; `count` of them are valid, the last at `count - 1` modulo the size.
    ids: [u16; REMEMBERED],
    /// How many were ever put in.
    count: usize,
}

/// The numbers of one subscriber's track.
#[derive(Clone, Copy, Debug, Default)]
pub struct Continuity {
    /// For the newest frame.
    current: Offsets,
    /// For the packet applied last.
    applied: Offsets,
    /// The numbers of the newest frame sent.
    sent: Sent,
    /// The next packet comes from another source.
    rebase: bool,
    /// Newest picture id of the source, sent or left out.
    newest_id: Option<u16>,
    /// Newest frame number of the source.
    newest_frame: Option<u16>,
    /// Frames left out of the current source.
    left_out: LeftOut,
}

impl Continuity {
    /// Numbers pass unchanged until a switch or a frame left out.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next applied packet comes from another source: its numbers follow the last ones by 1.
    pub fn on_switch(&mut self) {
        self.rebase = true;
    }

    /// A packet of a frame that is left out; to be told once per packet or once per frame.
    pub fn on_dropped(&mut self, info: &FrameInfo) {
        let Numbers::Vp8 {
            picture_id: Some((_, wide, id)),
            ..
        } = info.numbers
        else {
            return;
        };
        let Some(newest) = self.newest_id else { return };
        if !self.rebase && is_newer(id, newest, wide) {
            self.newest_id = Some(id);
            self.left_out.push(id);
            self.current.picture_id = self.current.picture_id.wrapping_sub(1);
        }
    }

    /// Patches the numbers of a packet that is sent for the first time.
    #[inline]
    pub fn apply(
        &mut self,
        info: &FrameInfo,
        payload: &mut [u8],
        dependency_descriptor: Option<&mut [u8]>,
    ) {
        match info.numbers {
            Numbers::None => return,
            Numbers::Vp8 {
                picture_id,
                tl0,
                keyidx,
            } => self.picture(picture_id, tl0, keyidx),
            Numbers::Vp9 { picture_id, tl0 } => self.picture(picture_id, tl0, None),
            Numbers::Dependency { frame_number } => self.frame(frame_number),
        }
        apply_offsets(self.applied, info, payload, dependency_descriptor);
    }

    /// What the last `apply` added.
    pub fn offsets(&self) -> Offsets {
        self.applied
    }

    fn picture(
        &mut self,
        id: Option<PictureId>,
        tl0: Option<ByteNumber>,
        keyidx: Option<ByteNumber>,
    ) {
        if self.rebase {
            self.rebase_picture(id, tl0, keyidx);
        }
        self.applied = self.current;
        if let Some((_, wide, id)) = id {
            let newest = *self.newest_id.get_or_insert(id);
            if id == newest && self.left_out.take_back(id) {
                // Part of the frame is sent after all.
                self.current.picture_id = self.current.picture_id.wrapping_add(1);
                self.applied = self.current;
            } else if is_newer(id, newest, wide) {
                self.newest_id = Some(id);
            } else if id != newest {
                let later = self.left_out.newer_than(id, wide);
                self.applied.picture_id = self.applied.picture_id.wrapping_add(later);
                return;
            }
            self.sent.picture_id = Some(id.wrapping_add(self.current.picture_id));
        }
        self.sent.tl0 = tl0
            .map(|(_, value)| value.wrapping_add(self.current.tl0))
            .or(self.sent.tl0);
        let keyidx = keyidx.map(|(_, value)| value.wrapping_add(self.current.keyidx));
        self.sent.keyidx = keyidx.or(self.sent.keyidx);
    }

    fn rebase_picture(
        &mut self,
        id: Option<PictureId>,
        tl0: Option<ByteNumber>,
        keyidx: Option<ByteNumber>,
    ) {
        self.rebase = false;
        self.left_out = LeftOut::default();
        self.newest_id = id.map(|(_, _, id)| id);
        if let (Some((_, _, id)), Some(sent)) = (id, self.sent.picture_id) {
            self.current.picture_id = sent.wrapping_add(1).wrapping_sub(id);
        }
        if let (Some((_, value)), Some(sent)) = (tl0, self.sent.tl0) {
            self.current.tl0 = sent.wrapping_add(1).wrapping_sub(value);
        }
        if let (Some((_, value)), Some(sent)) = (keyidx, self.sent.keyidx) {
            self.current.keyidx = sent.wrapping_add(1).wrapping_sub(value);
        }
    }

    fn frame(&mut self, number: u16) {
        if self.rebase {
            self.rebase = false;
            self.newest_frame = None;
            let next = self.sent.frame_number.map(|sent| sent.wrapping_add(1));
            self.current.frame_number = next.map_or(0, |next| next.wrapping_sub(number));
        }
        self.applied = self.current;
        if self
            .newest_frame
            .is_none_or(|newest| number.wrapping_sub(newest) < 0x8000)
        {
            self.newest_frame = Some(number);
            self.sent.frame_number = Some(number.wrapping_add(self.current.frame_number));
        }
    }
}

impl LeftOut {
    fn push(&mut self, id: u16) {
        if let Some(slot) = self.ids.get_mut(self.count % REMEMBERED) {
            *slot = id;
        }
        self.count += 1;
    }

    fn valid(&self) -> &[u16] {
        self.ids
            .get(..self.count.min(REMEMBERED))
            .unwrap_or_default()
    }

    /// Removes the id when it was the last put in.
    fn take_back(&mut self, id: u16) -> bool {
        let Some(last) = self.count.checked_sub(1) else {
            return false;
        };
        let found = self.ids.get(last % REMEMBERED) == Some(&id);
        if found {
            self.count = last;
        }
        found
    }

    fn newer_than(&self, id: u16, wide: bool) -> u16 {
        let newer = self
            .valid()
            .iter()
            .filter(|&&left_out| is_newer(left_out, id, wide));
        newer.fold(0, |count, _| count + 1)
    }
}

/// Whether picture id `a` follows `b`, both of 15 bits (`wide`) or 7.
fn is_newer(a: u16, b: u16, wide: bool) -> bool {
    let mask = if wide { 0x7fff } else { 0x7f };
    let ahead = a.wrapping_sub(b) & mask;
    ahead != 0 && ahead <= mask / 2
}

/// Patches numbers in place. The values come from `info`, so doing it twice changes nothing.
#[inline]
pub fn apply_offsets(
    offsets: Offsets,
    info: &FrameInfo,
    payload: &mut [u8],
    dependency_descriptor: Option<&mut [u8]>,
) {
    match info.numbers {
        Numbers::None => {}
        Numbers::Vp8 {
            picture_id,
            tl0,
            keyidx,
        } => {
            patch_picture_id(payload, picture_id, offsets.picture_id);
            patch_byte(payload, tl0, offsets.tl0, 0xff);
            patch_byte(payload, keyidx, offsets.keyidx, 0x1f);
        }
        Numbers::Vp9 { picture_id, tl0 } => {
            patch_picture_id(payload, picture_id, offsets.picture_id);
            patch_byte(payload, tl0, offsets.tl0, 0xff);
        }
        Numbers::Dependency { frame_number } => {
            if let Some([_, high, low, ..]) = dependency_descriptor {
                [*high, *low] = frame_number
                    .wrapping_add(offsets.frame_number)
                    .to_be_bytes();
            }
        }
    }
}

#[inline]
fn patch_picture_id(payload: &mut [u8], id: Option<PictureId>, offset: u16) {
    let Some((at, wide, id)) = id else { return };
    let [high, low] = id.wrapping_add(offset).to_be_bytes();
    match payload.get_mut(usize::from(at)..) {
        Some([first, second, ..]) if wide => (*first, *second) = (0x80 | high, low),
        Some([first, ..]) if !wide => *first = low & 0x7f,
        _ => {}
    }
}

#[inline]
fn patch_byte(payload: &mut [u8], number: Option<ByteNumber>, offset: u8, mask: u8) {
    let Some((at, value)) = number else { return };
    if let Some(byte) = payload.get_mut(usize::from(at)) {
        *byte = *byte & !mask | value.wrapping_add(offset) & mask;
    }
}

#[cfg(test)]
mod tests;

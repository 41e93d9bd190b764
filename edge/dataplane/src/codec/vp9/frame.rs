//! The head of a VP9 frame (VP9 Bitstream, section 6.2).

use crate::codec::bits::Bits;

/// What the uncompressed header says.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    /// A key frame.
    Key {
        /// Profile 0 to 3.
        profile: u8,
        /// Width and height in pixels, where the header tells.
        dimensions: Option<(u16, u16)>,
    },
    /// Any other frame.
    Other {
        /// It is kept for reference.
        refreshes: bool,
    },
}

/// Parses the first bytes of a frame.
pub fn parse(frame: &[u8]) -> Option<Head> {
    let mut bits = Bits::new(frame);
    if bits.read(2)? != 2 {
        return None;
    }
    let profile = u8::from(bits.bit()?) | u8::from(bits.bit()?) << 1;
    if profile == 3 && bits.bit()? {
        return None;
    }
    if bits.bit()? {
        // show_existing_frame shows what is stored and changes no reference.
        return Some(Head::Other { refreshes: false });
    }
    let key = !bits.bit()?;
    let shown = bits.bit()?;
    let resilient = bits.bit()?;
    if key {
        return Some(Head::Key {
            profile,
            dimensions: size(&mut bits, profile),
        });
    }
    let intra_only = !shown && bits.bit()?;
    if !resilient {
        bits.skip(2)?; // reset_frame_context
    }
    if intra_only {
        bits.skip(24)?; // frame_sync_code
        if profile > 0 {
            colours(&mut bits, profile)?;
        }
    }
    Some(Head::Other {
        refreshes: bits.read(8)? != 0,
    })
}

fn size(bits: &mut Bits, profile: u8) -> Option<(u16, u16)> {
    if bits.read(24)? != 0x49_83_42 {
        return None;
    }
    colours(bits, profile)?;
    let (width, height) = (bits.read(16)?, bits.read(16)?);
    Some((
        u16::try_from(width + 1).ok()?,
        u16::try_from(height + 1).ok()?,
    ))
}

fn colours(bits: &mut Bits, profile: u8) -> Option<()> {
    const SRGB: u32 = 7;
    if profile >= 2 {
        bits.bit()?; // ten_or_twelve_bit
    }
    let subsampling_told = profile & 1 == 1;
    if bits.read(3)? == SRGB {
        return bits.skip(u32::from(subsampling_told));
    }
    bits.bit()?; // color_range
    bits.skip(if subsampling_told { 3 } else { 0 })
}

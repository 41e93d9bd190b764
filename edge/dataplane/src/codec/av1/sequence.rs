//! The AV1 sequence header (AV1 Bitstream, section 5.5).

use crate::codec::bits::Bits;

/// What matters here of a sequence header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// seq_profile.
    profile: u8,
    /// seq_level_idx of the first operating point.
    level_idx: u8,
    /// seq_tier of the first operating point.
    tier: u8,
    /// max_frame_width_minus_1 plus 1.
    pub width: u16,
    /// max_frame_height_minus_1 plus 1.
    pub height: u16,
}

impl Sequence {
    /// Format parameters of the RTP payload format, section 7.1.
    pub fn format_parameters(&self) -> String {
        format!(
            "profile={};level-idx={};tier={}",
            self.profile, self.level_idx, self.tier
        )
    }
}

/// Parses the body of a sequence header OBU.
pub fn parse(body: &[u8]) -> Option<Sequence> {
    let mut bits = Bits::new(body);
    let profile = u8::try_from(bits.read(3)?).ok()?;
    bits.bit()?; // still_picture
    let (level_idx, tier) = if bits.bit()? {
        (bits.read(5)?, false)
    } else {
        operating_points(&mut bits)?
    };
    let width_bits = bits.read(4)? + 1;
    let height_bits = bits.read(4)? + 1;
    let width = bits.read(width_bits)? + 1;
    let height = bits.read(height_bits)? + 1;
    Some(Sequence {
        profile,
        level_idx: u8::try_from(level_idx).ok()?,
        tier: u8::from(tier),
        width: u16::try_from(width).ok()?,
        height: u16::try_from(height).ok()?,
    })
}

/// Level and tier of the first operating point.
fn operating_points(bits: &mut Bits) -> Option<(u32, bool)> {
    let delay_bits = if bits.bit()? { timing(bits)? } else { None };
    let display_delay = bits.bit()?;
    let mut first = None;
    for _ in 0..=bits.read(5)? {
        bits.skip(12)?; // operating_point_idc
        let level = bits.read(5)?;
        let tier = level > 7 && bits.bit()?;
        if let Some(width) = delay_bits
            && bits.bit()?
        {
            bits.skip(2 * width + 1)?;
        }
        if display_delay && bits.bit()? {
            bits.skip(4)?;
        }
        first = first.or(Some((level, tier)));
    }
    first
}

/// Leaves out timing_info; the width of decoder delays, where there is a decoder model.
fn timing(bits: &mut Bits) -> Option<Option<u32>> {
    bits.skip(64)?;
    if bits.bit()? {
        bits.ue()?; // num_ticks_per_picture_minus_1
    }
    if !bits.bit()? {
        return Some(None);
    }
    let width = bits.read(5)? + 1;
    bits.skip(32 + 5 + 5)?;
    Some(Some(width))
}

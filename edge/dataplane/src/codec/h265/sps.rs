//! The H.265 sequence parameter set (ITU-T H.265, section 7.3.2.2), up to the reordering depth.

use crate::codec::bits::Bits;

/// What matters here of a sequence parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// general_profile_idc.
    pub profile_idc: u8,
    /// general_tier_flag.
    pub high_tier: bool,
    /// general_level_idc, thirty times the level.
    pub level_idc: u8,
    /// Width in pixels after cropping.
    pub width: u16,
    /// Height in pixels after cropping.
    pub height: u16,
    /// sps_temporal_id_nesting_flag: going up a temporal layer is allowed at any picture.
    pub temporal_nesting: bool,
    /// sps_max_num_reorder_pics of the highest sub-layer.
    pub reorder_pictures: u8,
}

impl Sps {
    /// Format parameters of RFC 7798, section 7.1.
    pub fn format_parameters(&self) -> String {
        format!(
            "profile-id={};tier-flag={};level-id={}",
            self.profile_idc,
            u8::from(self.high_tier),
            self.level_idc
        )
    }
}

/// Parses an SPS NAL unit with its two header bytes.
pub fn parse_sps(nal: &[u8]) -> Option<Sps> {
    let (&[first, _], body) = nal.split_first_chunk::<2>()?;
    (first >> 1 & 0x3f == 33).then(|| parse_body(body))?
}

/// Parses what follows the NAL header.
pub(super) fn parse_body(body: &[u8]) -> Option<Sps> {
    let mut bits = Bits::escaped(body);
    bits.skip(4)?; // sps_video_parameter_set_id
    let sub_layers = bits.read(3)?;
    let temporal_nesting = bits.bit()?;
    bits.skip(2)?; // general_profile_space
    let high_tier = bits.bit()?;
    let profile_idc = u8::try_from(bits.read(5)?).ok()?;
    bits.skip(32 + 48)?; // compatibility and constraint flags
    let level_idc = u8::try_from(bits.read(8)?).ok()?;
    skip_sub_layers(&mut bits, sub_layers)?;
    bits.ue()?; // sps_seq_parameter_set_id
    let (width, height) = dimensions(&mut bits)?;
    let reorder_pictures = reordering(&mut bits, sub_layers)?;
    Some(Sps {
        profile_idc,
        high_tier,
        level_idc,
        width,
        height,
        temporal_nesting,
        reorder_pictures,
    })
}

/// Leaves out profile and level of the lower sub-layers (section 7.3.3).
fn skip_sub_layers(bits: &mut Bits, count: u32) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    let flags = bits.read(16)?;
    for layer in 0..count {
        let told = flags >> (14 - 2 * layer) & 3;
        if told & 2 != 0 {
            bits.skip(88)?;
        }
        if told & 1 != 0 {
            bits.skip(8)?;
        }
    }
    Some(())
}

fn dimensions(bits: &mut Bits) -> Option<(u16, u16)> {
    let chroma = bits.ue().filter(|&chroma| chroma <= 3)?;
    if chroma == 3 {
        bits.bit()?; // separate_colour_plane_flag
    }
    let (mut width, mut height) = (bits.ue()?, bits.ue()?);
    if bits.bit()? {
        let unit_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
        let unit_y = if chroma == 1 { 2 } else { 1 };
        let crop_x = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit_x)?;
        let crop_y = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit_y)?;
        width = width.checked_sub(crop_x)?;
        height = height.checked_sub(crop_y)?;
    }
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}

fn reordering(bits: &mut Bits, sub_layers: u32) -> Option<u8> {
    bits.ue()?; // bit_depth_luma_minus8
    bits.ue()?; // bit_depth_chroma_minus8
    bits.ue()?; // log2_max_pic_order_cnt_lsb_minus4
    let told = if bits.bit()? { sub_layers + 1 } else { 1 };
    let mut reorder = 0;
    for _ in 0..told {
        bits.ue()?; // sps_max_dec_pic_buffering_minus1
        reorder = bits.ue()?;
        bits.ue()?; // sps_max_latency_increase_plus1
    }
    u8::try_from(reorder).ok()
}

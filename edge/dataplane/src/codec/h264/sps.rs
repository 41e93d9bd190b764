//! The H.264 sequence parameter set (ITU-T H.264, section 7.3.2.1.1 and annex E).

use crate::codec::bits::Bits;

/// Profiles whose parameter set tells chroma format and scaling lists.
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// What matters here of a sequence parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// profile_idc.
    pub profile_idc: u8,
    /// The byte of constraint flags.
    pub constraints: u8,
    /// level_idc, ten times the level.
    pub level_idc: u8,
    /// Width in pixels after cropping.
    pub width: u16,
    /// Height in pixels after cropping.
    pub height: u16,
    /// max_num_reorder_frames when told: above 0 B-frames are to be expected.
    pub reorder_frames: Option<u8>,
}

impl Sps {
    /// The value of `profile-level-id` (RFC 6184, section 8.1).
    pub fn profile_level_id(&self) -> String {
        format!(
            "{:02x}{:02x}{:02x}",
            self.profile_idc, self.constraints, self.level_idc
        )
    }
}

/// Parses an SPS NAL unit with its header byte.
pub fn parse_sps(nal: &[u8]) -> Option<Sps> {
    let (&header, body) = nal.split_first()?;
    (header & 0x1f == 7).then(|| parse_body(body))?
}

/// Parses what follows the NAL header.
pub(super) fn parse_body(body: &[u8]) -> Option<Sps> {
    let &[profile_idc, constraints, level_idc, ..] = body else {
        return None;
    };
    let mut bits = Bits::escaped(body);
    bits.skip(24)?;
    bits.ue()?; // seq_parameter_set_id
    let chroma = if HIGH_PROFILES.contains(&u32::from(profile_idc)) {
        high(&mut bits)?
    } else {
        1
    };
    bits.ue()?; // log2_max_frame_num_minus4
    picture_order(&mut bits)?;
    bits.ue()?; // max_num_ref_frames
    bits.bit()?; // gaps_in_frame_num_value_allowed_flag
    let (width, height) = dimensions(&mut bits, chroma)?;
    let reorder_frames = if bits.bit()? { vui(&mut bits) } else { None };
    Some(Sps {
        profile_idc,
        constraints,
        level_idc,
        width,
        height,
        reorder_frames,
    })
}

/// Chroma format (0 too when planes are separate), bit depth and scaling lists.
fn high(bits: &mut Bits) -> Option<u32> {
    let chroma = bits.ue().filter(|&chroma| chroma <= 3)?;
    let separate = chroma == 3 && bits.bit()?;
    bits.ue()?; // bit_depth_luma_minus8
    bits.ue()?; // bit_depth_chroma_minus8
    bits.bit()?; // qpprime_y_zero_transform_bypass_flag
    if bits.bit()? {
        for list in 0..if chroma == 3 { 12 } else { 8 } {
            if bits.bit()? {
                scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(if separate { 0 } else { chroma })
}

fn scaling_list(bits: &mut Bits, size: u32) -> Option<()> {
    let mut scale = 8i32;
    for _ in 0..size {
        scale = scale.wrapping_add(bits.se()?) & 0xff;
        if scale == 0 {
            break;
        }
    }
    Some(())
}

fn picture_order(bits: &mut Bits) -> Option<()> {
    match bits.ue()? {
        0 => {
            bits.ue()?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.bit()?; // delta_pic_order_always_zero_flag
            bits.se()?; // offset_for_non_ref_pic
            bits.se()?; // offset_for_top_to_bottom_field
            for _ in 0..bits.ue().filter(|&count| count <= 255)? {
                bits.se()?;
            }
        }
        _ => {}
    }
    Some(())
}

fn dimensions(bits: &mut Bits, chroma: u32) -> Option<(u16, u16)> {
    let columns = bits.ue()?.checked_add(1)?;
    let rows = bits.ue()?.checked_add(1)?;
    let frames_only = bits.bit()?;
    if !frames_only {
        bits.bit()?; // mb_adaptive_frame_field_flag
    }
    bits.bit()?; // direct_8x8_inference_flag
    let fields = if frames_only { 1 } else { 2 };
    let unit_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
    let unit_y = if chroma == 1 { 2 * fields } else { fields };
    let (mut crop_x, mut crop_y) = (0, 0);
    if bits.bit()? {
        crop_x = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit_x)?;
        crop_y = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit_y)?;
    }
    let width = columns.checked_mul(16)?.checked_sub(crop_x)?;
    let height = rows.checked_mul(16 * fields)?.checked_sub(crop_y)?;
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}

/// Reads the video usability information for max_num_reorder_frames.
fn vui(bits: &mut Bits) -> Option<u8> {
    if bits.bit()? && bits.read(8)? == 255 {
        bits.skip(32)?; // sar_width, sar_height
    }
    if bits.bit()? {
        bits.bit()?; // overscan_appropriate_flag
    }
    if bits.bit()? {
        bits.skip(4)?; // video_format, video_full_range_flag
        if bits.bit()? {
            bits.skip(24)?; // colour description
        }
    }
    if bits.bit()? {
        bits.ue()?; // chroma_sample_loc_type_top_field
        bits.ue()?; // chroma_sample_loc_type_bottom_field
    }
    if bits.bit()? {
        bits.skip(65)?; // timing
    }
    let mut decoder_model = false;
    for _ in 0..2 {
        if bits.bit()? {
            hypothetical_decoder(bits)?;
            decoder_model = true;
        }
    }
    if decoder_model {
        bits.bit()?; // low_delay_hrd_flag
    }
    bits.bit()?; // pic_struct_present_flag
    restriction(bits)
}

fn hypothetical_decoder(bits: &mut Bits) -> Option<()> {
    let buffers = bits.ue().filter(|&count| count <= 31)? + 1;
    bits.skip(8)?; // bit_rate_scale, cpb_size_scale
    for _ in 0..buffers {
        bits.ue()?; // bit_rate_value_minus1
        bits.ue()?; // cpb_size_value_minus1
        bits.bit()?; // cbr_flag
    }
    bits.skip(20) // lengths of delays and times
}

fn restriction(bits: &mut Bits) -> Option<u8> {
    if !bits.bit()? {
        return None;
    }
    bits.bit()?; // motion_vectors_over_pic_boundaries_flag
    for _ in 0..4 {
        bits.ue()?; // limits on bytes, bits and vectors
    }
    u8::try_from(bits.ue()?).ok()
}

//! Reads bits of what a peer sent: every read may fail, none panics, all loops are bounded.

/// A position in a bit string, most significant bit first.
pub struct Bits<'a> {
    /// What is read.
    bytes: &'a [u8],
    /// The next bit to read.
    position: usize,
    /// Whether `00 00 03` stands for `00 00` (H.264, section 7.4.1).
    escaped: bool,
}

impl<'a> Bits<'a> {
    /// Reads plain bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            position: 0,
            escaped: false,
        }
    }

    /// Reads the body of a NAL unit, leaving out emulation prevention bytes.
    pub fn escaped(bytes: &'a [u8]) -> Self {
        Self {
            escaped: true,
            ..Self::new(bytes)
        }
    }

    /// One bit.
    pub fn bit(&mut self) -> Option<bool> {
        if self.escaped && self.position & 7 == 0 && self.at_emulation_byte() {
            self.position += 8;
        }
        let byte = self.bytes.get(self.position >> 3)?;
        let bit = byte >> (7 - (self.position & 7)) & 1;
        self.position += 1;
        Some(bit == 1)
    }

    /// An unsigned number of at most 32 bits.
    pub fn read(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count.min(32) {
            value = value << 1 | u32::from(self.bit()?);
        }
        Some(value)
    }

    /// Leaves out bits.
    pub fn skip(&mut self, count: u32) -> Option<()> {
        for _ in 0..count {
            self.bit()?;
        }
        Some(())
    }

    /// Exp-Golomb, unsigned (H.264, section 9.1).
    pub fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.read(zeros)?)
    }

    /// Exp-Golomb, signed (H.264, section 9.1.1).
    pub fn se(&mut self) -> Option<i32> {
        let code = i64::from(self.ue()?);
        let magnitude = (code + 1) / 2;
        i32::try_from(if code & 1 == 1 { magnitude } else { -magnitude }).ok()
    }

    /// A number below `limit` in as few bits as that needs (AV1, section 4.10.7).
    pub fn below(&mut self, limit: u32) -> Option<u32> {
        if limit <= 1 {
            return Some(0);
        }
        let width = limit.ilog2() + 1;
        let short = (1u64 << width) - u64::from(limit);
        let value = self.read(width - 1)?;
        if u64::from(value) < short {
            return Some(value);
        }
        let long = (u64::from(value) << 1) - short + u64::from(self.bit()?);
        u32::try_from(long).ok()
    }

    fn at_emulation_byte(&self) -> bool {
        let at = self.position >> 3;
        at >= 2 && self.bytes.get(at - 2..=at) == Some(&[0, 0, 3])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_counts_as_in_the_standards_table() {
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let codes: Vec<_> = (0..5).map_while(|_| bits.ue()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn signed_codes_alternate() {
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let codes: Vec<_> = (0..5).map_while(|_| bits.se()).collect();
        assert_eq!(codes, [0, 1, -1, 2, -2]);
    }

    #[test]
    fn emulation_prevention_bytes_are_left_out_even_in_a_row() {
        let mut bits = Bits::escaped(&[0, 0, 3, 0, 0, 3, 1]);
        assert_eq!(bits.read(32), Some(0));
        assert_eq!(bits.read(8), Some(1));
        assert_eq!(bits.read(1), None);
    }

    #[test]
    fn a_run_of_zeros_ends() {
        assert_eq!(Bits::new(&[0; 64]).ue(), None);
    }

    #[test]
    fn non_symmetric_numbers_use_the_short_codes_first() {
        let mut bits = Bits::new(&[0b0001_1011, 0b0111_0000]);
        let values: Vec<_> = (0..5).map_while(|_| bits.below(5)).collect();
        assert_eq!(values, [0, 1, 2, 3, 4]);
    }
}

//! Writing an RTP header straight into the send buffer. Nothing here allocates or panics.

use super::extensions::{ExtensionForm, ONE_BYTE_PROFILE, TWO_BYTE_PROFILE};
use super::{EXTENSION_BIT, FIXED_BYTES, MARKER_BIT, PADDING_BIT, VERSION};
use crate::types::Ssrc;

/// Octets of profile and length before the extension elements.
const BLOCK_HEAD_BYTES: usize = 4;

/// What a header says. CSRCs are never written: the edge does not mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderFields {
    /// The marker bit.
    pub marker: bool,
    /// The payload type, 0 to 127.
    pub payload_type: u8,
    /// The sequence number.
    pub sequence: u16,
    /// The media time.
    pub timestamp: u32,
    /// The source.
    pub ssrc: Ssrc,
    /// Whether the caller ends the payload with padding (the P bit).
    pub padding: bool,
}

impl HeaderFields {
    #[inline]
    fn to_bytes(self) -> [u8; FIXED_BYTES] {
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [x0, x1, x2, x3] = self.ssrc.0.to_be_bytes();
        let first = VERSION | if self.padding { PADDING_BIT } else { 0 };
        let second = (self.payload_type & !MARKER_BIT) | if self.marker { MARKER_BIT } else { 0 };
        [first, second, s0, s1, t0, t1, t2, t3, x0, x1, x2, x3]
    }
}

/// A header being written: fields first, then elements, then `finish`.
#[derive(Debug)]
pub struct HeaderWriter<'a> {
    /// Where the packet goes.
    out: &'a mut [u8],
    /// How elements are written.
    form: ExtensionForm,
    /// Octets written, or none once something did not fit.
    at: Option<usize>,
}

impl<'a> HeaderWriter<'a> {
    /// Writes the fixed header to the start of `out`.
    #[inline]
    #[must_use]
    pub fn new(out: &'a mut [u8], fields: &HeaderFields, form: ExtensionForm) -> Self {
        let at = out.first_chunk_mut().map(|fixed| {
            *fixed = fields.to_bytes();
            FIXED_BYTES
        });
        Self { out, form, at }
    }

    /// Adds an element. One that the form cannot express (identifier, length) is left out.
    #[inline]
    pub fn extension(&mut self, id: u8, data: &[u8]) {
        let len = data.len();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "each form bounds the length first"
        )]
        match self.form {
            ExtensionForm::OneByte if matches!(id, 1..=14) && matches!(len, 1..=16) => {
                self.element([id << 4 | (len - 1) as u8], data);
            }
            ExtensionForm::TwoByte if id != 0 && len <= 255 => self.element([id, len as u8], data),
            _ => {}
        }
    }

    /// Ends the header and gives its length in octets; none if it did not fit `out`.
    #[inline]
    #[must_use]
    pub fn finish(self) -> Option<usize> {
        let at = self.at?;
        if at == FIXED_BYTES {
            return Some(at);
        }
        let end = at.next_multiple_of(4);
        self.out.get_mut(at..end)?.fill(0);
        let words = (end - FIXED_BYTES - BLOCK_HEAD_BYTES) / 4;
        let profile = match self.form {
            ExtensionForm::OneByte => ONE_BYTE_PROFILE,
            ExtensionForm::TwoByte => TWO_BYTE_PROFILE,
        };
        let [p0, p1] = profile.to_be_bytes();
        let [w0, w1] = u16::try_from(words).ok()?.to_be_bytes();
        *self.out.get_mut(FIXED_BYTES..)?.first_chunk_mut()? = [p0, p1, w0, w1];
        *self.out.first_mut()? |= EXTENSION_BIT;
        Some(end)
    }

    #[inline]
    fn element<const N: usize>(&mut self, head: [u8; N], data: &[u8]) {
        let Some(at) = self.at else { return };
        let at = if at == FIXED_BYTES {
            FIXED_BYTES + BLOCK_HEAD_BYTES
        } else {
            at
        };
        self.at = self.put(at, &head).and_then(|at| self.put(at, data));
    }

    #[inline]
    fn put(&mut self, at: usize, bytes: &[u8]) -> Option<usize> {
        let end = at + bytes.len();
        self.out.get_mut(at..end)?.copy_from_slice(bytes);
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Header;
    use super::*;

    const FIELDS: HeaderFields = HeaderFields {
        marker: true,
        payload_type: 106,
        sequence: 0x1234,
        timestamp: 90_000,
        ssrc: Ssrc(0xdead_beef),
        padding: false,
    };

    fn write(size: usize, form: ExtensionForm, elements: &[(u8, &[u8])]) -> Option<Vec<u8>> {
        let mut out = vec![0xff; size];
        let mut writer = HeaderWriter::new(&mut out, &FIELDS, form);
        for (id, data) in elements {
            writer.extension(*id, data);
        }
        let len = writer.finish()?;
        out.truncate(len);
        Some(out)
    }

    #[test]
    fn without_elements_there_is_no_extension_block() {
        let golden = [
            0x80, 0xea, 0x12, 0x34, 0x00, 0x01, 0x5f, 0x90, 0xde, 0xad, 0xbe, 0xef,
        ];
        assert_eq!(write(64, ExtensionForm::OneByte, &[]).unwrap(), golden);
    }

    #[test]
    fn elements_are_padded_to_words() {
        let one = write(64, ExtensionForm::OneByte, &[(3, &[7, 8]), (4, b"h")]).unwrap();
        assert_eq!(one[0], 0x90);
        assert_eq!(
            one[12..],
            [0xbe, 0xde, 0, 2, 0x31, 7, 8, 0x40, b'h', 0, 0, 0]
        );
        let two = write(64, ExtensionForm::TwoByte, &[(15, &[]), (200, &[1, 2])]).unwrap();
        assert_eq!(two[12..], [0x10, 0x00, 0, 2, 15, 0, 200, 2, 1, 2, 0, 0]);
    }

    #[test]
    fn what_the_form_cannot_express_is_left_out() {
        let one: [(u8, &[u8]); 4] = [(0, &[1]), (15, &[1]), (1, &[]), (1, &[0; 17])];
        assert_eq!(
            write(64, ExtensionForm::OneByte, &one).unwrap().len(),
            FIXED_BYTES
        );
        let two: [(u8, &[u8]); 2] = [(0, &[1]), (1, &[0; 256])];
        assert_eq!(
            write(512, ExtensionForm::TwoByte, &two).unwrap().len(),
            FIXED_BYTES
        );
    }

    #[test]
    fn a_short_buffer_gives_none_and_the_exact_one_suffices() {
        let elements: [(u8, &[u8]); 2] = [(3, &[7, 8, 9]), (4, &[1])];
        for size in 0..24 {
            assert_eq!(
                write(size, ExtensionForm::OneByte, &elements),
                None,
                "{size} octets"
            );
        }
        assert_eq!(
            write(24, ExtensionForm::OneByte, &elements).unwrap().len(),
            24
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let elements: [(u8, &[u8]); 3] = [(1, b"high"), (14, &[0; 16]), (2, &[9])];
        let packet = write(64, ExtensionForm::OneByte, &elements).unwrap();
        let header = Header::parse(&packet).unwrap();
        assert_eq!(header.extensions(&packet).collect::<Vec<_>>(), elements);
        assert_eq!(
            (header.sequence, header.ssrc, header.len),
            (FIELDS.sequence, FIELDS.ssrc, packet.len())
        );
    }
}

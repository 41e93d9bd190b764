//! Reading the elements of an RTP header extension (RFC 8285, section 4).

/// The profile of one-byte elements (RFC 8285, section 4.2).
pub(super) const ONE_BYTE_PROFILE: u16 = 0xbede;
/// The profile of two-byte elements; its low four bits belong to the application (section 4.3).
pub(super) const TWO_BYTE_PROFILE: u16 = 0x1000;
const TWO_BYTE_PROFILE_MASK: u16 = 0xfff0;
/// The identifier that ends a block of one-byte elements.
const ONE_BYTE_END: u8 = 15;

/// How each element's identifier and length are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtensionForm {
    /// Identifiers 1 to 14, 1 to 16 octets of data.
    OneByte,
    /// Identifiers 1 to 255, 0 to 255 octets of data.
    TwoByte,
}

impl ExtensionForm {
    pub(super) fn of_profile(profile: u16) -> Option<Self> {
        if profile == ONE_BYTE_PROFILE {
            Some(Self::OneByte)
        } else if profile & TWO_BYTE_PROFILE_MASK == TWO_BYTE_PROFILE {
            Some(Self::TwoByte)
        } else {
            None
        }
    }
}

/// The extension elements of one packet, as (identifier, data).
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    /// How the elements are written.
    form: ExtensionForm,
    /// What is still to be read.
    rest: &'a [u8],
}

impl<'a> Extensions<'a> {
    pub(super) fn new(form: ExtensionForm, rest: &'a [u8]) -> Self {
        Self { form, rest }
    }

    /// The data of the first element with this identifier.
    #[inline]
    #[must_use]
    pub fn find(mut self, id: u8) -> Option<&'a [u8]> {
        Iterator::find(&mut self, |element| element.0 == id).map(|element| element.1)
    }

    /// The head of the next element: its identifier, its length and what follows the head.
    #[inline]
    fn head(&self, first: u8, after: &'a [u8]) -> Option<(u8, usize, &'a [u8])> {
        match self.form {
            ExtensionForm::OneByte => {
                // A zero identifier with a length is no padding; what follows cannot be trusted either.
                let id = first >> 4;
                let usable = id != 0 && id != ONE_BYTE_END;
                usable.then_some((id, usize::from(first & 0x0f) + 1, after))
            }
            ExtensionForm::TwoByte => {
                let (&len, data) = after.split_first()?;
                Some((first, usize::from(len), data))
            }
        }
    }

    #[inline]
    fn element(&self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let mut rest = self.rest;
        while let [0, after @ ..] = rest {
            rest = after; // padding, RFC 8285, section 4.1.2
        }
        let (&first, after) = rest.split_first()?;
        let (id, len, after) = self.head(first, after)?;
        let (data, rest) = after.split_at_checked(len)?;
        Some((id, data, rest))
    }
}

impl Default for Extensions<'_> {
    fn default() -> Self {
        Self::new(ExtensionForm::OneByte, &[])
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let element = self.element();
        self.rest = element.map_or(&[], |(_, _, rest)| rest);
        element.map(|(id, data, _)| (id, data))
    }
}

impl core::iter::FusedIterator for Extensions<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: ExtensionForm, block: &[u8]) -> Vec<(u8, &[u8])> {
        Extensions::new(form, block).collect()
    }

    #[test]
    fn one_byte_elements_end_at_fifteen_and_at_a_cut() {
        let form = ExtensionForm::OneByte;
        assert_eq!(
            read(form, &[0x10, 7, 0, 0, 0x21, 8, 9]),
            [(1, &[7][..]), (2, &[8, 9][..])]
        );
        assert_eq!(read(form, &[0x10, 7, 0xf0, 1, 0x20, 8]), [(1, &[7][..])]);
        assert_eq!(read(form, &[0x10, 7, 0x2f, 8]), [(1, &[7][..])]);
        assert_eq!(read(form, &[0x03, 1, 2, 3, 0x10, 7]), []);
    }

    #[test]
    fn two_byte_elements_may_be_empty_or_long() {
        let form = ExtensionForm::TwoByte;
        let block = [1, 0, 0, 15, 2, 8, 9, 200, 17, 1, 1, 1];
        assert_eq!(read(form, &block), [(1, &[][..]), (15, &[8, 9][..])]);
        assert_eq!(read(form, &[7]), []);
    }

    #[test]
    fn profiles_name_the_form() {
        assert_eq!(
            ExtensionForm::of_profile(0xbede),
            Some(ExtensionForm::OneByte)
        );
        assert_eq!(
            ExtensionForm::of_profile(0x1000),
            Some(ExtensionForm::TwoByte)
        );
        assert_eq!(
            ExtensionForm::of_profile(0x100f),
            Some(ExtensionForm::TwoByte)
        );
        assert_eq!(ExtensionForm::of_profile(0x1010), None);
    }

    #[test]
    fn an_element_is_found_by_identifier() {
        let block = Extensions::new(ExtensionForm::OneByte, &[0x10, 7, 0x20, 8]);
        assert_eq!(block.clone().find(2), Some(&[8][..]));
        assert_eq!(block.find(3), None);
    }
}

//! Walking the attributes of a message.

use super::{ATTRIBUTE_HEADER_BYTES, HEADER_BYTES};
use crate::error::Drop;

/// One attribute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute<'a> {
    /// Its type.
    pub(super) kind: u16,
    /// Its value, without padding.
    pub(super) value: &'a [u8],
    /// Where it starts in the message.
    pub(super) start: usize,
}

impl Attribute<'_> {
    /// The value, `Malformed` if it is not of `N` octets.
    pub(super) fn exactly<const N: usize>(&self) -> Result<[u8; N], Drop> {
        self.value.try_into().map_err(|_| Drop::Malformed)
    }

    fn end(&self) -> usize {
        self.start + ATTRIBUTE_HEADER_BYTES + self.value.len().next_multiple_of(4)
    }
}

/// The attributes of a message in order; one beyond the end is the last item, `Malformed`.
pub(super) fn attributes(message: &[u8]) -> impl Iterator<Item = Result<Attribute<'_>, Drop>> {
    let mut at = HEADER_BYTES;
    core::iter::from_fn(move || {
        if at >= message.len() {
            return None;
        }
        let attribute = read(message, at).ok_or(Drop::Malformed);
        at = attribute.map_or(message.len(), |attribute| attribute.end());
        Some(attribute)
    })
}

fn read(message: &[u8], start: usize) -> Option<Attribute<'_>> {
    let &[k0, k1, l0, l1] = message.get(start..)?.first_chunk()?;
    let value_start = start + ATTRIBUTE_HEADER_BYTES;
    let value_end = value_start + usize::from(u16::from_be_bytes([l0, l1]));
    let value = message.get(value_start..value_end)?;
    let attribute = Attribute {
        kind: u16::from_be_bytes([k0, k1]),
        value,
        start,
    };
    (attribute.end() <= message.len()).then_some(attribute)
}

//! The word that SRTCP appends: the E bit and the packet's own 31-bit index (RFC 3711, 3.4).

use crate::types::Ssrc;

/// Bytes of the index word.
pub(super) const INDEX_LEN: usize = 4;
/// Bytes of the RTCP header that stay in the clear: the first word and the sender's SSRC.
pub(super) const CLEAR_LEN: usize = 8;
/// The largest index; a key is spent after it (RFC 3711, 9.2).
pub(super) const MAX_INDEX: u32 = (1 << 31) - 1;
const ENCRYPTED: u32 = 1 << 31;

/// The E bit and the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexWord {
    /// Whether the body is encrypted. It is authenticated either way.
    pub(super) encrypted: bool,
    /// Counts the compounds of one key.
    pub(super) index: u32,
}

impl IndexWord {
    /// As sent for an encrypted compound.
    pub(super) fn encrypted(index: u32) -> IndexWord {
        IndexWord {
            encrypted: true,
            index: index & MAX_INDEX,
        }
    }

    /// The word on the wire.
    pub(super) fn to_bytes(self) -> [u8; INDEX_LEN] {
        let flag = if self.encrypted { ENCRYPTED } else { 0 };
        (flag | self.index).to_be_bytes()
    }

    /// The word from the wire.
    pub(super) fn from_bytes(bytes: [u8; INDEX_LEN]) -> IndexWord {
        let word = u32::from_be_bytes(bytes);
        IndexWord {
            encrypted: word & ENCRYPTED != 0,
            index: word & MAX_INDEX,
        }
    }
}

/// The SSRC of the first packet in a compound, which stands for all of it.
pub(super) fn sender(compound: &[u8]) -> Option<Ssrc> {
    let (header, _) = compound.split_first_chunk::<CLEAR_LEN>()?;
    let [_, _, _, _, ssrc @ ..] = *header;
    Some(Ssrc(u32::from_be_bytes(ssrc)))
}

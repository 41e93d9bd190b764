//! The sending direction.

use super::rtcp::MAX_INDEX;
use super::{Cipher, Keys, Profile};
use crate::types::Ssrc;

/// Protects everything that is sent under one master key.
pub struct Outbound {
    /// The session keys.
    keys: Keys,
    /// Index of the last SRTCP packet; the first has 1.
    rtcp_index: u32,
}

impl Outbound {
    /// From the exported master key followed by the master salt; `None` if the length is wrong.
    pub fn new(profile: Profile, keying: &[u8]) -> Option<Outbound> {
        Some(Outbound {
            keys: Keys::derive(profile, keying)?,
            rtcp_index: 0,
        })
    }

    /// Bytes that `protect_rtp` needs behind the plaintext.
    pub fn overhead(&self) -> usize {
        self.keys.profile.rtp_overhead()
    }

    /// Encrypts in place. `packet` is header, plaintext and `overhead()` bytes of room for the
    /// tag; `index` is the 48-bit packet index, rollover counter and sequence number.
    ///
    /// An index must never be used for two different packets of one SSRC: it makes the nonce.
    ///
    /// # Panics
    /// If `packet` is shorter than header and tag. That is a defect of the caller, and the
    /// alternative would be to let plaintext out.
    #[inline]
    pub fn protect_rtp(&mut self, packet: &mut [u8], header_len: usize, ssrc: Ssrc, index: u64) {
        self.keys.rtp.encrypt_rtp(packet, header_len, ssrc, index);
    }

    /// Encrypts a compound RTCP packet and appends index and tag. The SSRC is its first one.
    ///
    /// Once the 2^31 - 1 indices of the key are used up, `compound` comes back empty: RFC 3711,
    /// 9.2, forbids to send another. At 100 compounds a second that is after eight months.
    ///
    /// # Panics
    /// If `compound` is shorter than an RTCP header and an SSRC, a defect of the caller.
    pub fn protect_rtcp(&mut self, compound: &mut Vec<u8>) {
        if self.rtcp_index == MAX_INDEX {
            compound.clear();
            return;
        }
        self.rtcp_index += 1;
        let ssrc = super::rtcp::sender(compound).expect("RTCP starts with a header and an SSRC");
        match &self.keys.rtcp {
            Cipher::Gcm(gcm) => gcm.encrypt_rtcp(compound, ssrc, self.rtcp_index),
            Cipher::CounterMode(cm) => cm.encrypt_rtcp(compound, ssrc, self.rtcp_index),
        }
    }

    #[cfg(test)]
    pub(super) fn spend_rtcp(&mut self, index: u32) {
        self.rtcp_index = index;
    }
}

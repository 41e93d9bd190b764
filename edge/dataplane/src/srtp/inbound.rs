//! The receiving direction. Order as in RFC 3711, 3.3: estimate the index, look for a replay,
//! authenticate, decrypt, and only then remember.

use super::aead::Gcm;
use super::cm::CounterMode;
use super::replay::Windows;
use super::{Cipher, Keys, Profile};
use crate::error::Drop;
use crate::types::Ssrc;

/// Bytes of an RTP header without CSRCs and extensions.
const MIN_RTP_HEADER: usize = 12;

/// Authenticates and decrypts everything that is received under one master key.
pub struct Inbound {
    /// The session keys.
    keys: Keys,
    /// Seen RTP packets of each SSRC, by 48-bit index.
    rtp: Windows,
    /// Seen RTCP packets of each sender, by 31-bit index.
    rtcp: Windows,
}

impl Inbound {
    /// From the exported master key followed by the master salt; `None` if the length is wrong.
    pub fn new(profile: Profile, keying: &[u8]) -> Option<Inbound> {
        Some(Inbound {
            keys: Keys::derive(profile, keying)?,
            rtp: Windows::default(),
            rtcp: Windows::default(),
        })
    }

    /// Decrypts in place; returns where the plaintext ends in `packet`, and the packet's 48-bit
    /// index. What the packet holds after an error is unspecified.
    ///
    /// # Errors
    /// `Malformed`: no room for header and tag. `Replayed`: seen, or older than the window.
    /// `NotAuthentic`: not made with this key. `UnknownTrack`: one SSRC too many.
    pub fn unprotect_rtp(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: Ssrc,
        sequence: u16,
    ) -> Result<(usize, u64), Drop> {
        if header_len < MIN_RTP_HEADER {
            return Err(Drop::Malformed);
        }
        let index = self.rtp.estimate(ssrc, sequence);
        self.rtp.admit(ssrc, index)?;
        let end = self.keys.rtp.decrypt_rtp(packet, header_len, ssrc, index)?;
        self.rtp.record(ssrc, index);
        Ok((end, index))
    }

    /// Authenticates in place, and decrypts unless the sender chose not to encrypt; returns where
    /// the plaintext ends in `packet`. What the packet holds after an error is unspecified.
    ///
    /// # Errors
    /// As `unprotect_rtp`.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Drop> {
        let ssrc = super::rtcp::sender(packet).ok_or(Drop::Malformed)?;
        let word = match &self.keys.rtcp {
            Cipher::Gcm(_) => Gcm::index_word(packet),
            Cipher::CounterMode(_) => CounterMode::index_word(packet),
        };
        let word = word.ok_or(Drop::Malformed)?;
        self.rtcp.admit(ssrc, u64::from(word.index))?;
        let end = match &self.keys.rtcp {
            Cipher::Gcm(gcm) => gcm.decrypt_rtcp(packet, ssrc, word),
            Cipher::CounterMode(cm) => cm.decrypt_rtcp(packet, ssrc, word),
        }?;
        self.rtcp.record(ssrc, u64::from(word.index));
        Ok(end)
    }
}

//! SRTP and SRTCP: encrypts what leaves and authenticates what arrives (RFC 3711, RFC 7714).
//!
//! One `Outbound` or `Inbound` holds one direction of one DTLS association: a master key, and all
//! SSRCs under it. Packets are worked on where they lie. Whoever calls owns the packet index, so
//! that one shared plaintext can be encrypted for many subscribers without a copy.

mod aead;
mod cm;
mod inbound;
mod kdf;
mod outbound;
mod replay;
mod rtcp;

pub use inbound::Inbound;
pub use outbound::Outbound;

use crate::error::Drop;
use crate::types::Ssrc;
use aead::Gcm;
use cm::CounterMode;
use kdf::{Label, MasterKey};

/// The protection profiles of DTLS-SRTP that are spoken (RFC 5764, 4.1.2; RFC 7714, 14.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    /// AES-128-GCM, 16-byte tags.
    AeadAes128Gcm,
    /// AES-256-GCM, 16-byte tags.
    AeadAes256Gcm,
    /// AES-128 in counter mode with HMAC-SHA1, 10-byte tags.
    Aes128CmSha1_80,
}

impl Profile {
    /// The profile by its OpenSSL name, with or without the leading `SRTP_`.
    pub fn from_name(openssl_name: &str) -> Option<Profile> {
        match openssl_name.strip_prefix("SRTP_").unwrap_or(openssl_name) {
            "AEAD_AES_128_GCM" => Some(Profile::AeadAes128Gcm),
            "AEAD_AES_256_GCM" => Some(Profile::AeadAes256Gcm),
            "AES128_CM_SHA1_80" => Some(Profile::Aes128CmSha1_80),
            _ => None,
        }
    }

    /// Bytes of master key (and of each session encryption key).
    pub fn key_len(self) -> usize {
        match self {
            Profile::AeadAes128Gcm | Profile::Aes128CmSha1_80 => 16,
            Profile::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of master salt.
    pub fn salt_len(self) -> usize {
        match self {
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => 12,
            Profile::Aes128CmSha1_80 => 14,
        }
    }

    /// Bytes that protection adds to an RTP packet.
    pub fn rtp_overhead(self) -> usize {
        match self {
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => aead::TAG_LEN,
            Profile::Aes128CmSha1_80 => cm::TAG_LEN,
        }
    }

    /// Bytes that protection adds to a compound RTCP packet: the tag and the index word.
    pub fn rtcp_overhead(self) -> usize {
        self.rtp_overhead() + rtcp::INDEX_LEN
    }
}

/// The session keys of one kind of packet, RTP or RTCP.
#[expect(
    clippy::large_enum_variant,
    reason = "GCM is the rule and lies in line, near its index"
)]
enum Cipher {
    /// Encryption and authentication in one (RFC 7714).
    Gcm(Gcm),
    /// Counter mode, then HMAC (RFC 3711, 4.1.1 and 4.2.1). Rare, thus boxed.
    CounterMode(Box<CounterMode>),
}

impl Cipher {
    fn encrypt_rtp(&self, packet: &mut [u8], header_len: usize, ssrc: Ssrc, index: u64) {
        match self {
            Cipher::Gcm(gcm) => gcm.encrypt_rtp(packet, header_len, ssrc, index),
            Cipher::CounterMode(cm) => cm.encrypt_rtp(packet, header_len, ssrc, index),
        }
    }

    fn decrypt_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> Result<usize, Drop> {
        match self {
            Cipher::Gcm(gcm) => gcm.decrypt_rtp(packet, header_len, ssrc, index),
            Cipher::CounterMode(cm) => cm.decrypt_rtp(packet, header_len, ssrc, index),
        }
    }
}

/// The two sets of session keys under one master key.
struct Keys {
    /// What was negotiated.
    profile: Profile,
    /// For RTP.
    rtp: Cipher,
    /// For RTCP.
    rtcp: Cipher,
}

impl Keys {
    /// Derives all session keys; `None` unless `keying` is exactly key and salt.
    fn derive(profile: Profile, keying: &[u8]) -> Option<Keys> {
        let master = MasterKey::new(profile, keying)?;
        Some(Keys {
            profile,
            rtp: cipher(profile, &master, Label::RTP)?,
            rtcp: cipher(profile, &master, Label::RTCP)?,
        })
    }
}

fn cipher(profile: Profile, master: &MasterKey, [key, auth, salt]: [Label; 3]) -> Option<Cipher> {
    let mut session_key = [0; 32];
    let session_key = session_key.get_mut(..profile.key_len())?;
    master.derive(key, session_key);
    let mut session_salt = [0; 14];
    master.derive(salt, session_salt.get_mut(..profile.salt_len())?);
    match profile {
        Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => {
            Gcm::new(session_key, session_salt).map(Cipher::Gcm)
        }
        Profile::Aes128CmSha1_80 => {
            let mut session_auth = [0; cm::AUTH_KEY_LEN];
            master.derive(auth, &mut session_auth);
            CounterMode::new(session_key, session_salt, &session_auth)
                .map(|cm| Cipher::CounterMode(Box::new(cm)))
        }
    }
}

#[cfg(test)]
mod tests;

//! SRTP and SRTCP of a few sessions (RFC 3711, RFC 7714). Not fast, and need not be: only the
//! publisher and the sampled players use it.

use openssl::error::ErrorStack;
use openssl::symm::{Cipher, Crypter, Mode, decrypt_aead, encrypt_aead};

use crate::stun::hmac_sha1;

/// Protection profiles of DTLS-SRTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Gcm128,
    Gcm256,
    Cm80,
}

impl Profile {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "gcm128" => Some(Self::Gcm128),
            "gcm256" => Some(Self::Gcm256),
            "cm80" => Some(Self::Cm80),
            _ => None,
        }
    }

    pub fn openssl_name(self) -> &'static str {
        match self {
            Self::Gcm128 => "SRTP_AEAD_AES_128_GCM",
            Self::Gcm256 => "SRTP_AEAD_AES_256_GCM",
            Self::Cm80 => "SRTP_AES128_CM_SHA1_80",
        }
    }

    pub fn key_bytes(self) -> usize {
        if self == Self::Gcm256 { 32 } else { 16 }
    }

    pub fn salt_bytes(self) -> usize {
        if self == Self::Cm80 { 14 } else { 12 }
    }

    fn ctr(self) -> Cipher {
        if self == Self::Gcm256 {
            Cipher::aes_256_ctr()
        } else {
            Cipher::aes_128_ctr()
        }
    }

    fn gcm(self) -> Cipher {
        if self == Self::Gcm256 {
            Cipher::aes_256_gcm()
        } else {
            Cipher::aes_128_gcm()
        }
    }
}

/// Master keys followed by master salts, for what we send and what we receive.
pub struct Keys {
    pub local: Vec<u8>,
    pub remote: Vec<u8>,
}

const GCM_TAG: usize = 16;
const SHA1_TAG: usize = 10;

fn ctr(cipher: Cipher, key: &[u8], iv: &[u8; 16], data: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut crypter = Crypter::new(cipher, Mode::Encrypt, key, Some(iv))?;
    let mut out = vec![0; data.len() + 16];
    let length = crypter.update(data, &mut out)?;
    out.truncate(length);
    Ok(out)
}

/// Session keys of RTP or of RTCP.
struct Session {
    key: Vec<u8>,
    salt: [u8; 14],
    auth: Vec<u8>,
}

impl Session {
    fn derive(profile: Profile, master: &[u8], label: u8) -> Result<Self, ErrorStack> {
        let (key, salt) = master.split_at(profile.key_bytes());
        let derive = |label: u8, length: usize| {
            let mut iv = [0u8; 16];
            iv[..salt.len()].copy_from_slice(salt);
            iv[7] ^= label;
            ctr(profile.ctr(), key, &iv, &vec![0; length])
        };
        let mut session_salt = [0u8; 14];
        session_salt[..profile.salt_bytes()]
            .copy_from_slice(&derive(label + 2, profile.salt_bytes())?);
        Ok(Self {
            key: derive(label, profile.key_bytes())?,
            salt: session_salt,
            auth: derive(label + 1, 20)?,
        })
    }

    /// IV of AES-CM (RFC 3711, 4.1.1): salt, SSRC and 48-bit index, counter in the last two bytes.
    fn cm_iv(&self, ssrc: u32, index: u64) -> [u8; 16] {
        let mut iv = [0u8; 16];
        iv[..14].copy_from_slice(&self.salt);
        xor(&mut iv[4..8], &ssrc.to_be_bytes());
        xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
        iv
    }

    /// IV of GCM (RFC 7714, 8.1 and 9.1).
    fn gcm_iv(&self, ssrc: u32, index: u64) -> [u8; 12] {
        let mut iv = [0u8; 12];
        iv.copy_from_slice(&self.salt[..12]);
        xor(&mut iv[2..6], &ssrc.to_be_bytes());
        xor(&mut iv[6..12], &index.to_be_bytes()[2..]);
        iv
    }
}

fn xor(target: &mut [u8], source: &[u8]) {
    for (target, source) in target.iter_mut().zip(source) {
        *target ^= source;
    }
}

/// One direction of one session.
pub struct Srtp {
    profile: Profile,
    rtp: Session,
    rtcp: Session,
    /// Next SRTCP index to send.
    rtcp_index: u32,
}

impl Srtp {
    pub fn new(profile: Profile, master: &[u8]) -> Result<Self, ErrorStack> {
        Ok(Self {
            profile,
            rtp: Session::derive(profile, master, 0)?,
            rtcp: Session::derive(profile, master, 3)?,
            rtcp_index: 1,
        })
    }

    /// Protect an RTP packet whose extended sequence number is `index`.
    pub fn protect(&self, packet: &[u8], index: u64) -> Option<Vec<u8>> {
        let header = rtp_header_bytes(packet)?;
        let ssrc = word(packet, 8)?;
        let (clear, payload) = packet.split_at(header);
        let mut out = clear.to_vec();
        if self.profile == Profile::Cm80 {
            out.extend(
                ctr(
                    self.profile.ctr(),
                    &self.rtp.key,
                    &self.rtp.cm_iv(ssrc, index),
                    payload,
                )
                .ok()?,
            );
            let tag = self.rtp_tag(&out, index);
            out.extend_from_slice(tag.get(..SHA1_TAG)?);
        } else {
            let mut tag = [0u8; GCM_TAG];
            let iv = self.rtp.gcm_iv(ssrc, index);
            out.extend(
                encrypt_aead(
                    self.profile.gcm(),
                    &self.rtp.key,
                    Some(&iv),
                    clear,
                    payload,
                    &mut tag,
                )
                .ok()?,
            );
            out.extend_from_slice(&tag);
        }
        Some(out)
    }

    /// The payload of an RTP packet, or `None` when it is not authentic.
    pub fn unprotect(&self, packet: &[u8], index: u64) -> Option<Vec<u8>> {
        let header = rtp_header_bytes(packet)?;
        let ssrc = word(packet, 8)?;
        if self.profile == Profile::Cm80 {
            let (body, tag) = packet.split_at_checked(packet.len().checked_sub(SHA1_TAG)?)?;
            if self.rtp_tag(body, index).get(..SHA1_TAG) != Some(tag) {
                return None;
            }
            return ctr(
                self.profile.ctr(),
                &self.rtp.key,
                &self.rtp.cm_iv(ssrc, index),
                body.get(header..)?,
            )
            .ok();
        }
        let (body, tag) = packet.split_at_checked(packet.len().checked_sub(GCM_TAG)?)?;
        let (clear, payload) = body.split_at_checked(header)?;
        let iv = self.rtp.gcm_iv(ssrc, index);
        decrypt_aead(
            self.profile.gcm(),
            &self.rtp.key,
            Some(&iv),
            clear,
            payload,
            tag,
        )
        .ok()
    }

    /// Protect an RTCP packet.
    pub fn protect_rtcp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let index = self.rtcp_index;
        self.rtcp_index += 1;
        let trailer = (index | 0x8000_0000).to_be_bytes();
        let ssrc = word(packet, 4)?;
        let (clear, payload) = packet.split_at_checked(8)?;
        let mut out = clear.to_vec();
        if self.profile == Profile::Cm80 {
            let iv = self.rtcp.cm_iv(ssrc, u64::from(index));
            out.extend(ctr(self.profile.ctr(), &self.rtcp.key, &iv, payload).ok()?);
            out.extend_from_slice(&trailer);
            let tag = hmac_sha1(&self.rtcp.auth, &out);
            out.extend_from_slice(tag.get(..SHA1_TAG)?);
        } else {
            let mut tag = [0u8; GCM_TAG];
            let iv = self.rtcp.gcm_iv(ssrc, u64::from(index));
            let aad = [clear, &trailer].concat();
            out.extend(
                encrypt_aead(
                    self.profile.gcm(),
                    &self.rtcp.key,
                    Some(&iv),
                    &aad,
                    payload,
                    &mut tag,
                )
                .ok()?,
            );
            out.extend_from_slice(&tag);
            out.extend_from_slice(&trailer);
        }
        Some(out)
    }

    /// The clear form of an RTCP packet, or `None` when it is not authentic.
    pub fn unprotect_rtcp(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let ssrc = word(packet, 4)?;
        if self.profile == Profile::Cm80 {
            let (body, tag) = packet.split_at_checked(packet.len().checked_sub(SHA1_TAG)?)?;
            if hmac_sha1(&self.rtcp.auth, body).get(..SHA1_TAG) != Some(tag) {
                return None;
            }
            let (body, trailer) = body.split_at_checked(body.len().checked_sub(4)?)?;
            let index = word(trailer, 0)?;
            let (clear, payload) = body.split_at_checked(8)?;
            if index & 0x8000_0000 == 0 {
                return Some(body.to_vec());
            }
            let iv = self.rtcp.cm_iv(ssrc, u64::from(index & 0x7FFF_FFFF));
            let payload = ctr(self.profile.ctr(), &self.rtcp.key, &iv, payload).ok()?;
            return Some([clear, &payload].concat());
        }
        let (body, trailer) = packet.split_at_checked(packet.len().checked_sub(4)?)?;
        let (body, tag) = body.split_at_checked(body.len().checked_sub(GCM_TAG)?)?;
        let (clear, payload) = body.split_at_checked(8)?;
        let iv = self
            .rtcp
            .gcm_iv(ssrc, u64::from(word(trailer, 0)? & 0x7FFF_FFFF));
        let aad = [clear, trailer].concat();
        let payload = decrypt_aead(
            self.profile.gcm(),
            &self.rtcp.key,
            Some(&iv),
            &aad,
            payload,
            tag,
        )
        .ok()?;
        Some([clear, &payload].concat())
    }

    fn rtp_tag(&self, body: &[u8], index: u64) -> Vec<u8> {
        let rollover = ((index >> 16) as u32).to_be_bytes();
        hmac_sha1(&self.rtp.auth, &[body, &rollover].concat())
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Length of the RTP header with CSRCs and extensions.
pub fn rtp_header_bytes(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let mut length = 12 + 4 * usize::from(first & 0x0F);
    if first & 0x10 != 0 {
        let words = packet.get(length + 2..length + 4)?;
        length += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    (length <= packet.len()).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_protected_is_read_back_and_a_changed_bit_is_refused() {
        for profile in [Profile::Gcm128, Profile::Gcm256, Profile::Cm80] {
            let master: Vec<u8> = (0..profile.key_bytes() + profile.salt_bytes())
                .map(|byte| byte as u8)
                .collect();
            let mut srtp = Srtp::new(profile, &master).unwrap();
            let mut packet = vec![0x80, 96, 0, 7, 0, 0, 0, 1, 1, 2, 3, 4];
            packet.extend_from_slice(b"payload of a packet");
            let mut wire = srtp.protect(&packet, 65_543).unwrap();
            assert_eq!(srtp.unprotect(&wire, 65_543).unwrap(), &packet[12..]);
            wire[15] ^= 1;
            assert!(srtp.unprotect(&wire, 65_543).is_none());
            let report = [0x80, 200, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8];
            let wire = srtp.protect_rtcp(&report).unwrap();
            assert_eq!(srtp.unprotect_rtcp(&wire).unwrap(), report);
        }
    }

    #[test]
    fn key_derivation_equals_rfc_3711_appendix_b3() {
        let master = [
            0xE1, 0xF9, 0x7A, 0x0D, 0x3E, 0x01, 0x8B, 0xE0, 0xD6, 0x4F, 0xA3, 0x2C, 0x06, 0xDE,
            0x41, 0x39, 0x0E, 0xC6, 0x75, 0xAD, 0x49, 0x8A, 0xFE, 0xEB, 0xB6, 0x96, 0x0B, 0x3A,
            0xAB, 0xE6,
        ];
        let session = Session::derive(Profile::Cm80, &master, 0).unwrap();
        assert_eq!(session.key[..4], [0xC6, 0x1E, 0x7A, 0x93]);
        assert_eq!(session.salt[..4], [0x30, 0xCB, 0xBC, 0x08]);
        assert_eq!(session.auth[..4], [0xCE, 0xBE, 0x32, 0x1F]);
    }
}

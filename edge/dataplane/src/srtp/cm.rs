//! AES-128 in counter mode with an HMAC-SHA1 tag of 80 bits (RFC 3711, 4.1.1 and 4.2.1).

use super::rtcp::{CLEAR_LEN, INDEX_LEN, IndexWord};
use crate::error::Drop;
use crate::types::Ssrc;
use aes::Aes128Enc;
use ctr::cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipher};
use ctr::cipher::{StreamCipherCoreWrapper, consts::U16};
use ctr::{CtrCore, flavors};
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// Bytes of the authentication tag.
pub(super) const TAG_LEN: usize = 10;
/// Bytes of the session authentication key.
pub(super) const AUTH_KEY_LEN: usize = 20;

/// One session's keys and salt.
pub(super) struct CounterMode {
    /// Expanded encryption key.
    cipher: Aes128Enc,
    /// The 112-bit salt where the initial counter has it, 16 zero bits below.
    salt: u128,
    /// HMAC that has already hashed its padded key; cloned per packet.
    mac: Hmac<Sha1>,
}

impl CounterMode {
    /// From a key of 16 bytes, the salt and the authentication key.
    pub(super) fn new(key: &[u8], salt: [u8; 14], auth: &[u8; AUTH_KEY_LEN]) -> Option<Self> {
        let mut padded = [0; 16];
        padded.get_mut(..14)?.copy_from_slice(&salt);
        Some(CounterMode {
            cipher: Aes128Enc::new_from_slice(key).ok()?,
            salt: u128::from_be_bytes(padded),
            mac: Hmac::new_from_slice(auth).ok()?,
        })
    }

    /// `packet` is header, plaintext and `TAG_LEN` bytes of room.
    pub(super) fn encrypt_rtp(&self, packet: &mut [u8], header: usize, ssrc: Ssrc, index: u64) {
        let (authenticated, room) = packet.split_at_mut(packet.len() - TAG_LEN);
        let (_, plaintext) = authenticated.split_at_mut(header);
        keystream(&self.cipher, self.counter(ssrc, index), plaintext);
        let tag = self
            .mac(authenticated, &rollover(index))
            .finalize()
            .into_bytes();
        room.copy_from_slice(&tag[..TAG_LEN]);
    }

    /// Checks the tag, then decrypts in place; returns where the plaintext ends.
    pub(super) fn decrypt_rtp(
        &self,
        packet: &mut [u8],
        header: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> Result<usize, Drop> {
        let (authenticated, tag) = split_tag(packet).ok_or(Drop::Malformed)?;
        if header > authenticated.len() {
            return Err(Drop::Malformed);
        }
        self.verify(authenticated, &rollover(index), tag)?;
        let ciphertext = authenticated.get_mut(header..).ok_or(Drop::Malformed)?;
        keystream(&self.cipher, self.counter(ssrc, index), ciphertext);
        Ok(authenticated.len())
    }

    /// Encrypts behind the first 8 bytes; appends the index word and the tag (RFC 3711, 3.4).
    pub(super) fn encrypt_rtcp(&self, compound: &mut Vec<u8>, ssrc: Ssrc, index: u32) {
        let (_, plaintext) = compound.split_at_mut(CLEAR_LEN);
        keystream(
            &self.cipher,
            self.counter(ssrc, u64::from(index)),
            plaintext,
        );
        compound.extend_from_slice(&IndexWord::encrypted(index).to_bytes());
        let tag = self.mac(compound, &[]).finalize().into_bytes();
        compound.extend_from_slice(&tag[..TAG_LEN]);
    }

    /// The index word, which is before the tag.
    pub(super) fn index_word(packet: &[u8]) -> Option<IndexWord> {
        let (authenticated, _) = packet.split_last_chunk::<TAG_LEN>()?;
        authenticated
            .last_chunk()
            .copied()
            .map(IndexWord::from_bytes)
    }

    /// Checks the tag, then decrypts in place unless the compound came in the clear; returns where
    /// the plaintext ends.
    pub(super) fn decrypt_rtcp(
        &self,
        packet: &mut [u8],
        ssrc: Ssrc,
        word: IndexWord,
    ) -> Result<usize, Drop> {
        let (authenticated, tag) = split_tag(packet).ok_or(Drop::Malformed)?;
        let end = authenticated
            .len()
            .checked_sub(INDEX_LEN)
            .ok_or(Drop::Malformed)?;
        if end < CLEAR_LEN {
            return Err(Drop::Malformed);
        }
        self.verify(authenticated, &[], tag)?;
        if word.encrypted {
            let ciphertext = authenticated
                .get_mut(CLEAR_LEN..end)
                .ok_or(Drop::Malformed)?;
            keystream(
                &self.cipher,
                self.counter(ssrc, u64::from(word.index)),
                ciphertext,
            );
        }
        Ok(end)
    }

    /// RFC 3711, 4.1.1: salt, SSRC and index side by side above 16 bits of block counter.
    fn counter(&self, Ssrc(ssrc): Ssrc, index: u64) -> u128 {
        self.salt ^ (u128::from(ssrc) << 64) ^ (u128::from(index) << 16)
    }

    fn mac(&self, authenticated: &[u8], rollover: &[u8]) -> Hmac<Sha1> {
        let mut mac = self.mac.clone();
        mac.update(authenticated);
        mac.update(rollover);
        mac
    }

    fn verify(&self, authenticated: &[u8], rollover: &[u8], tag: &[u8]) -> Result<(), Drop> {
        self.mac(authenticated, rollover)
            .verify_truncated_left(tag)
            .map_err(|_| Drop::NotAuthentic)
    }
}

/// XORs `data` with AES in counter mode from this counter.
pub(super) fn keystream<C>(cipher: &C, counter: u128, data: &mut [u8])
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    let core =
        CtrCore::<&C, flavors::Ctr128BE>::inner_iv_init(cipher, &counter.to_be_bytes().into());
    StreamCipherCoreWrapper::from_core(core).apply_keystream(data);
}

/// The rollover counter, which is authenticated behind the packet but not sent (RFC 3711, 4.2).
fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

fn split_tag(packet: &mut [u8]) -> Option<(&mut [u8], &[u8])> {
    let end = packet.len().checked_sub(TAG_LEN)?;
    let (authenticated, tag) = packet.split_at_mut_checked(end)?;
    Some((authenticated, tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::tests::hex;

    #[test]
    fn the_keystream_is_that_of_rfc_3711_b_2() {
        let cipher = Aes128Enc::new_from_slice(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
        let mut stream = vec![0; 0xFF02 * 16];
        keystream(
            &cipher,
            0xF0F1_F2F3_F4F5_F6F7_F8F9_FAFB_FCFD_0000,
            &mut stream,
        );
        let block = |number: usize| stream[number * 16..][..16].to_vec();
        assert_eq!(block(0x0000), hex("E03EAD0935C95E80E166B16DD92B4EB4"));
        assert_eq!(block(0x0001), hex("D23513162B02D0F72A43A2FE4A5F97AB"));
        assert_eq!(block(0x0002), hex("41E95B3BB0A2E8DD477901E4FCA894C0"));
        assert_eq!(block(0xFEFF), hex("EC8CDF7398607CB0F2D21675EA9EA1E4"));
        assert_eq!(block(0xFF00), hex("362B7C3C6773516318A077D7FC5073AE"));
        assert_eq!(block(0xFF01), hex("6A2CC3787889374FBEB4C81B17BA6C44"));
    }
}

//! AES-GCM for RTP and RTCP (RFC 7714). The nonce is made of salt, SSRC and packet index, so it is
//! unique as long as no index is used twice under one key and SSRC.

use super::rtcp::{CLEAR_LEN, INDEX_LEN, IndexWord};
use crate::error::Drop;
use crate::types::Ssrc;
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Bytes of the authentication tag.
pub(super) const TAG_LEN: usize = 16;

/// One session key and its salt.
pub(super) struct Gcm {
    /// Expanded key and hash table.
    key: LessSafeKey,
    /// The 96-bit salt in the low bits.
    salt: u128,
}

impl Gcm {
    /// From a key of 16 or 32 bytes and a salt whose first 12 bytes count.
    pub(super) fn new(key: &[u8], salt: [u8; 14]) -> Option<Gcm> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            32 => &AES_256_GCM,
            _ => return None,
        };
        let mut padded = [0; 16];
        padded.get_mut(4..)?.copy_from_slice(salt.get(..12)?);
        Some(Gcm {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?),
            salt: u128::from_be_bytes(padded),
        })
    }

    /// `packet` is header, plaintext and `TAG_LEN` bytes of room.
    pub(super) fn encrypt_rtp(&self, packet: &mut [u8], header: usize, ssrc: Ssrc, index: u64) {
        let (header, body) = packet.split_at_mut(header);
        let (plaintext, room) = body.split_at_mut(body.len() - TAG_LEN);
        room.copy_from_slice(&self.seal(self.nonce(ssrc, index), header, plaintext));
    }

    /// Decrypts in place and returns where the plaintext ends.
    pub(super) fn decrypt_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> Result<usize, Drop> {
        let (header, body) = split(packet, header_len)?;
        let plaintext = self.open(self.nonce(ssrc, index), header, body)?;
        Ok(header_len + plaintext)
    }

    /// Encrypts behind the first 8 bytes; appends the tag and the index word (RFC 7714, 9).
    pub(super) fn encrypt_rtcp(&self, compound: &mut Vec<u8>, ssrc: Ssrc, index: u32) {
        let word = IndexWord::encrypted(index).to_bytes();
        let (header, plaintext) = compound.split_at_mut(CLEAR_LEN);
        let mut aad = [0; CLEAR_LEN + INDEX_LEN];
        let (aad_header, aad_word) = aad.split_at_mut(CLEAR_LEN);
        aad_header.copy_from_slice(header);
        aad_word.copy_from_slice(&word);
        let tag = self.seal(self.nonce(ssrc, u64::from(index)), &aad, plaintext);
        compound.extend_from_slice(&tag);
        compound.extend_from_slice(&word);
    }

    /// The index word, which is last.
    pub(super) fn index_word(packet: &[u8]) -> Option<IndexWord> {
        packet.last_chunk().copied().map(IndexWord::from_bytes)
    }

    /// Decrypts in place and returns where the plaintext ends. A compound sent in the clear is
    /// associated data as a whole (RFC 7714, 9.3).
    pub(super) fn decrypt_rtcp(
        &self,
        packet: &mut [u8],
        ssrc: Ssrc,
        word: IndexWord,
    ) -> Result<usize, Drop> {
        let clear_len = if word.encrypted {
            CLEAR_LEN
        } else {
            packet.len().saturating_sub(INDEX_LEN + TAG_LEN)
        };
        let (clear, body) = split(packet, clear_len)?;
        let body_len = body.len().checked_sub(INDEX_LEN).ok_or(Drop::Malformed)?;
        let body = body.get_mut(..body_len).ok_or(Drop::Malformed)?;
        let aad = [&*clear, &word.to_bytes()].concat();
        let plaintext = self.open(self.nonce(ssrc, u64::from(word.index)), &aad, body)?;
        Ok(clear_len + plaintext)
    }

    /// RFC 7714, 8.1 and 9.1: 16 zero bits, SSRC, 48-bit index; an SRTCP index has 17 zero bits
    /// before it.
    fn nonce(&self, Ssrc(ssrc): Ssrc, index: u64) -> Nonce {
        let value = self.salt ^ (u128::from(ssrc) << 48) ^ u128::from(index);
        let [_, _, _, _, nonce @ ..] = value.to_be_bytes();
        Nonce::assume_unique_for_key(nonce)
    }

    fn seal(&self, nonce: Nonce, aad: &[u8], plaintext: &mut [u8]) -> [u8; TAG_LEN] {
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(aad), plaintext)
            .expect("a datagram is shorter than GCM's limit of 64 GiB");
        let mut bytes = [0; TAG_LEN];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    /// The length of the plaintext now at the start of `body`.
    fn open(&self, nonce: Nonce, aad: &[u8], body: &mut [u8]) -> Result<usize, Drop> {
        self.key
            .open_in_place(nonce, Aad::from(aad), body)
            .map(|plaintext| plaintext.len())
            .map_err(|_| Drop::NotAuthentic)
    }
}

/// The clear part, and the rest, which has room for a tag.
fn split(packet: &mut [u8], clear_len: usize) -> Result<(&mut [u8], &mut [u8]), Drop> {
    match packet.split_at_mut_checked(clear_len) {
        Some((clear, body)) if body.len() >= TAG_LEN => Ok((clear, body)),
        _ => Err(Drop::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::tests::hex;

    /// The session key and salt of RFC 7714, sections 16 and 17.
    fn session(key_len: u8) -> Gcm {
        let key: Vec<u8> = (0..key_len).collect();
        Gcm::new(&key, *b"Quid pro quo\0\0").unwrap()
    }

    const RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
        69736120 696e2070 61727465 73207472 6573";
    const RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
        deadbeef deadbeef deadbeef deadbeef deadbeef";

    #[test]
    fn rtp_is_that_of_rfc_7714_16() {
        for (key_len, expected) in [
            (
                16,
                "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5
                  0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
            ),
            (
                32,
                "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238
                  9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
            ),
        ] {
            let (gcm, ssrc) = (session(key_len), Ssrc(0x5501_a0b2));
            let mut packet = hex(RTP);
            packet.extend([0; TAG_LEN]);
            gcm.encrypt_rtp(&mut packet, 12, ssrc, 0xf17b);
            assert_eq!(packet, hex(expected));
            let end = gcm.decrypt_rtp(&mut packet, 12, ssrc, 0xf17b).unwrap();
            assert_eq!(packet[..end], hex(RTP));
        }
    }

    #[test]
    fn rtcp_is_that_of_rfc_7714_17() {
        for (key_len, expected) in [
            (
                16,
                "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d
                  c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872
                  45d9eade 800005d4",
            ),
            (
                32,
                "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50
                  a2eaa5c1 110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c
                  b26ac3be 800005d4",
            ),
        ] {
            let (gcm, ssrc) = (session(key_len), Ssrc(0x4d61_7273));
            let mut compound = hex(RTCP);
            gcm.encrypt_rtcp(&mut compound, ssrc, 0x5d4);
            assert_eq!(compound, hex(expected));
            let word = Gcm::index_word(&compound).unwrap();
            let end = gcm.decrypt_rtcp(&mut compound, ssrc, word).unwrap();
            assert_eq!(compound[..end], hex(RTCP));
        }
    }

    #[test]
    fn rtcp_in_the_clear_is_authenticated_as_in_rfc_7714_17_3() {
        let (gcm, ssrc) = (session(16), Ssrc(0x4d61_7273));
        let mut packet = hex(RTCP);
        packet.extend(hex("841dd968 3dd78ec9 2ae58790 125f62b3 000005d4"));
        let word = Gcm::index_word(&packet).unwrap();
        assert!(!word.encrypted);
        let end = gcm.decrypt_rtcp(&mut packet, ssrc, word).unwrap();
        assert_eq!(packet[..end], hex(RTCP));
        packet[20] ^= 1;
        let refused = gcm.decrypt_rtcp(&mut packet, ssrc, word);
        assert_eq!(refused, Err(Drop::NotAuthentic));
    }
}

//! FINGERPRINT and MESSAGE-INTEGRITY (RFC 8489, sections 14.5 and 14.7).

use ring::hmac;

use super::attributes::attributes;
use super::{
    ATTRIBUTE_HEADER_BYTES, FINGERPRINT, FINGERPRINT_BYTES, HEADER_BYTES, INTEGRITY_BYTES,
};
use crate::error::Drop;

/// What the CRC-32 is combined with (RFC 8489, section 14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// Walks all attributes, so that any broken length is found, and checks a FINGERPRINT at the end.
pub(super) fn check_fingerprint(datagram: &[u8]) -> Result<(), Drop> {
    for attribute in attributes(datagram) {
        let attribute = attribute?;
        if attribute.kind != FINGERPRINT {
            continue;
        }
        let value: [u8; FINGERPRINT_BYTES] = attribute.exactly()?;
        let covered = datagram.get(..attribute.start).ok_or(Drop::Malformed)?;
        if datagram.len() != attribute.start + ATTRIBUTE_HEADER_BYTES + FINGERPRINT_BYTES {
            return Err(Drop::Malformed); // it must be the last, RFC 8489, section 14.7
        }
        if value != fingerprint(covered) {
            return Err(Drop::BadIntegrity);
        }
    }
    Ok(())
}

pub(super) fn fingerprint(covered: &[u8]) -> [u8; FINGERPRINT_BYTES] {
    (crc32fast::hash(covered) ^ FINGERPRINT_XOR).to_be_bytes()
}

/// RFC 8489, section 14.5: the length that is signed ends with MESSAGE-INTEGRITY, whatever follows it.
pub(super) fn check_integrity(datagram: &[u8], start: usize, password: &str) -> Result<(), Drop> {
    let (covered, tail) = datagram.split_at_checked(start).ok_or(Drop::BadIntegrity)?;
    let tag = tail
        .get(ATTRIBUTE_HEADER_BYTES..ATTRIBUTE_HEADER_BYTES + INTEGRITY_BYTES)
        .ok_or(Drop::BadIntegrity)?;
    let mut signed = covered.to_vec(); // the verification in constant time wants one slice
    set_len(&mut signed, ATTRIBUTE_HEADER_BYTES + INTEGRITY_BYTES);
    hmac::verify(&key(password), &signed, tag).map_err(|_| Drop::BadIntegrity)
}

/// Writes the length of a message that `more` octets will be added to.
pub(super) fn set_len(message: &mut [u8], more: usize) {
    let len = (message.len() + more).saturating_sub(HEADER_BYTES);
    if let (Some(field), Ok(len)) = (message.get_mut(2..4), u16::try_from(len)) {
        field.copy_from_slice(&len.to_be_bytes());
    }
}

/// The key of short-term credentials is the password itself (RFC 8489, section 9.1.1).
pub(super) fn key(password: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes())
}

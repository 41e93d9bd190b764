//! Binding requests and answers (RFC 8489, RFC 8445), enough for one candidate pair.

use std::net::SocketAddr;

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;

const COOKIE: u32 = 0x2112_A442;
const REQUEST: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;

/// A transaction id.
pub type Transaction = [u8; 12];

/// What a received STUN datagram is.
pub enum Message {
    /// The other side checks us.
    Request(Transaction),
    /// An answer to a check of ours.
    Success(Transaction),
    /// Anything else.
    Other,
}

/// The HMAC-SHA1 of MESSAGE-INTEGRITY.
pub fn hmac_sha1(key: &[u8], data: &[u8]) -> Vec<u8> {
    let sign = || -> Result<Vec<u8>, openssl::error::ErrorStack> {
        let key = PKey::hmac(key)?;
        let mut signer = Signer::new(MessageDigest::sha1(), &key)?;
        signer.sign_oneshot_to_vec(data)
    };
    sign().unwrap_or_default()
}

fn crc32(data: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&(value.len() as u16).to_be_bytes());
    message.extend_from_slice(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn set_length(message: &mut [u8], coming: usize) {
    let length = (message.len() - 20 + coming) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

fn start(kind: u16, transaction: &Transaction) -> Vec<u8> {
    let mut message = Vec::with_capacity(128);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 0]);
    message.extend_from_slice(&COOKIE.to_be_bytes());
    message.extend_from_slice(transaction);
    message
}

fn finish(mut message: Vec<u8>, password: &str) -> Vec<u8> {
    set_length(&mut message, 24);
    let tag = hmac_sha1(password.as_bytes(), &message);
    attribute(&mut message, 0x0008, &tag);
    set_length(&mut message, 8);
    let fingerprint = crc32(&message) ^ 0x5354_554E;
    attribute(&mut message, 0x8028, &fingerprint.to_be_bytes());
    message
}

/// A connectivity check; the controlling side nominates at once.
pub fn request(
    transaction: &Transaction,
    user: &str,
    password: &str,
    controlling: bool,
) -> Vec<u8> {
    let mut message = start(REQUEST, transaction);
    attribute(&mut message, 0x0006, user.as_bytes());
    attribute(&mut message, 0x0024, &1_853_824_767u32.to_be_bytes());
    let role = if controlling { 0x802A } else { 0x8029 };
    attribute(&mut message, role, &0x7EA5_1E55_0000_0001u64.to_be_bytes());
    if controlling {
        attribute(&mut message, 0x0025, &[]);
    }
    finish(message, password)
}

/// The answer to a check from `source`.
pub fn success(transaction: &Transaction, source: SocketAddr, password: &str) -> Vec<u8> {
    let mut message = start(SUCCESS, transaction);
    let mut value = vec![0, 1];
    value.extend_from_slice(&(source.port() ^ (COOKIE >> 16) as u16).to_be_bytes());
    if let SocketAddr::V4(source) = source {
        value.extend_from_slice(&(u32::from(*source.ip()) ^ COOKIE).to_be_bytes());
    }
    attribute(&mut message, 0x0020, &value);
    finish(message, password)
}

/// Read the type and transaction of a datagram that starts like STUN.
pub fn parse(datagram: &[u8]) -> Message {
    let (Some(header), Some(transaction)) = (
        datagram.first_chunk::<20>(),
        datagram
            .get(8..20)
            .and_then(|bytes| Transaction::try_from(bytes).ok()),
    ) else {
        return Message::Other;
    };
    match u16::from_be_bytes([header[0], header[1]]) {
        REQUEST => Message::Request(transaction),
        SUCCESS => Message::Success(transaction),
        _ => Message::Other,
    }
}

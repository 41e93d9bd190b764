//! Writing the two answers an ICE-lite agent gives.

use std::net::{IpAddr, SocketAddr};

use ring::hmac;

use super::integrity::{fingerprint, key, set_len};
use super::{
    ATTRIBUTE_HEADER_BYTES, BINDING_ERROR, BINDING_SUCCESS, ERROR_CODE, FINGERPRINT,
    FINGERPRINT_BYTES, HEADER_BYTES, INTEGRITY_BYTES, MAGIC_COOKIE, MESSAGE_INTEGRITY,
    XOR_MAPPED_ADDRESS,
};

const FAMILY_IPV4: u8 = 1;
const FAMILY_IPV6: u8 = 2;
/// Class 4, number 87, and the recommended reason (RFC 8445, section 16.2).
const ROLE_CONFLICT: &[u8] = b"\0\0\x04\x57Role Conflict";

/// Appends a success response that tells the peer its address as seen here.
///
/// `password` is the edge's, as in the request (RFC 8489, section 9.1.4). An IPv4-mapped address is
/// told as IPv4: the socket may be of both families, the peer's is not.
pub fn write_binding_success(
    out: &mut Vec<u8>,
    transaction: &[u8; 12],
    mapped: SocketAddr,
    password: &str,
) {
    let mut message = begin(BINDING_SUCCESS, transaction);
    put(
        &mut message,
        XOR_MAPPED_ADDRESS,
        &xor_mapped(transaction, mapped),
    );
    end(message, password, out);
}

/// Appends the error 487: the peer claims the role that an ICE-lite agent always has.
pub fn write_role_conflict(out: &mut Vec<u8>, transaction: &[u8; 12], password: &str) {
    let mut message = begin(BINDING_ERROR, transaction);
    put(&mut message, ERROR_CODE, ROLE_CONFLICT);
    end(message, password, out);
}

/// RFC 8489, section 14.2: port and address are combined with the cookie and the transaction.
fn xor_mapped(transaction: &[u8; 12], mapped: SocketAddr) -> Vec<u8> {
    let mask = MAGIC_COOKIE.iter().chain(transaction);
    let port = mapped.port().to_be_bytes();
    let (family, address) = match mapped.ip().to_canonical() {
        IpAddr::V4(address) => (FAMILY_IPV4, address.octets().to_vec()),
        IpAddr::V6(address) => (FAMILY_IPV6, address.octets().to_vec()),
    };
    let mut value = vec![0, family];
    value.extend(
        port.iter()
            .zip(&MAGIC_COOKIE)
            .map(|(octet, mask)| octet ^ mask),
    );
    value.extend(address.iter().zip(mask).map(|(octet, mask)| octet ^ mask));
    value
}

fn begin(kind: [u8; 2], transaction: &[u8; 12]) -> Vec<u8> {
    let mut message = Vec::with_capacity(128);
    message.extend(kind);
    message.extend([0, 0]);
    message.extend(MAGIC_COOKIE);
    message.extend(transaction);
    debug_assert_eq!(message.len(), HEADER_BYTES);
    message
}

/// Each of the last two attributes covers a length that includes itself and nothing after.
fn end(mut message: Vec<u8>, password: &str, out: &mut Vec<u8>) {
    set_len(&mut message, ATTRIBUTE_HEADER_BYTES + INTEGRITY_BYTES);
    let tag = hmac::sign(&key(password), &message);
    put(&mut message, MESSAGE_INTEGRITY, tag.as_ref());
    set_len(&mut message, ATTRIBUTE_HEADER_BYTES + FINGERPRINT_BYTES);
    let crc = fingerprint(&message);
    put(&mut message, FINGERPRINT, &crc);
    out.append(&mut message);
}

fn put(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend(u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
    message.extend_from_slice(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

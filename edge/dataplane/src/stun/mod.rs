//! STUN binding requests as an ICE-lite agent meets them (RFC 8489, RFC 8445, RFC 7675).
//!
//! A request is read first, so that its user name finds the session; then `Request::verify` proves
//! that the peer knows the session's password. Nothing may be answered before that.

mod attributes;
mod integrity;
mod request;
mod write;

use self::integrity::check_fingerprint;
pub use self::request::Request;
pub use self::write::{write_binding_success, write_role_conflict};
use crate::error::Drop;

const HEADER_BYTES: usize = 20;
/// Type and length of an attribute.
const ATTRIBUTE_HEADER_BYTES: usize = 4;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const INTEGRITY_BYTES: usize = 20;
const FINGERPRINT_BYTES: usize = 4;
/// Message types: the method Binding in each of its classes (RFC 8489, section 5).
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_INDICATION: [u8; 2] = [0x00, 0x11];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const BINDING_ERROR: [u8; 2] = [0x01, 0x11];

/// Attribute types (RFC 8489, section 18.3; RFC 8445, section 16.1).
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLED: u16 = 0x8029;
const ICE_CONTROLLING: u16 = 0x802a;
/// What a STUN datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A connectivity check or a request for consent. Not verified yet.
    BindingRequest(Request<'a>),
    /// A keepalive, which wants no answer.
    BindingIndication,
    /// An answer. An ICE-lite agent asks nothing, so nobody waits for it.
    BindingResponse,
}

/// Whether a datagram is STUN (RFC 7983, section 7; RFC 8489, section 6.3).
#[inline]
#[must_use]
pub fn is_stun(datagram: &[u8]) -> bool {
    match datagram.first_chunk::<HEADER_BYTES>() {
        Some([first, _, _, len, cookie @ ..]) => {
            *first <= 3 && len % 4 == 0 && cookie.starts_with(&MAGIC_COOKIE)
        }
        None => false,
    }
}

/// Reads a datagram.
///
/// `UnknownProtocol`: not STUN, or another method than Binding. `Malformed`: lengths disagree.
/// `BadIntegrity`: a wrong FINGERPRINT, or a request without MESSAGE-INTEGRITY.
/// `UnknownUser`: a request without a user name of two parts.
pub fn parse(datagram: &[u8]) -> Result<Message<'_>, Drop> {
    if !is_stun(datagram) {
        return Err(Drop::UnknownProtocol);
    }
    let &[t0, t1, l0, l1] = datagram.first_chunk().ok_or(Drop::Malformed)?;
    if datagram.len() != HEADER_BYTES + usize::from(u16::from_be_bytes([l0, l1])) {
        return Err(Drop::Malformed);
    }
    check_fingerprint(datagram)?;
    match [t0, t1] {
        BINDING_REQUEST => Request::parse(datagram).map(Message::BindingRequest),
        BINDING_INDICATION => Ok(Message::BindingIndication),
        BINDING_SUCCESS | BINDING_ERROR => Ok(Message::BindingResponse),
        _ => Err(Drop::UnknownProtocol),
    }
}

#[cfg(test)]
mod tests;

//! Reading a binding request.

use super::attributes::{Attribute, attributes};
use super::integrity::check_integrity;
use super::{
    ERROR_CODE, ICE_CONTROLLED, ICE_CONTROLLING, MESSAGE_INTEGRITY, PRIORITY, USE_CANDIDATE,
    USERNAME, XOR_MAPPED_ADDRESS,
};
use crate::error::Drop;

/// Below this type an attribute must be understood.
const COMPREHENSION_OPTIONAL: u16 = 0x8000;
/// Understood, and without a meaning in a request: MAPPED-ADDRESS, UNKNOWN-ATTRIBUTES, REALM, NONCE.
const MEANINGLESS: [u16; 6] = [
    0x0001,
    ERROR_CODE,
    0x000a,
    0x0014,
    0x0015,
    XOR_MAPPED_ADDRESS,
];

/// A binding request with user name and MESSAGE-INTEGRITY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What ties the answer to the request.
    pub transaction: [u8; 12],
    /// The edge's part of the user name, left of the colon.
    pub local_ufrag: &'a str,
    /// The peer's part, right of the colon.
    pub remote_ufrag: &'a str,
    /// Whether the peer nominates this pair of addresses.
    pub use_candidate: bool,
    /// The peer's tie breaker, if it controls.
    pub controlling: Option<u64>,
    /// The peer's tie breaker, if it believes itself controlled.
    pub controlled: Option<u64>,
    /// The priority a candidate learnt from this check would have; 0 if not given.
    pub priority: u32,
    /// Whether an attribute that must be understood was not. Such a request must not succeed (RFC 8489, section 6.3.1).
    pub unknown: bool,
    /// Where MESSAGE-INTEGRITY starts.
    integrity: usize,
}

impl<'a> Request<'a> {
    /// `BadIntegrity` unless `datagram`, from which this was read, was signed with `password`.
    pub fn verify(&self, datagram: &[u8], password: &str) -> Result<(), Drop> {
        check_integrity(datagram, self.integrity, password)
    }

    pub(super) fn parse(datagram: &'a [u8]) -> Result<Self, Drop> {
        let mut found = Found::default();
        for attribute in attributes(datagram) {
            let attribute = attribute?;
            if attribute.kind == MESSAGE_INTEGRITY {
                found.integrity = Some(attribute.start);
                break; // RFC 8489, section 14.5: what follows is not covered and is ignored
            }
            found.take(attribute)?;
        }
        found.into_request(datagram)
    }
}

/// The attributes of a request; of several of one type the first counts (RFC 8489, section 14).
#[derive(Default)]
struct Found<'a> {
    /// USERNAME.
    username: Option<&'a [u8]>,
    /// USE-CANDIDATE.
    use_candidate: bool,
    /// ICE-CONTROLLING.
    controlling: Option<[u8; 8]>,
    /// ICE-CONTROLLED.
    controlled: Option<[u8; 8]>,
    /// PRIORITY.
    priority: Option<[u8; 4]>,
    /// Something that must be understood and was not.
    unknown: bool,
    /// Where MESSAGE-INTEGRITY starts.
    integrity: Option<usize>,
}

impl<'a> Found<'a> {
    fn take(&mut self, attribute: Attribute<'a>) -> Result<(), Drop> {
        match attribute.kind {
            USERNAME => keep_first(&mut self.username, attribute.value),
            USE_CANDIDATE => self.use_candidate = true,
            ICE_CONTROLLING => keep_first(&mut self.controlling, attribute.exactly()?),
            ICE_CONTROLLED => keep_first(&mut self.controlled, attribute.exactly()?),
            PRIORITY => keep_first(&mut self.priority, attribute.exactly()?),
            kind => self.unknown |= kind < COMPREHENSION_OPTIONAL && !MEANINGLESS.contains(&kind),
        }
        Ok(())
    }

    fn into_request(self, datagram: &[u8]) -> Result<Request<'a>, Drop> {
        let integrity = self.integrity.ok_or(Drop::BadIntegrity)?;
        let username = self
            .username
            .and_then(|name| core::str::from_utf8(name).ok());
        let (local_ufrag, remote_ufrag) = username
            .and_then(|name| name.split_once(':'))
            .ok_or(Drop::UnknownUser)?;
        Ok(Request {
            transaction: datagram
                .get(8..)
                .and_then(<[u8]>::first_chunk)
                .copied()
                .ok_or(Drop::Malformed)?,
            local_ufrag,
            remote_ufrag,
            use_candidate: self.use_candidate,
            controlling: self.controlling.map(u64::from_be_bytes),
            controlled: self.controlled.map(u64::from_be_bytes),
            priority: self.priority.map_or(0, u32::from_be_bytes),
            unknown: self.unknown,
            integrity,
        })
    }
}

fn keep_first<T>(kept: &mut Option<T>, value: T) {
    kept.get_or_insert(value);
}

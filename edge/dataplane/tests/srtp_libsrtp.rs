//! Both directions against packets that libsrtp made; `tests/vectors/srtp_libsrtp.py` wrote them.

use dataplane::srtp::{Inbound, Outbound, Profile};
use dataplane::types::Ssrc;

const VECTORS: &str = include_str!("vectors/srtp_libsrtp.txt");
/// Fixed header, and one word of extension behind its own header.
const HEADER: usize = 20;

struct Vector {
    profile: Profile,
    kind: &'static str,
    rollover: u64,
    keying: Vec<u8>,
    plain: Vec<u8>,
    protected: Vec<u8>,
}

impl Vector {
    fn ssrc(&self) -> Ssrc {
        Ssrc(u32::from_be_bytes(self.plain[8..12].try_into().unwrap()))
    }

    fn sequence(&self) -> u16 {
        u16::from_be_bytes(self.plain[2..4].try_into().unwrap())
    }

    fn index(&self) -> u64 {
        self.rollover << 16 | u64::from(self.sequence())
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// The vectors by profile: the index of RTCP and the windows carry on from line to line.
fn sessions() -> Vec<Vec<Vector>> {
    let vectors: Vec<Vector> = VECTORS
        .lines()
        .map(|line| {
            let fields: Vec<&'static str> = line.split(' ').collect();
            Vector {
                profile: Profile::from_name(fields[0]).unwrap(),
                kind: fields[1],
                rollover: fields[2].parse().unwrap(),
                keying: hex(fields[3]),
                plain: hex(fields[4]),
                protected: hex(fields[5]),
            }
        })
        .collect();
    let mut sessions: Vec<Vec<Vector>> = Vec::new();
    for vector in vectors {
        match sessions.last_mut() {
            Some(session) if session[0].profile == vector.profile => session.push(vector),
            _ => sessions.push(vec![vector]),
        }
    }
    assert_eq!(sessions.len(), 3);
    sessions
}

#[test]
fn protects_as_libsrtp_does() {
    for session in sessions() {
        let mut outbound = Outbound::new(session[0].profile, &session[0].keying).unwrap();
        for vector in &session {
            let mut packet = vector.plain.clone();
            if vector.kind == "rtp" {
                packet.resize(packet.len() + outbound.overhead(), 0);
                outbound.protect_rtp(&mut packet, HEADER, vector.ssrc(), vector.index());
            } else {
                outbound.protect_rtcp(&mut packet);
            }
            assert!(
                packet == vector.protected,
                "{:?} {}",
                vector.profile,
                vector.kind
            );
        }
    }
}

#[test]
fn reads_what_libsrtp_sends() {
    for session in sessions() {
        let mut inbound = Inbound::new(session[0].profile, &session[0].keying).unwrap();
        for vector in &session {
            let mut packet = vector.protected.clone();
            let end = if vector.kind == "rtp" {
                let (ssrc, sequence) = (vector.ssrc(), vector.sequence());
                let read = inbound.unprotect_rtp(&mut packet, HEADER, ssrc, sequence);
                let (end, index) = read.unwrap();
                assert_eq!(index, vector.index());
                end
            } else {
                inbound.unprotect_rtcp(&mut packet).unwrap()
            };
            assert!(
                packet[..end] == vector.plain,
                "{:?} {}",
                vector.profile,
                vector.kind
            );
        }
    }
}

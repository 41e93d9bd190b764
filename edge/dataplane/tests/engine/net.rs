//! A seeded network in virtual time, and the STUN requests of a peer.

use std::collections::BTreeMap;

pub const MS: u64 = 1_000;
pub const S: u64 = 1_000_000;

/// Xorshift64: the same numbers on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// One direction between a peer and the edge.
pub struct Link {
    pub delay_us: u64,
    /// Up to this much more, drawn for each datagram: reorders.
    pub jitter_us: u64,
    pub loss: f64,
    /// Bottleneck with a queue of 300 ms, where given.
    pub rate_bps: Option<f64>,
    random: Random,
    busy_until: f64,
    waiting: BTreeMap<(u64, u64), Vec<u8>>,
    count: u64,
}

impl Link {
    pub fn new(seed: u64) -> Self {
        Link {
            delay_us: 0,
            jitter_us: 0,
            loss: 0.0,
            rate_bps: None,
            random: Random::new(seed),
            busy_until: 0.0,
            waiting: BTreeMap::new(),
            count: 0,
        }
    }

    pub fn send(&mut self, datagram: Vec<u8>, now: u64) {
        if self.random.unit() < self.loss {
            return;
        }
        let mut leaves = now as f64;
        if let Some(rate) = self.rate_bps {
            let start = self.busy_until.max(now as f64);
            if start - now as f64 > 300e3 {
                return;
            }
            self.busy_until = start + (datagram.len() + 28) as f64 * 8e6 / rate;
            leaves = self.busy_until;
        }
        let jitter = self.random.unit() * self.jitter_us as f64;
        let at = (leaves + jitter) as u64 + self.delay_us;
        self.count += 1;
        self.waiting.insert((at, self.count), datagram);
    }

    pub fn due(&mut self, now: u64) -> Vec<Vec<u8>> {
        let later = self.waiting.split_off(&(now + 1, 0));
        std::mem::replace(&mut self.waiting, later)
            .into_values()
            .collect()
    }
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend(kind.to_be_bytes());
    out.extend((value.len() as u16).to_be_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn set_length(out: &mut [u8], more: usize) {
    let length = (out.len() - 20 + more) as u16;
    out[2..4].copy_from_slice(&length.to_be_bytes());
}

/// What an ICE agent sends: RFC 8445, section 7.2.2.
pub fn binding_request(user: &str, password: &str, nominate: bool) -> Vec<u8> {
    let mut out = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    out.extend(*b"transaction!");
    attribute(&mut out, 0x0006, user.as_bytes());
    attribute(&mut out, 0x802a, &[7; 8]);
    attribute(&mut out, 0x0024, &[1; 4]);
    if nominate {
        attribute(&mut out, 0x0025, &[]);
    }
    set_length(&mut out, 24);
    let key = ring::hmac::Key::new(
        ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        password.as_bytes(),
    );
    let tag = ring::hmac::sign(&key, &out);
    attribute(&mut out, 0x0008, tag.as_ref());
    set_length(&mut out, 8);
    let fingerprint = crc32fast::hash(&out) ^ 0x5354_554e;
    attribute(&mut out, 0x8028, &fingerprint.to_be_bytes());
    out
}

/// Whether an answer is signed with the password (the last but one attribute is the tag).
pub fn is_signed(answer: &[u8], password: &str) -> bool {
    let tag_at = answer.len() - 8 - 24;
    let mut signed = answer[..tag_at].to_vec();
    set_length(&mut signed, 24);
    let key = ring::hmac::Key::new(
        ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        password.as_bytes(),
    );
    ring::hmac::verify(&key, &signed, &answer[tag_at + 4..tag_at + 24]).is_ok()
}

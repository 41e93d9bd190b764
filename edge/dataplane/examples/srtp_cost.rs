//! Prints what it costs to protect and to read one RTP packet of 1228 bytes on the wire, by
//! profile and by number of contexts in rotation. Run it with `cargo run --release --example
//! srtp_cost`. Each figure is the best of many short rounds: the others shared the core.

use dataplane::srtp::{Inbound, Outbound, Profile};
use dataplane::types::Ssrc;
use std::time::{Duration, Instant};

/// RTP packet with tag, in bytes.
const PACKET: usize = 1228;
/// Fixed RTP header, in bytes.
const HEADER: usize = 12;
/// Packets per round.
const ROUND: usize = 4000;
/// Rounds per figure.
const ROUNDS: usize = 16;
const SSRC: Ssrc = Ssrc(0x5501_A0B2);

fn main() {
    println!("profile            contexts  protect ns  unprotect ns  (1228-byte packets)");
    for (name, profile) in [
        ("AEAD_AES_128_GCM", Profile::AeadAes128Gcm),
        ("AEAD_AES_256_GCM", Profile::AeadAes256Gcm),
        ("AES128_CM_SHA1_80", Profile::Aes128CmSha1_80),
    ] {
        for contexts in [1, 200, 1000] {
            let (protect, unprotect) = (protect(profile, contexts), unprotect(profile, contexts));
            println!("{name:18} {contexts:8} {protect:11} {unprotect:13}");
        }
    }
    let sizes = (size_of::<Outbound>(), size_of::<Inbound>());
    println!(
        "Outbound is {} bytes, Inbound {} and 144 per SSRC",
        sizes.0, sizes.1
    );
}

fn keying(profile: Profile, context: usize) -> Vec<u8> {
    let mut keying = vec![context as u8; profile.key_len() + profile.salt_len()];
    keying[..8].copy_from_slice(&(context as u64).to_be_bytes());
    keying
}

fn packet(sequence: u16) -> [u8; PACKET] {
    let mut packet = [0x5A; PACKET];
    packet[..2].copy_from_slice(&[0x80, 96]);
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[8..12].copy_from_slice(&SSRC.0.to_be_bytes());
    packet
}

/// Nanoseconds for one packet, the contexts in turn.
fn protect(profile: Profile, contexts: usize) -> u128 {
    let outbound = |context| Outbound::new(profile, &keying(profile, context));
    let mut outbound: Vec<Outbound> = (0..contexts).filter_map(outbound).collect();
    let mut packet = packet(0);
    let mut index = 0;
    let round = || {
        let start = Instant::now();
        for turn in 0..ROUND {
            index += 1;
            outbound[turn % contexts].protect_rtp(&mut packet, HEADER, SSRC, index);
        }
        start.elapsed()
    };
    best(round)
}

/// As `protect`. A window admits a packet once, so every round has packets of its own.
fn unprotect(profile: Profile, contexts: usize) -> u128 {
    let inbound = |context| Inbound::new(profile, &keying(profile, context));
    let mut inbound: Vec<Inbound> = (0..contexts).filter_map(inbound).collect();
    let outbound = |context| Outbound::new(profile, &keying(profile, context));
    let mut outbound: Vec<Outbound> = (0..contexts).filter_map(outbound).collect();
    let mut sequences = vec![0u16; contexts];
    let round = || {
        let mut packets: Vec<_> = (0..ROUND)
            .map(|turn| {
                let context = turn % contexts;
                sequences[context] = sequences[context].wrapping_add(1);
                let sequence = sequences[context];
                let mut packet = packet(sequence);
                outbound[context].protect_rtp(&mut packet, HEADER, SSRC, sequence.into());
                (sequence, packet)
            })
            .collect();
        let start = Instant::now();
        for (turn, (sequence, packet)) in packets.iter_mut().enumerate() {
            let inbound = &mut inbound[turn % contexts];
            let read = inbound.unprotect_rtp(packet, HEADER, SSRC, *sequence);
            assert!(read.is_ok(), "{read:?}");
        }
        start.elapsed()
    };
    best(round)
}

fn best(round: impl FnMut() -> Duration) -> u128 {
    let rounds = std::iter::repeat_with(round).take(ROUNDS);
    rounds.min().unwrap_or_default().as_nanos() / ROUND as u128
}

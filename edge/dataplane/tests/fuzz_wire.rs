//! Invariant of every reader of the wire: parses or refuses with a `Drop`, nothing else.
//!
//! Each target gets octets drawn at random and the kept corpus, whole and damaged. `cargo test` runs
//! a bounded number; `cargo bolero test TARGET` goes on for as long as wanted.

use std::fs;
use std::path::Path;

use dataplane::rtcp::{self, Packet};
use dataplane::rtp::{ExtensionForm, Header, HeaderFields, HeaderWriter};
use dataplane::stun::{self, Message};

const ITERATIONS: usize = 20_000;

/// What is done to a datagram of the corpus: octets overwritten, then a cut.
type Damage = (u8, Vec<(u16, u8)>, Option<u16>);

/// The kept datagrams of one target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(target);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "the corpus of {target} is empty");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn damaged(seeds: &[Vec<u8>], (seed, changes, cut): &Damage) -> Vec<u8> {
    let mut datagram = seeds[usize::from(*seed) % seeds.len()].clone();
    for (at, value) in changes {
        let at = usize::from(*at) % datagram.len();
        datagram[at] = *value;
    }
    if let Some(cut) = cut {
        datagram.truncate(usize::from(*cut) % (datagram.len() + 1));
    }
    datagram
}

/// Runs a target over its corpus; the number of datagrams that parsed.
fn accepted(target: &str, read: fn(&[u8]) -> bool) -> usize {
    corpus(target)
        .iter()
        .filter(|datagram| read(datagram))
        .count()
}

fn fuzz_damaged(target: &str, read: fn(&[u8]) -> bool) {
    let seeds = corpus(target);
    bolero::check!()
        .with_iterations(ITERATIONS)
        .with_type::<Damage>()
        .for_each(|damage| {
            read(&damaged(&seeds, damage));
        });
}

fn read_stun(datagram: &[u8]) -> bool {
    let Ok(message) = stun::parse(datagram) else {
        return false;
    };
    assert!(stun::is_stun(datagram));
    if let Message::BindingRequest(request) = message {
        let _ = request.verify(datagram, "VOkJxbRl1RmTxUk/WvJxBt");
        let _ = request.verify(&datagram[..datagram.len() / 2], "");
    }
    true
}

fn read_rtp(packet: &[u8]) -> bool {
    let Ok(header) = Header::parse(packet) else {
        return false;
    };
    assert!(header.len <= packet.len());
    for (_, data) in header.extensions(packet) {
        assert!(data.len() <= 255);
    }
    if let Ok(payload) = header.payload(packet) {
        assert!(
            payload.start == header.len
                && payload.start <= payload.end
                && payload.end <= packet.len()
        );
    }
    let _ = header.payload(&packet[..packet.len() / 2]);
    let _ = header.extensions(&packet[..packet.len() / 2]).count();
    true
}

fn read_rtcp(compound: &[u8]) -> bool {
    let mut sound = true;
    for packet in rtcp::packets(compound) {
        assert!(sound, "nothing follows a malformed packet");
        sound = packet.map(|packet| drain(packet, compound.len())).is_ok();
    }
    sound
}

/// Reads every list to its end, which no count in the packet may push beyond what arrived.
fn drain(packet: Packet<'_>, len: usize) {
    let entries = match packet {
        Packet::SenderReport { reports, .. } | Packet::ReceiverReport { reports, .. } => {
            reports.count()
        }
        Packet::Bye { ssrcs } | Packet::Remb { ssrcs, .. } => ssrcs.count(),
        Packet::Nack { lost, .. } => lost.count() / 17,
        Packet::Fir { entries, .. } => entries.count(),
        Packet::ExtendedReport { delays, .. } => delays.count(),
        Packet::TransportFeedback { fci, .. } => fci.len() / 4,
        Packet::Pli { .. } | Packet::Other { .. } => 0,
    };
    assert!(entries <= len / 4);
}

#[test]
fn the_corpus_parses_where_its_name_says_so() {
    assert_eq!(accepted("stun", read_stun), 5);
    assert_eq!(accepted("rtp", read_rtp), 5);
    assert_eq!(accepted("rtcp", read_rtcp), 8);
}

#[test]
fn stun_parses_or_refuses() {
    bolero::check!()
        .with_iterations(ITERATIONS)
        .for_each(|datagram| _ = read_stun(datagram));
}

#[test]
fn damaged_stun_parses_or_refuses() {
    fuzz_damaged("stun", read_stun);
}

#[test]
fn rtp_parses_or_refuses() {
    bolero::check!()
        .with_iterations(ITERATIONS)
        .for_each(|packet| _ = read_rtp(packet));
}

#[test]
fn damaged_rtp_parses_or_refuses() {
    fuzz_damaged("rtp", read_rtp);
}

#[test]
fn rtcp_parses_or_refuses() {
    bolero::check!()
        .with_iterations(ITERATIONS)
        .for_each(|compound| _ = read_rtcp(compound));
}

#[test]
fn damaged_rtcp_parses_or_refuses() {
    fuzz_damaged("rtcp", read_rtcp);
}

#[test]
fn a_written_header_is_read_back() {
    type Elements = Vec<(u8, Vec<u8>)>;
    bolero::check!()
        .with_iterations(ITERATIONS)
        .with_type::<(u16, u32, bool, bool, u8, Elements)>()
        .for_each(|(sequence, word, flag, two, size, elements)| {
            let fields = HeaderFields {
                marker: *flag,
                payload_type: 96,
                sequence: *sequence,
                timestamp: *word,
                ssrc: dataplane::types::Ssrc(!*word),
                padding: !*flag,
            };
            let form = if *two {
                ExtensionForm::TwoByte
            } else {
                ExtensionForm::OneByte
            };
            let mut out = vec![0xff; usize::from(*size)];
            let mut writer = HeaderWriter::new(&mut out, &fields, form);
            let expressible = |id: u8, len: usize| match form {
                ExtensionForm::OneByte => (1..=14).contains(&id) && (1..=16).contains(&len),
                ExtensionForm::TwoByte => id != 0 && len <= 255,
            };
            let written: Vec<_> = elements
                .iter()
                .filter(|(id, data)| expressible(*id, data.len()))
                .collect();
            elements
                .iter()
                .for_each(|(id, data)| writer.extension(*id, data));
            let Some(len) = writer.finish() else { return };
            let header = Header::parse(&out).unwrap();
            assert_eq!(
                (header.len, header.sequence, header.timestamp),
                (len, *sequence, *word)
            );
            assert_eq!(
                (header.marker, header.padding, header.ssrc),
                (*flag, !*flag, fields.ssrc)
            );
            let read: Vec<_> = header
                .extensions(&out)
                .map(|(id, data)| (id, data.to_vec()))
                .collect();
            assert!(read.iter().eq(written));
        });
}

#[test]
fn a_written_nack_names_exactly_the_lost() {
    bolero::check!()
        .with_iterations(2_000)
        .with_type::<(u16, Vec<u8>)>()
        .for_each(|(first, steps)| {
            let lost: Vec<u16> = steps
                .iter()
                .scan(*first, |number, step| {
                    *number = number.wrapping_add(u16::from(*step % 40) + 1);
                    Some(*number)
                })
                .collect();
            let mut out = vec![];
            rtcp::write_nack(
                &mut out,
                dataplane::types::Ssrc(1),
                dataplane::types::Ssrc(2),
                &lost,
            );
            let mut read = vec![];
            for packet in rtcp::packets(&out) {
                let Ok(Packet::Nack { lost, .. }) = packet else {
                    panic!("not a NACK: {packet:?}")
                };
                read.extend(lost);
            }
            assert_eq!(read, lost);
        });
}

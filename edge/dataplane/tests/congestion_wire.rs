//! Transport-wide feedback byte by byte (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use dataplane::congestion::{Recorder, parse};
use dataplane::error::Drop;
use dataplane::types::Ssrc;

const REFERENCE_US: u64 = 64_000;

fn write(packets: &[(u16, u64)]) -> Vec<u8> {
    let mut recorder = Recorder::new();
    for &(sequence, arrival) in packets {
        recorder.on_packet(sequence, arrival);
    }
    let mut out = Vec::new();
    recorder.write(&mut out, Ssrc(0x0102_0304), Ssrc(0x0506_0708), 0);
    out
}

/// `(sequence, arrival in microseconds)` of all messages in `bytes`, lost packets left out.
fn read(mut bytes: &[u8]) -> Vec<(u16, i64)> {
    let mut packets = Vec::new();
    while bytes.len() >= 4 {
        let length = 4 * (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])) + 1);
        let feedback = parse(&bytes[12..length]).unwrap();
        let reference = i64::from(feedback.reference()) * REFERENCE_US as i64;
        packets.extend(
            feedback
                .iter()
                .filter_map(|(n, at)| Some((n, reference + at?))),
        );
        bytes = &bytes[length..];
    }
    packets
}

#[test]
fn golden_one_packet() {
    let golden = [
        0xaf, 205, 0, 5, 1, 2, 3, 4, 5, 6, 7, 8, // header with the P bit, SSRCs
        0x00, 0x07, 0, 1, 0, 0, 2, 0, // base 7, one packet, 128 ms, message 0
        0x20, 0x01, 4, 1, // run of one small delta, 1 ms, one byte of padding
    ];
    assert_eq!(write(&[(7, 129_000)]), golden);
}

#[test]
fn golden_vectors_as_in_the_draft() {
    // Section 3.1.4: 0 1 1 1 1 1 0 0 0 1 1 1 0 0 as one-bit symbols ...
    let mut fci = vec![0, 0, 0, 14, 0, 0, 1, 9, 0x9f, 0x1c];
    fci.extend([4; 8]);
    let feedback = parse(&fci).unwrap();
    let statuses: Vec<_> = feedback.iter().map(|(_, at)| at).collect();
    let expected = [0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0];
    assert_eq!(
        statuses
            .iter()
            .map(|at| i32::from(at.is_some()))
            .collect::<Vec<_>>(),
        expected
    );
    assert_eq!((statuses[1], statuses[11]), (Some(1_000), Some(8_000)));
    assert_eq!(
        (feedback.base(), feedback.reference(), feedback.number()),
        (0, 1, 9)
    );
    // ... and 0, 3 x 1, 0, 2, 1 as two-bit symbols, with a negative delta.
    let fci = [0, 0, 0, 7, 0, 0, 0, 0, 0xc5, 0x49, 4, 4, 4, 0xff, 0xfc, 8];
    let statuses: Vec<_> = parse(&fci).unwrap().iter().map(|(_, at)| at).collect();
    let expected = [
        None,
        Some(1_000),
        Some(2_000),
        Some(3_000),
        None,
        Some(2_000),
        Some(4_000),
    ];
    assert_eq!(statuses, expected);
}

#[test]
fn golden_run_lengths_as_in_the_draft() {
    // Section 3.1.3: a run of 221 packets not received, then 24 received.
    let mut fci = vec![
        0xff, 0xff, 0, 245, 0xff, 0xff, 0xff, 1, 0x00, 0xdd, 0x20, 0x18,
    ];
    fci.extend([1; 24]);
    let packets: Vec<_> = parse(&fci).unwrap().iter().collect();
    assert_eq!((packets[0], packets[220]), ((65_535, None), (219, None)));
    assert_eq!(
        (packets[221], packets[244]),
        ((220, Some(250)), (243, Some(6_000)))
    );
}

#[test]
fn refuses_what_contradicts_itself() {
    let refused: [&[u8]; 7] = [
        &[],
        &[0, 0, 0, 1, 0, 0, 0],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0x01],
        &[0, 0, 0, 1, 0, 0, 0, 0],
        &[0, 0, 0, 1, 0, 0, 0, 0, 0x20, 0x01],
        &[0, 0, 0, 1, 0, 0, 0, 0, 0x60, 0x01, 0, 0, 0],
        &[0, 0, 0xff, 0xff, 0, 0, 0, 0, 0x3f, 0xff, 0, 0],
    ];
    for fci in refused {
        assert_eq!(parse(fci).err(), Some(Drop::Malformed), "{fci:?}");
    }
    assert!(
        parse(&[0, 0, 0, 1, 0, 0, 0, 0, 0x00, 0x00, 0x20, 0x01, 4]).is_ok(),
        "an empty run"
    );
}

#[test]
fn a_steady_stream_is_one_run() {
    let packets: Vec<_> = (0..50)
        .map(|n| (n, 1_000_000 + u64::from(n) * 2_000))
        .collect();
    let bytes = write(&packets);
    assert_eq!(bytes.len(), 20 + 2 + 50);
    assert_eq!(bytes[20..22], [0x20, 50]);
    assert_eq!(read(&bytes).len(), 50);
}

#[test]
fn what_was_received_is_read_back_within_a_tick() {
    let cases: [(&str, Vec<(u16, u64)>); 6] = [
        (
            "wrap of the number",
            vec![(65_534, 0), (65_535, 900), (0, 1_800), (1, 2_700)],
        ),
        (
            "loss",
            vec![(10, 5_000), (13, 6_000), (40, 7_000), (41, 90_000)],
        ),
        (
            "reordered",
            vec![(10, 5_000), (12, 6_000), (11, 9_000), (9, 9_500)],
        ),
        (
            "large deltas",
            vec![(1, 0), (2, 64_000), (3, 8_000_000), (4, 8_000_250)],
        ),
        (
            "a gap no delta can tell",
            vec![(1, 0), (2, 20_000_000), (3, 20_000_250)],
        ),
        (
            "wrap of the reference",
            (0..8)
                .map(|n| (n, ((1 << 24) - 2) * REFERENCE_US + u64::from(n) * 30_000))
                .collect(),
        ),
    ];
    for (name, packets) in cases {
        let cycle = (1i64 << 24) * REFERENCE_US as i64;
        let mut expected: Vec<_> = packets
            .iter()
            .map(|&(n, at)| (n, at as i64 / 250 * 250 % cycle))
            .collect();
        let first = packets[0].0.wrapping_sub(100);
        expected.sort_by_key(|&(n, _)| n.wrapping_sub(first));
        let found: Vec<_> = read(&write(&packets))
            .iter()
            .map(|&(n, at)| (n, at % cycle))
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_late_packet_before_the_base_reopens_the_report() {
    let mut recorder = Recorder::new();
    let mut out = Vec::new();
    for sequence in [1, 2, 4] {
        recorder.on_packet(sequence, 1_000_000);
    }
    recorder.write(&mut out, Ssrc(1), Ssrc(2), 1_100_000);
    out.clear();
    recorder.on_packet(3, 1_150_000);
    recorder.on_packet(4, 1_150_000);
    assert_eq!(recorder.deadline(), Some(1_250_000));
    recorder.write(&mut out, Ssrc(1), Ssrc(2), 1_250_000);
    assert_eq!(read(&out), [(3, 1_150_000), (4, 1_000_000)]);
    assert_eq!(out[19], 1, "the message's number goes up");
    out.clear();
    recorder.write(&mut out, Ssrc(1), Ssrc(2), 1_300_000);
    assert!(out.is_empty() && recorder.deadline().is_none());
}

#[test]
fn long_reports_are_split_and_memory_is_bounded() {
    let packets: Vec<_> = (0..5_000).map(|n| (n, u64::from(n) * 70_000)).collect();
    let bytes = write(&packets);
    let mut rest = bytes.as_slice();
    let mut messages = 0;
    while rest.len() >= 4 {
        let length = 4 * (usize::from(u16::from_be_bytes([rest[2], rest[3]])) + 1);
        assert!(length <= 1_200);
        rest = &rest[length..];
        messages += 1;
    }
    assert_eq!((messages, read(&bytes).len()), (2, 1_024));
}

#[test]
fn fast_streams_are_reported_sooner() {
    let mut recorder = Recorder::new();
    assert_eq!(recorder.deadline(), None);
    recorder.on_packet(0, 1_000);
    assert_eq!(recorder.deadline(), Some(101_000));
    for sequence in 1..40 {
        recorder.on_packet(sequence, 2_000);
    }
    assert_eq!(recorder.deadline(), Some(51_000));
}

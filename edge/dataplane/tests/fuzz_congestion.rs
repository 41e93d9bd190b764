//! Invariant: transport feedback parses or is refused; it never panics, takes no allocation by a
//! length field, and whatever an estimator is told, its target stays inside its bounds.

use dataplane::congestion::{Estimator, Recorder, parse};
use dataplane::types::Ssrc;

#[test]
fn feedback_parses_or_refuses() {
    bolero::check!()
        .with_iterations(20_000)
        .for_each(|input: &[u8]| {
            if let Ok(feedback) = parse(input) {
                assert_eq!(feedback.iter().count(), usize::from(feedback.count()));
                assert!(input.len() >= 10);
            }
        });
}

#[test]
fn any_feedback_keeps_the_target_inside_its_bounds() {
    bolero::check!()
        .with_iterations(2_000)
        .for_each(|input: &[u8]| {
            let mut estimator = Estimator::new(1_000_000, 100_000, 5_000_000);
            let mut now = 1_000_000;
            for (index, chunk) in input.chunks(24).enumerate() {
                for size in 0..40 {
                    now += 777;
                    estimator.on_sent(size * 40, now);
                }
                let mut fci = chunk.to_vec();
                // Half of the messages get a base that was really sent, so that they go further.
                if index % 2 == 0 && fci.len() > 4 {
                    (fci[0], fci[1], fci[2]) = (0, (index * 40) as u8, 0);
                }
                let _ = estimator.on_transport_feedback(&fci, now);
                if let Some(plan) = estimator.want_probe(2_000_000, now) {
                    assert!(plan.bytes < 100_000 && plan.until > now);
                }
                estimator.on_deadline(now + u64::from(chunk[0]) * 10_000);
                assert!((100_000..=5_000_000).contains(&estimator.target_bps()));
            }
        });
}

#[test]
fn what_the_recorder_writes_is_read_back() {
    bolero::check!()
        .with_iterations(2_000)
        .with_type::<Vec<(u16, u32)>>()
        .for_each(|packets| {
            let mut recorder = Recorder::new();
            let mut now = 1 << 40;
            for (step, wait) in packets {
                recorder.on_packet(*step, now);
                now += u64::from(*wait) % 20_000_000;
            }
            let mut out = Vec::new();
            recorder.write(&mut out, Ssrc(1), Ssrc(2), now);
            let mut rest = out.as_slice();
            while rest.len() >= 20 {
                let length = 4 * (usize::from(u16::from_be_bytes([rest[2], rest[3]])) + 1);
                assert!(length <= 1_200);
                let feedback = parse(&rest[12..length]).unwrap();
                assert!(feedback.iter().any(|(_, arrival)| arrival.is_some()));
                rest = &rest[length..];
            }
            assert_eq!((rest.len(), out.is_empty()), (0, packets.is_empty()));
        });
}

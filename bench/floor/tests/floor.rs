//! The program as a whole: what it sends arrives, and can be read with the receiver's key.

use std::process::Command;

fn floor(line: &str) -> (bool, String) {
    let arguments = line.split_whitespace();
    let output = Command::new(env!("CARGO_BIN_EXE_floor"))
        .args(arguments)
        .output()
        .unwrap();
    (
        output.status.success(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

#[test]
fn every_profile_and_burst_delivers_authentic_packets() {
    for profile in ["gcm128", "gcm256", "cm80"] {
        for burst in ["frame", "spaced"] {
            let (ok, out) = floor(&format!(
                "--receivers 3 --seconds 0.2 --profile {profile} --burst {burst} \
                 --reader-cpu 0 --json"
            ));
            assert!(ok);
            for expected in ["\"packets_sent\": 156", "\"packets_received\": 156"] {
                assert!(out.contains(expected), "{profile} {burst}: {out}");
            }
            for expected in ["\"authentic\": 52", "\"forged\": 0"] {
                assert!(out.contains(expected), "{profile} {burst}: {out}");
            }
        }
    }
}

#[test]
fn a_frame_larger_than_a_message_is_split() {
    let (ok, out) = floor("--rate-bps 60e6 --receivers 2 --seconds 0.1 --reader-cpu 0 --json");
    assert!(ok);
    assert!(out.contains("\"packets_sent\": 1250"), "{out}");
    assert!(out.contains("\"forged\": 0"), "{out}");
}

#[test]
fn mistakes_are_told() {
    assert!(!floor("--receivers none").0);
    assert!(!floor("--receivers 1 --pin-cpu 100000 --seconds 0.1").0);
}

//! Load for WebRTC gateways: WHEP (or Janus) players that count, and a WHIP publisher.
#![deny(unsafe_code)]

mod cli;
mod dtls;
mod frames;
mod http;
mod play;
mod player;
mod publish;
mod rtcp;
mod sctp;
mod sdp;
mod signalling;
mod srtp;
mod stats;
mod stun;
#[allow(unsafe_code)]
mod sys;
mod transport;

use std::process::ExitCode;

use cli::Arguments;
use srtp::Profile;

const USAGE: &str = "\
load play URL... [--signalling whep|janus] [--players N] [--rate JOINS/S] [--seconds S] [--settle S]
          [--profile gcm128|gcm256|cm80] [--cpu N] [--sample N] [--audio] [--data-channel] [--token T]
          [--pid PID] [--series-ms MS] [--late-ms MS] [--join-timeout S] [--user-clock] [--json]
load publish URL [--bitrate BPS] [--fps N] [--burst frame|spaced] [--key-interval S] [--key-scale X]
          [--seconds S] [--profile P] [--cpu N] [--audio] [--plain-rtp] [--token T] [--fifo] [--json]
          (with --plain-rtp the URL is HOST:PORT)";

const VALUES: &[&str] = &[
    "signalling",
    "players",
    "rate",
    "seconds",
    "settle",
    "profile",
    "cpu",
    "sample",
    "token",
    "pid",
    "series-ms",
    "late-ms",
    "join-timeout",
    "bitrate",
    "fps",
    "burst",
    "key-interval",
    "key-scale",
];
const FLAGS: &[&str] = &[
    "audio",
    "data-channel",
    "user-clock",
    "json",
    "plain-rtp",
    "fifo",
];

fn run() -> Result<(), String> {
    let mut input = std::env::args().skip(1);
    let mode = input.next().ok_or(USAGE)?;
    let arguments = Arguments::parse(input, VALUES, FLAGS)?;
    sys::raise_file_limit();
    sys::watch_signals();
    if let Some(cpu) = arguments.text("cpu") {
        let cpu = cpu
            .parse()
            .map_err(|_| format!("--cpu {cpu} is not a number"))?;
        sys::pin(cpu).map_err(|error| format!("--cpu {cpu}: {error}"))?;
    }
    let name = arguments.text("profile").unwrap_or("gcm128");
    let profile = Profile::parse(name).ok_or_else(|| format!("unknown profile {name}"))?;
    let report = match mode.as_str() {
        "play" => play::run(&arguments, profile)?,
        "publish" => publish::run(&arguments, profile)?,
        _ => return Err(USAGE.to_owned()),
    };
    if arguments.flag("json") {
        println!("{report}");
    } else {
        println!("{report:#}");
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

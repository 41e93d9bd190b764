//! The floor of the fan-out benchmark: N receivers on loopback get the media of one stream, each
//! under its own SRTP key, with nothing of a gateway in between. What a gateway costs above this
//! is its own.
//!
//! The sender does what no gateway can leave out: it copies each packet, rewrites its header,
//! encrypts it, and hands bursts to the kernel by `sendmmsg` with segmentation offload. A reader
//! on another core drains all receivers, so the sender pays for real deliveries.
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod io;
mod options;
mod pace;
mod reader;
mod report;
mod sender;

use options::Options;
use report::Report;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(report) if options.json => println!("{}", report.json(&options)),
        Ok(report) => println!("{}", report.text(&options)),
        Err(problem) => {
            eprintln!("floor: {problem}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn run(options: &Options) -> std::io::Result<Report> {
    io::raise_open_files()?;
    let (reader, addresses) = reader::start(options)?;
    io::pin(options.pin_cpu)?;
    let sent = sender::run(options, &addresses)?;
    let received = reader.finish()?;
    Ok(Report { sent, received })
}

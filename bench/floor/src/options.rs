//! The command line.

use dataplane::srtp::Profile;
use std::str::FromStr;

/// What `--help` and every mistake print.
pub const USAGE: &str = "usage: floor [--receivers N] [--rate-bps BPS] [--fps F] \
[--burst frame|spaced] [--profile gcm128|gcm256|cm80] [--seconds S] [--pin-cpu C] \
[--reader-cpu C] [--flat-out] [--json]";

/// How the packets of a frame leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Burst {
    /// All at once, as an encoder hands them over.
    Frame,
    /// Evenly over the time of the frame.
    Spaced,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Destinations.
    pub receivers: usize,
    /// Payload bits per second to each receiver.
    pub rate_bps: f64,
    /// Frames per second.
    pub fps: f64,
    /// How the packets of a frame leave.
    pub burst: Burst,
    /// Encryption.
    pub profile: Profile,
    /// Duration of the media that is sent, in seconds.
    pub seconds: f64,
    /// Core of the sender.
    pub pin_cpu: usize,
    /// Core of the reader.
    pub reader_cpu: usize,
    /// Without sleeping between bursts; the receivers then lose packets.
    pub flat_out: bool,
    /// One JSON object instead of text.
    pub json: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            receivers: 200,
            rate_bps: 2_500_000.0,
            fps: 30.0,
            burst: Burst::Frame,
            profile: Profile::AeadAes128Gcm,
            seconds: 3.0,
            pin_cpu: 0,
            reader_cpu: 1,
            flat_out: false,
            json: false,
        }
    }
}

impl Options {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    /// The first argument that is not understood, in words.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options::default();
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--json" => options.json = true,
                "--flat-out" => options.flat_out = true,
                _ => {
                    let value = arguments
                        .next()
                        .ok_or(format!("{name}: a value is missing"))?;
                    options.set(&name, &value)?;
                }
            }
        }
        options.check()
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "--receivers" => self.receivers = number(name, value)?,
            "--rate-bps" => self.rate_bps = number(name, value)?,
            "--fps" => self.fps = number(name, value)?,
            "--seconds" => self.seconds = number(name, value)?,
            "--pin-cpu" => self.pin_cpu = number(name, value)?,
            "--reader-cpu" => self.reader_cpu = number(name, value)?,
            "--burst" => self.burst = choose(name, value, &BURSTS)?,
            "--profile" => self.profile = choose(name, value, &PROFILES)?,
            _ => return Err(format!("{name}: no such option")),
        }
        Ok(())
    }

    fn check(self) -> Result<Options, String> {
        let positive = [self.rate_bps, self.fps, self.seconds];
        if positive
            .iter()
            .any(|value| !value.is_finite() || *value <= 0.0)
        {
            return Err("--rate-bps, --fps and --seconds are above zero".into());
        }
        if !(1..=10_000).contains(&self.receivers) {
            return Err("--receivers is between 1 and 10000".into());
        }
        Ok(self)
    }

    /// The profile's name on the command line.
    pub fn profile_name(&self) -> &'static str {
        name_of(self.profile, &PROFILES)
    }

    /// The burst's name on the command line.
    pub fn burst_name(&self) -> &'static str {
        name_of(self.burst, &BURSTS)
    }
}

const BURSTS: [(&str, Burst); 2] = [("frame", Burst::Frame), ("spaced", Burst::Spaced)];
const PROFILES: [(&str, Profile); 3] = [
    ("gcm128", Profile::AeadAes128Gcm),
    ("gcm256", Profile::AeadAes256Gcm),
    ("cm80", Profile::Aes128CmSha1_80),
];

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("{name}: {value:?} is not a number of its kind"))
}

fn choose<T: Copy>(name: &str, value: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices.iter().find(|(known, _)| *known == value);
    found
        .map(|(_, choice)| *choice)
        .ok_or(format!("{name}: {value:?} is no choice"))
}

fn name_of<T: PartialEq>(value: T, choices: &[(&'static str, T)]) -> &'static str {
    let found = choices.iter().find(|(_, known)| *known == value);
    found.map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn reads_every_option() {
        let line = "--receivers 50 --rate-bps 1e6 --fps 25 --burst spaced --profile cm80 \
            --seconds 1.5 --pin-cpu 1 --reader-cpu 0 --flat-out --json";
        let options = parse(line).unwrap();
        assert_eq!(
            (options.receivers, options.pin_cpu, options.reader_cpu),
            (50, 1, 0)
        );
        assert_eq!(
            (options.rate_bps, options.fps, options.seconds),
            (1e6, 25.0, 1.5)
        );
        assert_eq!(
            (options.burst_name(), options.profile_name()),
            ("spaced", "cm80")
        );
        assert!(options.flat_out && options.json);
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for line in [
            "--receivers",
            "--receivers x",
            "--receivers 0",
            "--fps -1",
            "--fps nan",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        for line in ["--profile none", "--burst all", "--unknown 1", "200"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}

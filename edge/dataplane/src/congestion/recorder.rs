//! Receive side of transport-wide feedback: remembers arrivals, writes whole RTCP packets.

use super::feedback::{FORMAT, PACKET_TYPE, REFERENCE_US, TICK_US};
use crate::types::{Micros, Ssrc, Unwrapper};

/// Arrivals remembered. At 1,000 packets/s this is ten times the longest feedback interval.
const WINDOW: u64 = 1024;
/// Longest message, so that it fits any path with SRTCP and IP headers on top.
const MESSAGE_BYTES: usize = 1200;
/// RTCP header, two SSRCs and the fixed part of the FCI.
const HEADER_BYTES: usize = 20;
/// Feedback interval of a slow stream; libwebrtc's default.
const INTERVAL_US: Micros = 100_000;
/// Feedback interval once `BUSY_PACKETS` wait: a fast stream can pay for faster reaction.
const BUSY_INTERVAL_US: Micros = 50_000;
/// Packets from which a stream counts as fast.
const BUSY_PACKETS: u32 = 32;
/// Mark of a slot whose packet has not arrived.
const NEVER: Micros = Micros::MAX;

/// Arrival times of one transport, and what has been reported of them.
#[derive(Debug)]
pub struct Recorder {
    /// Extends the sequence numbers.
    numbers: Unwrapper<16>,
    /// Arrival by sequence number modulo `WINDOW`.
    arrivals: Box<[Micros]>,
    /// First number of the next message.
    begin: u64,
    /// One past the highest number seen; zero before the first packet.
    end: u64,
    /// When the first packet not yet reported arrived.
    since: Option<Micros>,
    /// Packets not yet reported.
    waiting: u32,
    /// Running number of the messages.
    number: u8,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// A recorder that has seen nothing.
    pub fn new() -> Self {
        Self {
            numbers: Unwrapper::default(),
            arrivals: vec![NEVER; WINDOW as usize].into_boxed_slice(),
            begin: 0,
            end: 0,
            since: None,
            waiting: 0,
            number: 0,
        }
    }

    /// Notes an arrival. Duplicates and packets older than the window are ignored.
    pub fn on_packet(&mut self, sequence: u16, now: Micros) {
        let number = self.numbers.extend(u64::from(sequence));
        if self.end == 0 {
            (self.begin, self.end) = (number, number);
        }
        self.advance(number);
        if number + WINDOW < self.end || self.arrival(number).is_some() {
            return;
        }
        if let Some(slot) = self.arrivals.get_mut((number % WINDOW) as usize) {
            *slot = now;
        }
        // A late packet reopens the report from its number on: the sender ignores what it knows.
        self.begin = self.begin.min(number).max(self.end.saturating_sub(WINDOW));
        self.since.get_or_insert(now);
        self.waiting += 1;
    }

    /// When `write` is due: 50-100 ms after the first unreported packet.
    pub fn deadline(&self) -> Option<Micros> {
        let interval = if self.waiting >= BUSY_PACKETS {
            BUSY_INTERVAL_US
        } else {
            INTERVAL_US
        };
        self.since.map(|since| since + interval)
    }

    /// Appends RTCP packets that report everything not yet reported; nothing when there is none.
    pub fn write(&mut self, out: &mut Vec<u8>, sender: Ssrc, media: Ssrc, _now: Micros) {
        if self.since.take().is_none() {
            return;
        }
        self.waiting = 0;
        while self.begin < self.end {
            let Some(message) = Message::plan(self) else {
                break;
            };
            message.write(self, out, [sender, media]);
            self.begin += message.symbols.len() as u64;
            self.number = self.number.wrapping_add(1);
        }
        self.begin = self.end;
    }

    fn arrival(&self, number: u64) -> Option<Micros> {
        let arrival = *self.arrivals.get((number % WINDOW) as usize)?;
        (arrival != NEVER).then_some(arrival)
    }

    /// Moves the end past `number` and empties the slots in between.
    fn advance(&mut self, number: u64) {
        for fresh in self.end.max((number + 1).saturating_sub(WINDOW))..=number {
            if let Some(slot) = self.arrivals.get_mut((fresh % WINDOW) as usize) {
                *slot = NEVER;
            }
        }
        self.end = self.end.max(number + 1);
        self.begin = self.begin.max(self.end.saturating_sub(WINDOW));
    }
}

/// The packets that one message will report.
struct Message {
    /// Reference time in units of 64 ms.
    reference: Micros,
    /// Status of each packet; also the size of its delta.
    symbols: Vec<u8>,
    /// Bytes of all deltas.
    delta_bytes: usize,
}

impl Message {
    /// Takes packets from `begin` on, until the message is full or a delta does not fit.
    fn plan(recorder: &Recorder) -> Option<Self> {
        let first = (recorder.begin..recorder.end).find_map(|n| recorder.arrival(n))?;
        let reference = first / REFERENCE_US as Micros;
        let mut message = Self {
            reference,
            symbols: Vec::new(),
            delta_bytes: 0,
        };
        let mut clock = message.reference_ticks();
        for number in recorder.begin..recorder.end {
            let mut symbol = 0;
            if let Some(arrival) = recorder.arrival(number) {
                let delta = ticks(arrival) - clock;
                let Some(size) = delta_size(delta) else { break };
                (symbol, clock) = (size, clock + delta);
            }
            if message.bytes_with(symbol) > MESSAGE_BYTES {
                break;
            }
            message.symbols.push(symbol);
            message.delta_bytes += usize::from(symbol);
        }
        Some(message)
    }

    fn reference_ticks(&self) -> i64 {
        self.reference as i64 * (REFERENCE_US / TICK_US)
    }

    /// Upper bound of the message's size with one more packet: a chunk for every seven.
    fn bytes_with(&self, symbol: u8) -> usize {
        let chunks = self.symbols.len() / 7 + 1;
        HEADER_BYTES + 2 * chunks + self.delta_bytes + usize::from(symbol) + 3
    }

    fn write(&self, recorder: &Recorder, out: &mut Vec<u8>, ssrcs: [Ssrc; 2]) {
        let start = out.len();
        out.extend_from_slice(&[0x80 | FORMAT, PACKET_TYPE, 0, 0]);
        for ssrc in ssrcs {
            out.extend_from_slice(&ssrc.0.to_be_bytes());
        }
        out.extend_from_slice(&(recorder.begin as u16).to_be_bytes());
        out.extend_from_slice(&(self.symbols.len() as u16).to_be_bytes());
        let reference = (self.reference as u32).to_be_bytes();
        out.extend_from_slice(&[reference[1], reference[2], reference[3], recorder.number]);
        write_chunks(&self.symbols, out);
        self.write_deltas(recorder, out);
        close(out, start);
    }

    fn write_deltas(&self, recorder: &Recorder, out: &mut Vec<u8>) {
        let mut clock = self.reference_ticks();
        for (number, symbol) in (recorder.begin..).zip(&self.symbols) {
            let Some(arrival) = recorder.arrival(number) else {
                continue;
            };
            let delta = ticks(arrival) - clock;
            clock += delta;
            match symbol {
                1 => out.push(delta as u8),
                _ => out.extend_from_slice(&(delta as i16).to_be_bytes()),
            }
        }
    }
}

fn ticks(arrival: Micros) -> i64 {
    (arrival / TICK_US as Micros) as i64
}

/// Bytes of a delta in ticks (section 3.1.5); none when it fits neither form.
fn delta_size(delta: i64) -> Option<u8> {
    match delta {
        0..=0xff => Some(1),
        -0x8000..=0x7fff => Some(2),
        _ => None,
    }
}

/// Each chunk takes the form that covers most packets; a run wins a tie, as it may go on.
fn write_chunks(symbols: &[u8], out: &mut Vec<u8>) {
    let mut rest = symbols;
    while let Some(&symbol) = rest.first() {
        let run = rest
            .iter()
            .take(0x1fff)
            .take_while(|&&next| next == symbol)
            .count();
        let narrow = rest.iter().take(14).take_while(|&&next| next < 2).count();
        let narrow = if narrow == rest.len().min(14) {
            narrow
        } else {
            0
        };
        let covered = run.max(narrow).max(rest.len().min(7));
        let chunk = if run == covered {
            u16::from(symbol) << 13 | run as u16
        } else if narrow == covered {
            pack(0b10, 1, rest.iter().take(14))
        } else {
            pack(0b11, 2, rest.iter().take(7))
        };
        out.extend_from_slice(&chunk.to_be_bytes());
        rest = rest.get(covered..).unwrap_or_default();
    }
}

/// A status vector chunk: two bits of form, then `bits` per symbol from the left.
fn pack<'a>(form: u16, bits: u32, symbols: impl Iterator<Item = &'a u8>) -> u16 {
    let place =
        |(index, &symbol): (usize, &u8)| u16::from(symbol) << (14 - bits * (index as u32 + 1));
    symbols
        .enumerate()
        .map(place)
        .fold(form << 14, |chunk, symbol| chunk | symbol)
}

/// Pads the packet that begins at `start` to 32 bits (RFC 3550, section 6.4.1) and sets its length.
fn close(out: &mut Vec<u8>, start: usize) {
    let padding = (out.len() - start).wrapping_neg() % 4;
    if padding > 0 {
        out.resize(out.len() + padding - 1, 0);
        out.push(padding as u8);
    }
    let words = ((out.len() - start) / 4 - 1) as u16;
    if let Some([first, _, high, low]) = out.get_mut(start..start + 4) {
        *first |= if padding > 0 { 0x20 } else { 0 };
        [*high, *low] = words.to_be_bytes();
    }
}

//! The sending thread: encrypts every packet for every receiver, straight into the send buffer.

use crate::io::{self, BATCH, Message};
use crate::options::Options;
use crate::pace::{PAYLOAD, Pace};
use dataplane::srtp::{Outbound, Profile};
use dataplane::types::Ssrc;
use std::net::{SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

/// Fixed RTP header, in bytes.
pub const HEADER: usize = 12;
/// The largest UDP payload over IPv4, in bytes; a message of several segments must fit too.
const MAX_MESSAGE: usize = 65_507;

/// What the sender did.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Datagrams handed to the kernel.
    pub packets: u64,
    /// Messages; one has several datagrams.
    pub messages: u64,
    /// CPU time of the thread, system calls and loopback delivery included.
    pub cpu: Duration,
    /// Time from the first burst to the last.
    pub wall: Duration,
    /// Ticks that began later than they should have ended.
    pub late_ticks: u64,
}

/// The key of one receiver.
pub fn keying(profile: Profile, receiver: usize) -> Vec<u8> {
    let mut keying = vec![0x51; profile.key_len() + profile.salt_len()];
    keying[..8].copy_from_slice(&(receiver as u64).to_be_bytes());
    keying
}

/// The SSRC that one receiver sees.
pub fn ssrc(receiver: usize) -> Ssrc {
    Ssrc(0x1000_0000 + receiver as u32)
}

/// Sends for `options.seconds`, in real time unless flat out.
pub fn run(options: &Options, addresses: &[SocketAddrV4]) -> std::io::Result<Sent> {
    let pace = Pace::new(options);
    let mut sender = Sender::new(options, addresses, pace.largest())?;
    let (cpu, start) = (io::thread_cpu(), Instant::now());
    let mut late_ticks = 0;
    for tick in 0..pace.ticks(options.seconds) {
        if !options.flat_out {
            std::thread::sleep(pace.due(tick).saturating_sub(start.elapsed()));
            late_ticks += u64::from(start.elapsed() > pace.due(tick + 1));
        }
        sender.burst(pace.before(tick)..pace.before(tick + 1))?;
    }
    Ok(Sent {
        packets: sender.packets,
        messages: sender.messages,
        cpu: io::thread_cpu() - cpu,
        wall: start.elapsed(),
        late_ticks,
    })
}

struct Destination {
    address: SocketAddrV4,
    outbound: Outbound,
    ssrc: Ssrc,
}

struct Sender {
    socket: UdpSocket,
    destinations: Vec<Destination>,
    /// The plain packets of one burst, the same for all receivers.
    plain: Vec<Vec<u8>>,
    /// Encrypted packets that wait for the next system call.
    buffer: Vec<u8>,
    /// What of `buffer` goes where.
    batch: Vec<Message>,
    /// Bytes of a protected packet.
    size: usize,
    packets: u64,
    messages: u64,
}

impl Sender {
    fn new(options: &Options, addresses: &[SocketAddrV4], largest: usize) -> std::io::Result<Self> {
        let destination = |(receiver, address): (usize, &SocketAddrV4)| {
            let keying = keying(options.profile, receiver);
            let outbound = Outbound::new(options.profile, &keying)?;
            Some(Destination {
                address: *address,
                outbound,
                ssrc: ssrc(receiver),
            })
        };
        let size = HEADER + PAYLOAD + options.profile.rtp_overhead();
        let in_message = largest.clamp(1, MAX_MESSAGE / size);
        Ok(Sender {
            socket: io::sending_socket()?,
            destinations: addresses
                .iter()
                .enumerate()
                .filter_map(destination)
                .collect(),
            plain: (0..largest).map(|packet| plain(packet as u8)).collect(),
            // Not zero, so that its pages exist before the clock starts.
            buffer: vec![0x5A; BATCH * in_message * size],
            batch: Vec::with_capacity(BATCH),
            size,
            packets: 0,
            messages: 0,
        })
    }

    /// Sends the packets of these indices to all receivers.
    fn burst(&mut self, indices: std::ops::Range<u64>) -> std::io::Result<()> {
        let segments = self.buffer.len() / (BATCH * self.size);
        for receiver in 0..self.destinations.len() {
            let mut first = indices.start;
            while first < indices.end {
                let last = indices.end.min(first + segments as u64);
                let from = (first - indices.start) as usize;
                self.encrypt(receiver, from, first..last);
                first = last;
                if self.batch.len() == BATCH {
                    self.flush()?;
                }
            }
        }
        self.flush()
    }

    /// Puts one message into the buffer: these packets for one receiver.
    fn encrypt(&mut self, receiver: usize, from: usize, indices: std::ops::Range<u64>) {
        let Destination {
            address,
            outbound,
            ssrc,
        } = &mut self.destinations[receiver];
        let start = self.batch.last().map_or(0, |message| message.range.end);
        let mut end = start;
        for (index, plain) in indices.zip(&self.plain[from..]) {
            let packet = &mut self.buffer[end..end + self.size];
            packet[..plain.len()].copy_from_slice(plain);
            packet[2..4].copy_from_slice(&(index as u16).to_be_bytes());
            packet[4..8].copy_from_slice(&(index as u32).to_be_bytes());
            packet[8..12].copy_from_slice(&ssrc.0.to_be_bytes());
            outbound.protect_rtp(packet, HEADER, *ssrc, index);
            end += self.size;
        }
        self.packets += ((end - start) / self.size) as u64;
        self.messages += 1;
        self.batch.push(Message {
            destination: *address,
            range: start..end,
            segment: self.size,
        });
    }

    fn flush(&mut self) -> std::io::Result<()> {
        io::send_all(&self.socket, &self.buffer, &self.batch)?;
        self.batch.clear();
        Ok(())
    }
}

fn plain(filling: u8) -> Vec<u8> {
    let mut packet = vec![filling; HEADER + PAYLOAD];
    packet[..2].copy_from_slice(&[0x80, 96]);
    packet
}

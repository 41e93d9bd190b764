//! The receivers: one thread that drains all sockets and counts. It reads the packets of the first
//! receiver with that receiver's key, as proof that what arrives is SRTP.

use crate::io::{self, Datagrams, Poller};
use crate::options::Options;
use crate::sender::{HEADER, keying, ssrc};
use dataplane::srtp::Inbound;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// After the last burst, as long without a datagram means that all have been read.
const IDLE: Duration = Duration::from_millis(100);

/// What the receivers got.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    /// Datagrams.
    pub packets: u64,
    /// Datagrams of the first receiver that were authentic.
    pub authentic: u64,
    /// Datagrams of the first receiver that were not.
    pub forged: u64,
    /// CPU time of the reading thread.
    pub cpu: Duration,
}

/// The running thread.
pub struct Reader {
    thread: JoinHandle<std::io::Result<Received>>,
    sent: Arc<AtomicBool>,
}

impl Reader {
    /// Tells the thread that all is sent, and waits until it has read the rest.
    pub fn finish(self) -> std::io::Result<Received> {
        self.sent.store(true, Ordering::Release);
        let outcome = self.thread.join();
        outcome.unwrap_or_else(|_| Err(std::io::Error::other("the reader panicked")))
    }
}

/// Opens the receivers and starts to read them; also returns their addresses.
pub fn start(options: &Options) -> std::io::Result<(Reader, Vec<SocketAddrV4>)> {
    let (mut sockets, mut addresses) = (Vec::new(), Vec::new());
    for _ in 0..options.receivers {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        io::enlarge_receive_buffer(&socket)?;
        if let SocketAddr::V4(address) = socket.local_addr()? {
            addresses.push(address);
        }
        sockets.push(socket);
    }
    let poller = Poller::new(&sockets)?;
    let sent = Arc::new(AtomicBool::new(false));
    let (told, options) = (sent.clone(), options.clone());
    let thread = std::thread::spawn(move || read(&options, &sockets, &poller, &told));
    Ok((Reader { thread, sent }, addresses))
}

fn read(
    options: &Options,
    sockets: &[UdpSocket],
    poller: &Poller,
    sent: &AtomicBool,
) -> std::io::Result<Received> {
    io::pin(options.reader_cpu)?;
    let mut inbound = Inbound::new(options.profile, &keying(options.profile, 0));
    let mut datagrams = Datagrams::new();
    let (mut received, mut ready) = (Received::default(), Vec::new());
    loop {
        let all_sent = sent.load(Ordering::Acquire);
        poller.wait(&mut ready, IDLE)?;
        if ready.is_empty() && all_sent {
            received.cpu = io::thread_cpu();
            return Ok(received);
        }
        for receiver in ready.drain(..) {
            let count = datagrams.receive(&sockets[receiver])?;
            received.packets += count as u64;
            if let (0, Some(inbound)) = (receiver, inbound.as_mut()) {
                datagrams
                    .iter_mut(count)
                    .for_each(|packet| verify(inbound, packet, &mut received));
            }
        }
    }
}

fn verify(inbound: &mut Inbound, packet: &mut [u8], received: &mut Received) {
    let sequence = u16::from_be_bytes([packet[2], packet[3]]);
    match inbound.unprotect_rtp(packet, HEADER, ssrc(0), sequence) {
        Ok(_) => received.authentic += 1,
        Err(_) => received.forged += 1,
    }
}

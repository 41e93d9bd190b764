//! One WebRTC transport: a UDP socket, one candidate pair, DTLS, SRTP keys.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

use crate::dtls::{Dtls, Identity};
use crate::sdp::Remote;
use crate::srtp::Keys;
use crate::stun::{self, Message};
use crate::sys;

const CHECK_NS: u64 = 50_000_000;
const CONSENT_NS: u64 = 2_500_000_000;
const DTLS_TICK_NS: u64 = 100_000_000;
const RECEIVE_BUFFER_BYTES: i32 = 1 << 20;

/// What a datagram turned out to be.
pub enum Incoming {
    /// STUN or DTLS, dealt with.
    Handled,
    /// The handshake just finished.
    Connected(Keys),
    /// RTP or RTCP, still protected.
    Media,
    /// Data of the DTLS association (SCTP).
    Data(Vec<Vec<u8>>),
    /// The transport cannot work.
    Failed(String),
}

/// See the module.
pub struct Transport {
    /// The socket, connected to the other side once that is known.
    pub socket: UdpSocket,
    pub ufrag: String,
    pub pwd: String,
    remote: Option<Remote>,
    controlling: bool,
    /// Whether a check of ours was answered.
    valid: bool,
    transaction: stun::Transaction,
    dtls: Option<Dtls>,
    /// Keys were taken.
    pub connected: bool,
    next_check_ns: u64,
    next_dtls_ns: u64,
}

impl Transport {
    /// Bind a socket. `number` makes the credentials unique in this process.
    pub fn new(number: usize) -> io::Result<Self> {
        // Unspecified, because a server may announce the host's own address instead of loopback
        // (libnice leaves loopback out); connecting then picks the right source. Both stay on `lo`.
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_nonblocking(true)?;
        sys::set_receive_buffer(&socket, RECEIVE_BUFFER_BYTES);
        let seed = sys::now_ns() ^ (u64::from(std::process::id()) << 40);
        Ok(Self {
            socket,
            ufrag: format!("l{:x}{:x}", seed & 0xFFFF_FFFF, number),
            pwd: format!("{:016x}{:016x}", seed, number),
            remote: None,
            controlling: true,
            valid: false,
            transaction: [0; 12],
            dtls: None,
            connected: false,
            next_check_ns: u64::MAX,
            next_dtls_ns: u64::MAX,
        })
    }

    /// Begin checks towards the other side. `offerer`: we wrote the offer (RFC 8445, 6.1.1).
    pub fn start(
        &mut self,
        remote: Remote,
        offerer: bool,
        identity: &Identity,
        now: u64,
    ) -> Result<(), String> {
        let address = remote.address.ok_or("no usable candidate")?;
        self.socket
            .connect(address)
            .map_err(|error| error.to_string())?;
        self.controlling = offerer || remote.lite;
        // An offer of ours said actpass; an answer of ours says active.
        let client = !offerer || remote.setup != "active";
        self.dtls = Some(
            Dtls::new(identity, client, &remote.fingerprint).map_err(|error| error.to_string())?,
        );
        self.remote = Some(remote);
        self.next_check_ns = now;
        self.tick(identity, now).map(|_| ())
    }

    /// Whether this end is the DTLS client.
    pub fn is_dtls_client(&self) -> bool {
        self.dtls.as_ref().is_some_and(|dtls| dtls.client)
    }

    /// When `tick` is due.
    pub fn deadline(&self) -> u64 {
        self.next_check_ns.min(self.next_dtls_ns)
    }

    /// Checks, consent and DTLS retransmissions.
    pub fn tick(&mut self, identity: &Identity, now: u64) -> Result<Option<Keys>, String> {
        if now >= self.next_check_ns {
            self.check(now);
        }
        if now >= self.next_dtls_ns {
            return self.handshake(identity, now);
        }
        Ok(None)
    }

    /// Deal with a received datagram (RFC 7983).
    pub fn receive(&mut self, datagram: &[u8], identity: &Identity, now: u64) -> Incoming {
        match datagram.first() {
            Some(0..=3) => self.receive_stun(datagram, identity, now),
            Some(20..=63) => self.receive_dtls(datagram, identity, now),
            Some(128..=191) => Incoming::Media,
            _ => Incoming::Handled,
        }
    }

    /// Send data over the DTLS association.
    pub fn send_data(&mut self, message: &[u8]) {
        if let Some(dtls) = &mut self.dtls {
            dtls.send(message);
        }
        self.flush();
    }

    fn check(&mut self, now: u64) {
        let Some(remote) = &self.remote else { return };
        self.transaction[..8].copy_from_slice(&now.to_be_bytes());
        let user = format!("{}:{}", remote.ufrag, self.ufrag);
        let message = stun::request(&self.transaction, &user, &remote.pwd, self.controlling);
        let _ = self.socket.send(&message);
        self.next_check_ns = now + if self.valid { CONSENT_NS } else { CHECK_NS };
    }

    fn receive_stun(&mut self, datagram: &[u8], identity: &Identity, now: u64) -> Incoming {
        match stun::parse(datagram) {
            Message::Request(transaction) => {
                if let Ok(source) = self.socket.peer_addr() {
                    let _ = self
                        .socket
                        .send(&stun::success(&transaction, source, &self.pwd));
                }
                Incoming::Handled
            }
            Message::Success(transaction) if transaction == self.transaction && !self.valid => {
                self.valid = true;
                self.next_check_ns = now + CONSENT_NS;
                match self.handshake(identity, now) {
                    Ok(_) => Incoming::Handled,
                    Err(error) => Incoming::Failed(error),
                }
            }
            _ => Incoming::Handled,
        }
    }

    fn receive_dtls(&mut self, datagram: &[u8], identity: &Identity, now: u64) -> Incoming {
        let Some(dtls) = &mut self.dtls else {
            return Incoming::Handled;
        };
        dtls.feed(datagram);
        if self.connected {
            let data = dtls.receive();
            self.flush();
            return Incoming::Data(data);
        }
        match self.handshake(identity, now) {
            Ok(Some(keys)) => Incoming::Connected(keys),
            Ok(None) => Incoming::Handled,
            Err(error) => Incoming::Failed(error),
        }
    }

    fn handshake(&mut self, identity: &Identity, now: u64) -> Result<Option<Keys>, String> {
        let Some(dtls) = &mut self.dtls else {
            return Ok(None);
        };
        let keys = dtls.advance(identity.profile)?;
        self.next_dtls_ns = now + DTLS_TICK_NS;
        if keys.is_some() {
            self.connected = true;
            self.next_dtls_ns = u64::MAX;
        }
        self.flush();
        Ok(keys)
    }

    fn flush(&mut self) {
        for datagram in self.dtls.iter_mut().flat_map(Dtls::output) {
            let _ = self.socket.send(&datagram);
        }
    }
}

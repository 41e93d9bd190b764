//! One player: a transport, counters, and for sampled players the media itself.

use crate::dtls::Identity;
use crate::frames;
use crate::rtcp;
use crate::sctp::Association;
use crate::srtp::{Keys, Profile, Srtp};
use crate::sys;
use crate::transport::{Incoming, Transport};

/// Where a player stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Signalling and handshake.
    Joining,
    /// Keys are there.
    Connected,
    /// Given up; the reason was printed.
    Failed,
}

/// Sequence numbers of one SSRC.
struct Track {
    ssrc: u32,
    /// Highest extended sequence number.
    highest: u64,
    received: u64,
    /// `highest` and `received` when the window began.
    base: (u64, u64),
}

/// See the module.
pub struct Player {
    pub transport: Transport,
    pub phase: Phase,
    pub posted_ns: u64,
    pub connected_ns: Option<u64>,
    /// First packet of a key frame.
    pub first_key_ns: Option<u64>,
    /// Path of the session to delete.
    pub location: Option<String>,
    /// Decrypts every packet and reports to the sender.
    pub sampled: bool,
    pub packets: u64,
    pub bytes: u64,
    /// Asks for a data channel.
    pub wants_channel: bool,
    /// Its association, once DTLS is up.
    association: Option<Association>,
    /// Packets whose tag was wrong (of those decrypted).
    pub forged: u64,
    /// Packets decrypted.
    pub opened: u64,
    tracks: Vec<Track>,
    receiver: Option<Srtp>,
    sender: Option<Srtp>,
    next_report_ns: u64,
}

impl Player {
    pub fn new(
        number: usize,
        sampled: bool,
        wants_channel: bool,
        now: u64,
    ) -> std::io::Result<Self> {
        Ok(Self {
            transport: Transport::new(number)?,
            phase: Phase::Joining,
            posted_ns: now,
            connected_ns: None,
            first_key_ns: None,
            location: None,
            sampled,
            packets: 0,
            bytes: 0,
            wants_channel,
            association: None,
            forged: 0,
            opened: 0,
            tracks: Vec::new(),
            receiver: None,
            sender: None,
            next_report_ns: u64::MAX,
        })
    }

    /// Deal with one datagram. The send time of the packet comes out where it was decrypted.
    pub fn receive(&mut self, datagram: &[u8], identity: &Identity, now: u64) -> Option<u64> {
        match self.transport.receive(datagram, identity, now) {
            Incoming::Media => return self.media(datagram, now),
            Incoming::Connected(keys) => self.connected(&keys, identity.profile, now),
            Incoming::Failed(reason) => self.fail(&reason),
            Incoming::Data(messages) => self.data(&messages),
            Incoming::Handled => {}
        }
        None
    }

    /// Timers.
    pub fn tick(&mut self, identity: &Identity, now: u64) {
        if now >= self.transport.deadline() {
            match self.transport.tick(identity, now) {
                Ok(Some(keys)) => self.connected(&keys, identity.profile, now),
                Ok(None) => {}
                Err(reason) => self.fail(&reason),
            }
        }
        if let Some(association) = &mut self.association
            && now >= association.deadline()
        {
            let message = association.retry(now);
            self.transport.send_data(&message);
        }
        if now >= self.next_report_ns {
            self.next_report_ns = now + 1_000_000_000;
            self.report();
        }
    }

    /// Whether a data channel was asked for and is open.
    pub fn channel_open(&self) -> bool {
        self.association
            .as_ref()
            .is_some_and(|association| association.open)
    }

    pub fn fail(&mut self, reason: &str) {
        eprintln!("player {}: {reason}", self.transport.ufrag);
        self.phase = Phase::Failed;
    }

    /// Begin the window in which losses count.
    pub fn open_window(&mut self) {
        for track in &mut self.tracks {
            track.base = (track.highest, track.received);
        }
    }

    /// Packets (expected, received) since the window began.
    pub fn window(&self) -> (u64, u64) {
        self.tracks
            .iter()
            .fold((0, 0), |(expected, received), track| {
                (
                    expected + track.highest - track.base.0,
                    received + track.received - track.base.1,
                )
            })
    }

    fn connected(&mut self, keys: &Keys, profile: Profile, now: u64) {
        let (receiver, sender) = (
            Srtp::new(profile, &keys.remote),
            Srtp::new(profile, &keys.local),
        );
        let (Ok(receiver), Ok(sender)) = (receiver, sender) else {
            return self.fail("no SRTP context");
        };
        (self.receiver, self.sender) = (Some(receiver), Some(sender));
        self.phase = Phase::Connected;
        self.connected_ns = Some(now);
        if self.wants_channel {
            let (association, first) = Association::new(self.transport.is_dtls_client(), now);
            self.association = Some(association);
            self.transport.send_data(&first);
        }
        if self.sampled {
            self.next_report_ns = now + 1_000_000_000;
        }
    }

    fn data(&mut self, messages: &[Vec<u8>]) {
        let Some(association) = &mut self.association else {
            return;
        };
        for answer in messages
            .iter()
            .flat_map(|message| association.receive(message))
            .collect::<Vec<_>>()
        {
            self.transport.send_data(&answer);
        }
    }

    fn media(&mut self, packet: &[u8], now: u64) -> Option<u64> {
        let kind = *packet.get(1)?;
        if packet.len() < 12 || (192..224).contains(&kind) {
            return None;
        }
        self.packets += 1;
        self.bytes += packet.len() as u64;
        let index = self.count(packet);
        if !self.sampled && self.first_key_ns.is_some() {
            return None;
        }
        let Some(payload) = self.receiver.as_ref()?.unprotect(packet, index) else {
            self.forged += 1;
            return None;
        };
        self.opened += 1;
        if self.first_key_ns.is_none() && frames::is_key(&payload) {
            self.first_key_ns = Some(now);
        }
        frames::stamp_of(&payload)
    }

    /// Count a packet; its extended sequence number without the start offset comes out.
    fn count(&mut self, packet: &[u8]) -> u64 {
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let seq = u64::from(u16::from_be_bytes([packet[2], packet[3]]));
        let Some(track) = self.tracks.iter_mut().find(|track| track.ssrc == ssrc) else {
            self.tracks.push(Track {
                ssrc,
                highest: seq,
                received: 1,
                base: (seq.wrapping_sub(1), 0),
            });
            return seq;
        };
        // Nearest to the highest so far (RFC 3550, appendix A.1).
        let delta = (seq as u16).wrapping_sub(track.highest as u16) as i16;
        let index = track.highest.saturating_add_signed(i64::from(delta));
        track.highest = track.highest.max(index);
        track.received += 1;
        index
    }

    fn report(&mut self) {
        let (Some(track), Some(sender)) = (self.tracks.first(), self.sender.as_mut()) else {
            return;
        };
        let report = rtcp::receiver_report(1, track.ssrc, track.highest as u32);
        if let Some(report) = sender.protect_rtcp(&report) {
            let _ = self.transport.socket.send(&report);
        }
    }
}

/// Difference between the wall clock and CLOCK_MONOTONIC, to read kernel stamps.
pub fn wall_offset_ns() -> u64 {
    sys::wall_ns() - sys::now_ns()
}

//! What comes in: STUN, DTLS, SRTP and SRTCP, told apart and handed to their session.

use super::{Bus, Engine, Event};
use crate::error::Drop;
use crate::rtcp;
use crate::rtp::Header;
use crate::session::Role;
use crate::stun;
use crate::transmit::{Path, Tos};
use crate::types::{Micros, Ssrc};
use std::sync::Arc;

/// A path whose session was alive this lately cannot go to another session.
const PATH_IN_USE_US: Micros = 3_000_000;

impl Engine {
    pub(super) fn on_stun(&mut self, path: Path, datagram: &[u8], now: Micros) -> Result<(), Drop> {
        let stun::Message::BindingRequest(request) = stun::parse(datagram)? else {
            return Ok(());
        };
        if request.unknown {
            return Err(Drop::Malformed);
        }
        let slot = *self
            .users
            .get(request.local_ufrag)
            .ok_or(Drop::UnknownUser)?;
        let owner = self
            .paths
            .get(&path)
            .copied()
            .filter(|owner| *owner != slot);
        if owner.is_some_and(|owner| self.is_in_use(owner, path, now)) {
            return Err(Drop::UnknownSource); // a forged source address must not take it over
        }
        let session = self.session_mut(slot).ok_or(Drop::UnknownUser)?;
        let handle = session.handle;
        let (password, validated) = session.on_binding_request(&request, datagram, path, now)?;
        let mut answer = Vec::with_capacity(96);
        if request.controlled.is_some() {
            // An ICE-lite agent is always controlled (RFC 8445, section 6.1.1).
            stun::write_role_conflict(&mut answer, &request.transaction, &password);
        } else if let Path::Udp(address) = path {
            stun::write_binding_success(&mut answer, &request.transaction, address, &password);
        } else {
            // The reflexive address of a TCP peer says nothing that it does not know.
            let address = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
            stun::write_binding_success(&mut answer, &request.transaction, address, &password);
        }
        self.send_control(path, Tos::Default, answer);
        if let Some(old) = validated.evicted {
            self.paths.remove(&old);
        }
        if let Some(owner) = owner.and_then(|owner| self.session_mut(owner)) {
            owner.lose_path(path);
        }
        self.paths.insert(path, slot);
        for user in validated.retired {
            self.users.remove(&user);
        }
        if validated.selected {
            self.events.push(Event::PathSelected { handle, path });
        }
        Ok(())
    }

    fn is_in_use(&self, owner: u32, path: Path, now: Micros) -> bool {
        self.session(owner).is_some_and(|session| {
            session.path == Some(path) && now.saturating_sub(session.alive) < PATH_IN_USE_US
        })
    }

    pub(super) fn on_dtls(&mut self, path: Path, datagram: &[u8]) -> Result<(), Drop> {
        let slot = *self.paths.get(&path).ok_or(Drop::UnknownSource)?;
        let session = self.session_mut(slot).ok_or(Drop::UnknownSource)?;
        let handle = session.handle;
        self.events.push(Event::Dtls {
            handle,
            datagram: datagram.to_vec(),
        });
        Ok(())
    }

    pub(super) fn on_srtp(
        &mut self,
        path: Path,
        datagram: &mut [u8],
        now: Micros,
    ) -> Result<(), Drop> {
        let slot = *self.paths.get(&path).ok_or(Drop::UnknownSource)?;
        // RFC 5761, section 4: payload types 64 to 95 with the marker bit are RTCP.
        match datagram.get(1) {
            Some(kind) if (192..=223).contains(kind) => self.on_srtcp(slot, datagram, now),
            Some(_) => self.on_rtp(slot, datagram, now),
            None => Err(Drop::Malformed),
        }
    }

    pub(super) fn on_rtp(
        &mut self,
        slot: u32,
        datagram: &mut [u8],
        now: Micros,
    ) -> Result<(), Drop> {
        let header = Header::parse(datagram)?;
        let session = self.session_mut(slot).ok_or(Drop::UnknownSource)?;
        let inbound = session.inbound.as_mut().ok_or(Drop::NotAuthentic)?;
        let (end, _) = inbound.unprotect_rtp(datagram, header.len, header.ssrc, header.sequence)?;
        session.alive = now;
        let handle = session.handle;
        let Role::Publisher(ingest) = &mut session.role else {
            return Err(Drop::UnknownTrack);
        };
        let taken = ingest.on_rtp(&header, datagram, end, now)?;
        if !ingest.announced {
            ingest.announced = true;
            let stream = ingest.stream;
            self.events.push(Event::Publishing { stream, handle });
        }
        if let Some((place, packet)) = taken {
            if self.has_peers {
                self.outgoing.push((place, Arc::clone(&packet)));
            }
            self.take(place, packet, now);
        }
        Ok(())
    }

    pub(super) fn on_srtcp(
        &mut self,
        slot: u32,
        datagram: &mut [u8],
        now: Micros,
    ) -> Result<(), Drop> {
        let session = self.session_mut(slot).ok_or(Drop::UnknownSource)?;
        let inbound = session.inbound.as_mut().ok_or(Drop::NotAuthentic)?;
        let end = inbound.unprotect_rtcp(datagram)?;
        session.alive = now;
        let compound = datagram.get(..end).ok_or(Drop::Malformed)?;
        match &mut session.role {
            Role::Publisher(ingest) => {
                let mut clocks = Vec::new();
                ingest.on_rtcp(compound, now, &mut clocks)?;
                for report in clocks {
                    self.set_clock(report);
                    if self.has_peers {
                        self.bus.push(Bus::Clock(report));
                    }
                }
                Ok(())
            }
            Role::Subscriber(_) => self.on_player_rtcp(slot, compound, now),
            Role::Idle => Ok(()),
        }
    }

    pub(super) fn on_player_rtcp(
        &mut self,
        slot: u32,
        compound: &[u8],
        now: Micros,
    ) -> Result<(), Drop> {
        for packet in rtcp::packets(compound) {
            match packet? {
                rtcp::Packet::ReceiverReport { reports, .. }
                | rtcp::Packet::SenderReport { reports, .. } => {
                    for report in reports {
                        self.on_player_report(slot, &report, now);
                    }
                }
                rtcp::Packet::Nack { media, lost, .. } => self.on_nack(slot, media, lost, now),
                rtcp::Packet::Pli { media, .. } => self.on_picture_lost(slot, media, now),
                rtcp::Packet::Fir { entries, .. } => {
                    for (media, _) in entries {
                        self.on_picture_lost(slot, media, now);
                    }
                }
                rtcp::Packet::Remb { bitrate_bps, .. } => {
                    if let Some(egress) = self.egress_mut(slot) {
                        egress.on_remb(bitrate_bps, now);
                    }
                }
                rtcp::Packet::TransportFeedback { fci, .. } => {
                    if let Some(egress) = self.egress_mut(slot) {
                        egress.on_transport_feedback(fci, now)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn on_player_report(&mut self, slot: u32, report: &rtcp::ReportBlock, now: Micros) {
        let ntp_epoch = self.ntp_epoch;
        let Some(egress) = self.egress_mut(slot) else {
            return;
        };
        if let Some(rtt) = egress.on_report(report, now, ntp_epoch) {
            self.stats.media_rtt.observe(rtt);
        }
    }

    pub(super) fn on_nack(
        &mut self,
        slot: u32,
        media: Ssrc,
        lost: rtcp::NackList<'_>,
        now: Micros,
    ) {
        let Some(egress) = self.egress_mut(slot) else {
            return;
        };
        let asked = egress.on_nack(media, lost, now);
        self.stats.nacks_received += asked;
        if asked > 0 {
            self.schedule_one(slot);
        }
    }

    pub(super) fn on_picture_lost(&mut self, slot: u32, media: Ssrc, now: Micros) {
        self.stats.keyframe_requests_received += 1;
        let Some((session, streams)) = self.split(slot) else {
            return;
        };
        let Role::Subscriber(egress) = &mut session.role else {
            return;
        };
        let number = egress.stream;
        let (Some(layer), Some(stream)) = (egress.on_picture_lost(media), streams.get(&number))
        else {
            return;
        };
        if egress.has_key_frame_coming(stream, now) {
            return;
        }
        if stream.deaf && egress.restart(stream, now) {
            self.schedule_one(slot);
        }
        self.want(number, layer);
    }
}

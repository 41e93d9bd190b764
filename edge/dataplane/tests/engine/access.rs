//! Who may talk to the edge, from where, and what everyone else gets: nothing.

use crate::net::{S, binding_request, is_signed};
use crate::player::{Player, Taste};
use crate::rig::{Peer, Rig, ice};
use crate::studio::{Script, Studio, VIDEO_PT};
use dataplane::engine::{Command, Event};
use dataplane::rtp::HeaderFields;
use dataplane::transmit::Path;
use dataplane::types::Ssrc;
use std::net::SocketAddr;

fn address(port: u16) -> Path {
    Path::Udp(SocketAddr::from(([192, 0, 2, 1], port)))
}

/// A session that nobody has checked in to yet.
fn opened(rig: &mut Rig) -> Peer {
    let peer = Peer::new(rig.next_handle, 0);
    rig.next_handle += 1;
    let (handle, ice) = (peer.handle, peer.ice.clone());
    rig.command(0, Command::OpenSession { handle, ice });
    peer
}

fn selected(rig: &Rig) -> Vec<Path> {
    let path = |event: &Event| match event {
        Event::PathSelected { path, .. } => Some(*path),
        _ => None,
    };
    rig.events.iter().filter_map(path).collect()
}

#[test]
fn a_signed_request_gets_a_signed_answer_and_selects_the_path() {
    let mut rig = Rig::new();
    let peer = opened(&mut rig);
    let request = binding_request(&peer.user(), &peer.ice.local_pwd, true);
    rig.input(0, peer.path, request);
    rig.settle();
    let (path, answer) = &rig.strays[0];
    assert_eq!((*path, &answer[..2]), (peer.path, &[1, 1][..]));
    assert!(is_signed(answer, &peer.ice.local_pwd));
    assert_eq!(&answer[8..20], b"transaction!");
    assert_eq!(selected(&rig), [peer.path]);
}

#[test]
fn unknown_users_and_bad_integrity_are_dropped_counted_and_not_answered() {
    let mut rig = Rig::new();
    let peer = opened(&mut rig);
    let (user, password) = (peer.user(), peer.ice.local_pwd.clone());
    rig.input(
        0,
        peer.path,
        binding_request("nobody:at-all", &password, true),
    );
    rig.input(0, peer.path, binding_request(&user, "wrong", true));
    let mut broken = binding_request(&user, &password, true);
    *broken.last_mut().unwrap() ^= 1;
    rig.input(0, peer.path, broken);
    let mut cut = binding_request(&user, &password, true);
    cut.truncate(40);
    rig.input(0, peer.path, cut);
    rig.input(0, peer.path, vec![200; 50]);
    rig.input(0, peer.path, Vec::new());
    rig.settle();
    assert!(rig.strays.is_empty() && rig.events.is_empty());
    assert_eq!(rig.drops("unknown_user"), 1);
    assert_eq!(rig.drops("bad_integrity"), 2);
    assert_eq!(rig.drops("malformed"), 1);
    assert_eq!(rig.drops("unknown_protocol"), 2);
}

#[test]
fn dtls_and_srtp_of_strangers_go_nowhere() {
    let mut rig = Rig::new();
    rig.connect(0);
    rig.input(0, address(9), vec![22; 100]);
    rig.input(0, address(9), vec![0x80; 100]);
    rig.settle();
    assert_eq!(rig.drops("unknown_source"), 2);
    assert!(
        !rig.events
            .iter()
            .any(|event| matches!(event, Event::Dtls { .. }))
    );
}

#[test]
fn consent_lapses_once_after_its_time_and_not_while_the_peer_speaks() {
    let mut rig = Rig::new();
    Studio::join(&mut rig, 0, 1, Script::default());
    let quiet = rig.connect(0);
    let lapsed = |rig: &Rig| {
        let handle = |event: &Event| match event {
            Event::ConsentLapsed { handle } => Some(*handle),
            _ => None,
        };
        rig.events.iter().filter_map(handle).collect::<Vec<_>>()
    };
    rig.run(24 * S);
    assert!(lapsed(&rig).is_empty());
    rig.run(3 * S);
    assert_eq!(lapsed(&rig), [quiet.handle]);
    rig.run(S);
    assert_eq!(lapsed(&rig).len(), 1);
    assert_eq!(rig.stats(0).worker.consent_lapsed, 1);
}

#[test]
fn an_ice_restart_takes_both_credentials_until_the_new_ones_are_used() {
    let mut rig = Rig::new();
    let peer = rig.connect(0);
    rig.settle();
    let new = ice(peer.handle, 1);
    let (handle, restarted) = (peer.handle, new.clone());
    rig.command(
        0,
        Command::RestartIce {
            handle,
            ice: restarted,
        },
    );
    rig.strays.clear();
    rig.input(
        0,
        peer.path,
        binding_request(&peer.user(), &peer.ice.local_pwd, false),
    );
    rig.settle();
    assert!(is_signed(&rig.strays[0].1, &peer.ice.local_pwd));
    let user = format!("{}:x", new.local_ufrag);
    rig.input(0, address(1), binding_request(&user, &new.local_pwd, true));
    rig.settle();
    assert!(is_signed(&rig.strays[1].1, &new.local_pwd));
    assert_eq!(selected(&rig), [peer.path, address(1)]);
    rig.input(
        0,
        peer.path,
        binding_request(&peer.user(), &peer.ice.local_pwd, false),
    );
    rig.settle();
    assert_eq!((rig.strays.len(), rig.drops("unknown_user")), (2, 1));
}

#[test]
fn media_follows_the_nominated_path() {
    let mut rig = Rig::new();
    Studio::join(&mut rig, 0, 1, Script::default());
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.run(S);
    let peer = &rig.players[player].peer;
    let (user, password) = (peer.user(), peer.ice.local_pwd.clone());
    rig.strays.clear();
    rig.input(0, address(5), binding_request(&user, &password, false));
    rig.run(S / 10);
    assert_eq!(rig.strays.len(), 1, "only the answer: it is not nominated");
    rig.input(0, address(5), binding_request(&user, &password, true));
    rig.settle();
    rig.players[player].peer.path = address(5);
    rig.run(S);
    rig.players[player].frames();
    assert!(rig.players[player].frames().len() > 55);
}

#[test]
fn a_path_in_use_cannot_be_taken_over_and_one_left_behind_can() {
    let mut rig = Rig::new();
    Studio::join(&mut rig, 0, 1, Script::default());
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.run(S);
    let victim = rig.players[player].peer.path;
    let thief = opened(&mut rig);
    let request = binding_request(&thief.user(), &thief.ice.local_pwd, true);
    rig.input(0, victim, request.clone());
    rig.settle();
    assert_eq!(rig.drops("unknown_source"), 1);
    let before = rig.players[player].video.len();
    rig.run(S);
    assert!(rig.players[player].video.len() > before + 60);
    rig.players[player].speaks = false;
    rig.run(4 * S);
    rig.input(0, victim, request);
    rig.settle();
    assert_eq!(selected(&rig).last(), Some(&victim));
    let old = rig.players[player].peer.handle;
    rig.command(0, Command::Remove { handle: old });
    rig.players.clear();
    rig.input(0, victim, vec![22; 20]);
    rig.settle();
    let last = rig.events.last().unwrap();
    assert!(
        matches!(last, Event::Dtls { handle, .. } if *handle == thief.handle),
        "{last:?}"
    );
}

#[test]
fn a_tcp_connection_is_a_path_until_it_ends() {
    let mut rig = Rig::new();
    Studio::join(&mut rig, 0, 1, Script::default());
    let mut peer = Peer::new(rig.next_handle, 0);
    peer.path = Path::Tcp(3);
    rig.connect_as(&peer);
    let player = Player::watch(&mut rig, peer, Taste::default());
    rig.run(S);
    assert!(rig.players[player].frames().len() > 25);
    rig.engines[0].handle_closed(Path::Tcp(3));
    rig.run(S / 10);
    let before = rig.players[player].video.len();
    rig.run(S);
    assert_eq!(rig.players[player].video.len(), before);
}

#[test]
fn forged_replayed_and_malformed_packets_change_nothing() {
    let mut rig = Rig::new();
    let studio = Studio::join(&mut rig, 0, 1, Script::default());
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.run(S);
    let path = rig.studios[studio].peer.path;
    let now = rig.now;
    // A true packet, kept from the network; then the same again, forged, and cut at every length.
    let fields = HeaderFields {
        marker: true,
        payload_type: VIDEO_PT,
        sequence: 1,
        timestamp: 1,
        ssrc: Ssrc(0xdead),
        padding: false,
    };
    rig.studios[studio].protect(&fields, 1, &[], &[1; 50], now);
    let true_one = rig.studios[studio].peer.up.due(now).pop().unwrap();
    let rate = rig.stats(0).streams[0].layers.len();
    let lost_before = rig.stats(0).worker.packets_lost;
    for length in 1..true_one.len() {
        rig.input(0, path, true_one[..length].to_vec());
    }
    for byte in 0..true_one.len() {
        let mut forged = true_one.clone();
        forged[byte] ^= 0x40;
        rig.input(0, path, forged);
    }
    let player_path = rig.players[player].peer.path;
    let mut forged = vec![0x81, 206, 0, 2];
    forged.extend([7; 40]);
    rig.input(0, player_path, forged);
    rig.settle();
    assert!(rig.drops("not_authentic") > 50);
    assert_eq!(rig.stats(0).streams[0].layers.len(), rate);
    assert_eq!(rig.stats(0).worker.packets_lost, lost_before);
    rig.run(S);
    // What was heard before is heard no more.
    let mut replayed = Vec::new();
    let heard = rig.studios[studio].video[0].sequence - 1;
    rig.studios[studio].script.rtx = false;
    rig.studios[studio].repair(0, heard as u16, now);
    replayed.extend(rig.studios[studio].peer.up.due(rig.now));
    for datagram in replayed {
        rig.input(0, path, datagram);
    }
    assert_eq!(rig.drops("replayed"), 1);
    rig.studios[studio].script.rtx = true;
    rig.run(S);
    assert!(rig.players[player].frames().len() > 85);
    assert!(rig.players[player].heights() == [720]);
}

#[test]
fn what_a_known_peer_says_in_nonsense_stays_without_effect() {
    let mut rig = Rig::new();
    Studio::join(&mut rig, 0, 1, Script::default());
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.run(S);
    let now = rig.now;
    let mut random = crate::net::Random::new(5);
    for kind in 192..=223u8 {
        for _ in 0..40 {
            let words = (random.unit() * 20.0) as u16 + 1;
            let mut compound = vec![0x80 | (random.unit() * 32.0) as u8, kind];
            compound.extend(words.to_be_bytes());
            let ssrc = rig.players[player].video_ssrc().to_be_bytes();
            compound.extend([0, 0, 0, 1]);
            compound.extend(ssrc);
            let more = (random.unit() * 80.0) as usize;
            compound.extend((0..more).map(|_| (random.unit() * 256.0) as u8));
            rig.players[player].say(compound, now);
        }
    }
    rig.run(3 * S);
    let frames = rig.players[player].frames();
    assert!(frames.len() > 80, "{}", frames.len());
}

//! Memory of players and of those who have left. A process of its own: resident memory is measured.
#![allow(dead_code, reason = "the rig serves tests/engine too")]

#[path = "engine/media.rs"]
mod media;
#[path = "engine/net.rs"]
mod net;
#[path = "engine/player.rs"]
mod player;
#[path = "engine/rig.rs"]
mod rig;
#[path = "engine/studio.rs"]
mod studio;

use dataplane::engine::Command;
use dataplane::session::Session;
use dataplane::subscriber::Egress;
use net::{MS, S};
use player::{Player, Taste};
use rig::{Peer, Rig, STREAM};
use studio::{Script, Studio};

#[test]
fn a_player_costs_less_than_forty_kibibytes_and_leaves_nothing() {
    a_player_costs_less_than_forty_kibibytes();
    nothing_is_kept_of_ten_thousand_sessions();
}

fn a_player_costs_less_than_forty_kibibytes() {
    println!(
        "Session {} bytes, Egress {} bytes",
        size_of::<Session>(),
        size_of::<Egress>()
    );
    assert!(size_of::<Session>() + size_of::<Egress>() < 8 << 10);
    let mut rig = Rig::new();
    Studio::join(
        &mut rig,
        0,
        1,
        Script {
            layers: vec![(320, 176, 1)],
            ..Script::default()
        },
    );
    rig.run(300 * MS);
    let before = resident_bytes();
    const PLAYERS: u64 = 2_000;
    for handle in 100..100 + PLAYERS {
        let peer = Peer::new(handle, 0);
        rig.connect_as(&peer);
        let spec = Player::spec(handle, &Taste::default());
        rig.command(
            0,
            Command::AddSubscriber {
                handle,
                stream: STREAM,
                spec,
            },
        );
    }
    for _ in 0..100 {
        rig.step();
        rig.strays = Vec::new();
        rig.classes = Vec::new();
    }
    let each = resident_bytes().saturating_sub(before) / PLAYERS as usize;
    println!("{each} bytes of resident memory for each player");
    assert!(each < 40 << 10, "{each}");
}

fn nothing_is_kept_of_ten_thousand_sessions() {
    let mut rig = Rig::new();
    Studio::join(&mut rig, 0, 1, Script::default());
    rig.run(S);
    let (mut before, mut peak) = (0, 0);
    for round in 0..10_000 {
        let peer = Peer::new(100 + round % 7_000, 0);
        rig.connect_as(&peer);
        let handle = peer.handle;
        let spec = Player::spec(handle, &Taste::default());
        rig.command(
            0,
            Command::AddSubscriber {
                handle,
                stream: STREAM,
                spec,
            },
        );
        let restarted = crate::rig::ice(handle, 1);
        let user = format!("{}:x", restarted.local_ufrag);
        let request = crate::net::binding_request(&user, &restarted.local_pwd, true);
        rig.command(
            0,
            Command::RestartIce {
                handle,
                ice: restarted,
            },
        );
        if round % 2 == 0 {
            rig.input(0, peer.path, request);
        }
        if round % 100 == 0 {
            rig.step();
        } else {
            rig.flush(0);
        }
        rig.command(0, Command::Remove { handle });
        rig.flush(0);
        rig.strays.clear();
        rig.classes.clear();
        rig.events.clear();
        if round == 1_000 {
            before = resident_bytes();
        }
        peak = rig.engines[0]
            .occupancy()
            .iter()
            .copied()
            .max()
            .unwrap_or(0)
            .max(peak);
    }
    assert!(peak <= 8, "{peak}");
    let [slots, handles, users, paths, streams, jobs] = rig.engines[0].occupancy();
    assert_eq!(
        [slots, handles, users, paths, streams, jobs],
        [2, 1, 1, 1, 1, 0]
    );
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

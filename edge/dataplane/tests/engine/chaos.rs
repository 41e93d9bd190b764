//! Whatever happens in whatever order: no panic, no spin, and when it is over, everyone has sound
//! and picture again.

use crate::net::{MS, Random, S};
use crate::player::{Player, Taste};
use crate::rig::{Rig, STREAM, config};
use crate::studio::{Names, Script, Studio};
use dataplane::codec::Codec;
use dataplane::engine::Command;
use dataplane::spec::Selection;
use dataplane::transmit::Batch;

fn script(random: &mut Random, codec: Codec) -> Script {
    let names = [Names::Announced, Names::Rid, Names::PayloadType];
    let mut script = Script {
        codec,
        names: names[(random.unit() * 3.0) as usize],
        base: (random.unit() * 4e9) as u32,
        temporal: 1 + (random.unit() * 2.0) as u8,
        discardable: random.unit() < 0.5,
        listens: random.unit() < 0.7,
        key_every: [0, 30, 90][(random.unit() * 3.0) as usize],
        reports: random.unit() < 0.7,
        capture_time: random.unit() < 0.3,
        ..Script::default()
    };
    if codec == Codec::Av1 {
        script.names = Names::Rid; // the descriptor needs extensions
    }
    if !script.listens {
        script.key_every = script.key_every.max(30);
    }
    if script.names == Names::PayloadType {
        script.rtx = false;
    } else if random.unit() < 0.6 {
        script.layers = vec![(1280, 720, 6), (320, 176, 1), (640, 352, 3)];
    }
    script
}

fn disturb(rig: &mut Rig, random: &mut Random, codec: Codec, epoch: &mut u32) {
    let now = rig.now;
    let any = (random.unit() * rig.players.len() as f64) as usize;
    match (random.unit() * 12.0) as u32 {
        0 => rig.players[any].pli(now),
        1 => {
            let numbers: Vec<u16> = (0..40).map(|_| (random.unit() * 65_536.0) as u16).collect();
            rig.players[any].nack(&numbers, now);
        }
        2 => {
            let tier = (random.unit() * 5.0) as u8;
            for worker in 0..2 {
                rig.command(
                    worker,
                    Command::SetTier {
                        stream: Some(STREAM),
                        tier,
                    },
                );
            }
        }
        3 => {
            let peer = &rig.players[any].peer;
            let (worker, handle) = (peer.worker, peer.handle);
            let selection = Selection {
                max_rank: (random.unit() < 0.5).then_some((random.unit() * 3.0) as u8),
                max_temporal: (random.unit() < 0.3).then_some(0),
                paused: random.unit() < 0.3,
                rid: None,
            };
            rig.command(worker, Command::Select { handle, selection });
        }
        4 => {
            let rtx = random.unit() < 0.7;
            let taste = Taste {
                codec,
                rtx,
                nack: random.unit() < 0.5,
                ..Taste::default()
            };
            Player::join(rig, (random.unit() * 2.0) as usize, taste);
        }
        5 if rig.players.len() > 2 => {
            let gone = rig.players.swap_remove(any);
            rig.command(
                gone.peer.worker,
                Command::Remove {
                    handle: gone.peer.handle,
                },
            );
        }
        6 if random.unit() < 0.3 => {
            *epoch += 1;
            let script = script(random, codec);
            let old = rig.studios.pop().expect("one studio");
            Studio::join(rig, (random.unit() * 2.0) as usize, *epoch, script);
            rig.command(
                old.peer.worker,
                Command::Remove {
                    handle: old.peer.handle,
                },
            );
        }
        7 if rig.studios[0].script.names == Names::PayloadType => {
            rig.studios[0].restart_encoder((random.unit() * 4e9) as u32);
        }
        8 => {
            let next = rig.studios[0].video[0].sequence;
            let count = (random.unit() * 120.0) as u64;
            rig.studios[0].lose = (next..next + count).collect();
        }
        9 => rig.studios[0].video[0].muted ^= true,
        10 => {
            let link = &mut rig.players[any].peer.down;
            link.loss = random.unit() * 0.1;
            link.jitter_us = (random.unit() * 20.0) as u64 * MS;
            link.rate_bps = (random.unit() < 0.5).then_some(3e5 + random.unit() * 5e6);
        }
        _ => rig.studios[0].peer.up.jitter_us = (random.unit() * 5.0) as u64 * MS,
    }
}

fn calm(rig: &mut Rig) {
    for worker in 0..2 {
        rig.command(
            worker,
            Command::SetTier {
                stream: Some(STREAM),
                tier: 0,
            },
        );
    }
    rig.studios[0].peer.up.jitter_us = 0;
    rig.studios[0].lose.clear();
    rig.studios[0].video[0].muted = false;
    for at in 0..rig.players.len() {
        let peer = &mut rig.players[at].peer;
        (peer.down.loss, peer.down.jitter_us, peer.down.rate_bps) = (0.0, 0, None);
        let (worker, handle) = (peer.worker, peer.handle);
        let selection = Selection::default();
        rig.command(worker, Command::Select { handle, selection });
    }
}

fn storm(seed: u64) {
    let mut random = Random::new(seed);
    let codecs = [Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Av1];
    let codec = codecs[seed as usize % 4];
    let mut rig = Rig::with(config(), 2);
    if random.unit() < 0.5 {
        rig.batch = Batch::with_capacity(0);
    }
    let mut epoch = 1;
    let first = script(&mut random, codec);
    Studio::join(&mut rig, 0, epoch, first);
    for worker in [0, 1] {
        let taste = Taste {
            codec,
            nack: worker == 0,
            ..Taste::default()
        };
        Player::join(&mut rig, worker, taste);
    }
    for _ in 0..150 {
        rig.run((random.unit() * 60.0) as u64 * MS);
        disturb(&mut rig, &mut random, codec, &mut epoch);
    }
    calm(&mut rig);
    rig.run(8 * S);
    let since = rig.now - S;
    for player in &rig.players {
        let worker = player.peer.worker;
        let sound = player.audio.iter().filter(|got| got.at > since).count();
        assert!(sound >= 48, "seed {seed}: sound {sound} on {worker}");
        let frames = player
            .video
            .iter()
            .filter(|got| got.at > since && got.marker)
            .count();
        assert!(frames >= 28, "seed {seed}: {frames} frames on {worker}");
        let mut recent: Vec<_> = player.video.iter().filter(|got| got.at > since).collect();
        recent.sort_by_key(|got| got.number);
        for two in recent.windows(2) {
            assert_eq!(
                two[1].number,
                two[0].number + 1,
                "seed {seed} at {}",
                two[1].at
            );
        }
    }
}

#[test]
fn after_a_storm_everyone_has_sound_and_picture() {
    for seed in 1..=8 {
        storm(seed);
    }
}

//! Joining: the cached key frame, squeezed time, pacing, clocks.

use crate::net::{MS, S};
use crate::player::{Player, Taste};
use crate::rig::Rig;
use crate::studio::{Script, Studio};

#[test]
fn media_flows_and_numbers_and_times_go_on() {
    let mut rig = Rig::new();
    Studio::join(&mut rig, 0, 1, Script::default());
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.run(3 * S);
    let frames = rig.players[player].frames();
    assert!(frames.len() >= 88, "{}", frames.len());
    assert!(rig.players[player].audio.len() >= 145);
}

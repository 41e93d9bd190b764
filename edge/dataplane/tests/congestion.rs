//! The estimator against a link in virtual time, fed through the real wire format.

mod link;

use dataplane::congestion::Estimator;
use link::{Link, MS, S, World};

const LAYERS: [u64; 3] = [400_000, 1_200_000, 2_500_000];

/// On the top layer of a path with 4 Mbit/s.
fn on_top_layer(seed: u64) -> World {
    let mut world = World::new(Link::new(4e6, seed), &LAYERS);
    world.run(15 * S);
    assert_eq!(world.layer, 2, "top layer after start");
    world
}

#[test]
fn the_target_follows_a_drop_and_probes_bring_it_back() {
    for seed in 1..=10 {
        for queue_us in [200e3, 300e3] {
            let mut world = on_top_layer(seed);
            world.link.queue_us = queue_us;
            world.link.set_rate(1e6, world.now);
            world.run(1_500 * MS);
            let target = world.estimator.target_bps();
            assert!(target < 1_100_000, "seed {seed} queue {queue_us}: {target}");
            world.run(8_500 * MS);
            assert!(
                world.estimator.target_bps() < 1_300_000,
                "{}",
                world.estimator.target_bps()
            );
            println!("recovery");
            world.link.set_rate(4e6, world.now);
            let since = world.now;
            world.run(12 * S);
            let back = world
                .targets
                .iter()
                .find(|(at, bps)| *at > since && *bps > 2_900_000);
            let back = back
                .unwrap_or_else(|| panic!("seed {seed}: not back in 12 s"))
                .0
                - since;
            println!("seed {seed} queue {queue_us}: back after {} ms", back / MS);
            assert_eq!(world.layer, 2);
        }
    }
}

#[test]
fn a_drop_is_followed_even_when_the_application_does_not_yield() {
    for seed in 1..=10 {
        let mut world = on_top_layer(seed);
        world.pinned = true;
        world.link.set_rate(1e6, world.now);
        world.run(1_500 * MS);
        assert!(
            world.estimator.target_bps() < 1_100_000,
            "{}",
            world.estimator.target_bps()
        );
        world.run(4 * S);
        let target = world.estimator.target_bps();
        assert!((700_000..1_100_000).contains(&target), "{target}");
    }
}

#[test]
fn a_deep_queue_is_noticed_by_its_growth_before_it_loses_anything() {
    for seed in 1..=10 {
        let mut world = on_top_layer(seed);
        world.link.queue_us = 10e6;
        world.link.set_rate(1e6, world.now);
        world.run(1_500 * MS);
        let target = world.estimator.target_bps();
        assert!(target < 1_100_000, "seed {seed}: {target}");
        assert_eq!(world.estimator.loss_ratio(), 0.0);
    }
}

#[test]
fn a_policer_without_a_queue_is_followed_by_its_loss() {
    let mut world = on_top_layer(3);
    world.link.queue_us = 5e3;
    world.link.set_rate(1e6, world.now);
    world.run(3 * S);
    assert!(
        world.estimator.target_bps() < 1_200_000,
        "{}",
        world.estimator.target_bps()
    );
}

#[test]
fn random_loss_does_not_take_the_top_layer() {
    for seed in 1..=10 {
        let mut link = Link::new(100e6, seed);
        (link.loss, link.delay_us, link.jitter_us) = (0.05, 40 * MS, 3e3);
        let mut world = World::new(link, &LAYERS);
        world.run(10 * S);
        assert_eq!(world.layer, 2, "seed {seed}");
        let since = world.now;
        world.run(60 * S);
        let lowest = world.lowest_target_since(since);
        assert!(lowest > 3_000_000, "seed {seed}: {lowest}");
        assert!((0.01..0.12).contains(&world.estimator.loss_ratio()));
    }
}

#[test]
fn loss_that_yielding_does_not_cure_is_lived_with() {
    for seed in 1..=10 {
        let mut world = on_top_layer(seed);
        world.link.set_rate(100e6, world.now);
        world.link.loss = 0.15;
        world.run(45 * S);
        let since = world.now;
        world.run(15 * S);
        assert_eq!(world.layer, 2, "seed {seed}");
        assert!(world.lowest_target_since(since) > 2_500_000, "seed {seed}");
    }
}

#[test]
fn twenty_percent_of_headroom_keep_the_layer() {
    for seed in 1..=10 {
        let mut link = Link::new(3e6, seed);
        link.jitter_us = 5e3;
        let mut world = World::new(link, &LAYERS);
        world.key_frame_every = 2 * S;
        world.run(20 * S);
        assert_eq!(world.layer, 2, "seed {seed}");
        let since = world.now;
        world.run(60 * S);
        let lowest = world.lowest_target_since(since);
        assert!(lowest >= 2_500_000, "seed {seed}: {lowest}");
    }
}

#[test]
fn failed_probes_back_off_to_ten_seconds() {
    let mut world = World::new(Link::new(1e6, 5), &LAYERS);
    world.run(60 * S);
    let late = world.probes.iter().filter(|(at, _)| *at > 20 * S).count();
    assert!((2..=5).contains(&late), "{late} probes in 41 s");
    let rates = world.probes.iter().map(|(_, plan)| plan.rate_bps).max();
    assert!(rates.is_some_and(|bps| bps <= 2_600_000), "{rates:?}");
}

#[test]
fn silence_backs_off_and_feedback_restores() {
    let mut world = on_top_layer(7);
    let before = world.estimator.target_bps();
    world.link.loss = 1.0;
    world.run(3 * S);
    assert!(world.estimator.target_bps() < before / 2);
    world.link.loss = 0.0;
    world.run(12 * S);
    assert_eq!(world.layer, 2);
}

#[test]
fn a_pause_is_not_silence() {
    let mut world = on_top_layer(7);
    let before = world.estimator.target_bps();
    // The last packet before the pause is lost: no feedback will ever cover it.
    world.estimator.on_sent(1_200, world.now);
    for second in 0..60 {
        world.estimator.on_deadline(world.now + second * S);
    }
    assert_eq!(world.estimator.target_bps(), before);
    assert_eq!(world.estimator.deadline(), None);
}

#[test]
fn without_feedback_the_top_layer_goes_out_until_reports_say_loss() {
    let mut estimator = Estimator::new(1_000_000, 50_000, 8_000_000);
    assert_eq!(estimator.target_bps(), 8_000_000);
    assert!(!estimator.has_feedback());
    estimator.on_receiver_report(12, Some(80 * MS), S);
    assert_eq!(estimator.target_bps(), 8_000_000);
    estimator.on_sending(2_500_000);
    estimator.on_receiver_report(128, Some(80 * MS), 2 * S);
    assert!(estimator.target_bps() < 2_000_000);
    assert!((estimator.loss_ratio() - 0.5).abs() < 0.01);
    let low = estimator.target_bps();
    for second in 3..30 {
        estimator.on_receiver_report(0, None, second * S);
    }
    assert!(estimator.target_bps() > 2 * low);
}

#[test]
fn remb_caps_and_transport_feedback_overrides_it() {
    let mut estimator = Estimator::new(1_000_000, 50_000, 8_000_000);
    estimator.on_remb(700_000, S);
    assert!(estimator.has_feedback());
    assert_eq!(estimator.target_bps(), 700_000);
    estimator.on_remb(1, S);
    assert_eq!(estimator.target_bps(), 50_000);
    let mut world = World::new(Link::new(4e6, 1), &LAYERS);
    world.estimator.on_remb(200_000, S);
    world.run(10 * S);
    assert!(world.estimator.target_bps() > 1_000_000);
}

#[test]
fn a_peer_that_never_answers_is_driven_by_reports() {
    let mut estimator = Estimator::new(1_000_000, 50_000, 8_000_000);
    estimator.on_sent(1_200, S);
    assert_eq!(estimator.target_bps(), 1_000_000);
    estimator.on_deadline(estimator.deadline().unwrap());
    assert_eq!(
        (estimator.target_bps(), estimator.deadline()),
        (8_000_000, None)
    );
    estimator.on_receiver_report(0, None, 5 * S);
    assert_eq!(estimator.target_bps(), 8_000_000);
}

#[test]
fn memory_without_history_is_below_a_kibibyte() {
    assert!(size_of::<Estimator>() <= 1024, "{}", size_of::<Estimator>());
}

//! A target that gets nowhere finds nothing.

use outboxd_fuzz::{frame, framer, progress, relay, seeds};

#[test]
fn the_relay_gets_to_records_parcels_replays_and_restarts() {
    let (mut emitted, mut parked, mut replayed, mut restarts) = (0, 0, 0, 0);
    for (number, seed) in seeds::relay().iter().enumerate() {
        let seen = relay::run(seed);
        println!("{number}: {seen:?}");
        emitted += seen.emitted;
        parked += seen.parked;
        replayed += seen.replayed;
        restarts += seen.streams - 1;
    }
    assert!(emitted > 40, "{emitted} records");
    assert!(parked > 4, "{parked} parcels");
    assert!(replayed > 0, "{replayed} parcels published");
    assert!(restarts > 4, "{restarts} restarts");
}

#[test]
fn every_seed_is_taken() {
    for (target, seeds) in seeds::all() {
        for seed in seeds {
            match target {
                "frame" => frame::run(&seed),
                "relay" => drop(relay::run(&seed)),
                "progress" => progress::run(&seed),
                "framer" => framer::run(&seed),
                other => panic!("no target {other}"),
            }
        }
    }
}

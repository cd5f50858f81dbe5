//! A whole relay: its server is the input, byte for byte; Kafka, the dead-letter table and the clock
//! keep to what they promise, and do next what the input says.
//!
//! The first byte chooses the settings. Then come steps, each a letter with what [`Step::read`]
//! says. In the end the relay is told to stop, and has to.

mod step;
mod world;

use self::step::Step;
pub use self::world::Seen;
use self::world::World;

/// Gives how far it came.
pub fn run(bytes: &[u8]) -> Seen {
    let Some((&settings, mut rest)) = bytes.split_first() else { return Seen::default() };
    let mut world = World::streaming(settings);
    while !world.is_finished()
        && let Some(step) = Step::read(&mut rest)
    {
        world.take(step);
    }
    world.stop()
}

pub(crate) use self::step::write_counted;

//! How long a scanner may take for what.

use std::time::Duration;

/// How long a scanner may take. Every wait can be cancelled at once; these are for when nobody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a word that nobody asked for, before the first that we say.
    pub listen: Duration,
    /// To take what is sent.
    pub write: Duration,
    /// To answer the first command of all, which one that was left in mid-job does not answer as it should.
    pub probe: Duration,
    /// To answer a command.
    pub reply: Duration,
    /// To send the next part of an image: the carriage has to get there.
    pub image: Duration,
    /// To bring a sheet of paper from the tray, or to put one out.
    pub feed: Duration,
    /// To warm up.
    pub warm_up: Duration,
    /// After a cancel, to be ready for the next page: the carriage goes home first.
    pub homing: Duration,
    /// Between two questions whether it is ready.
    pub poll: Duration,
    /// After a cancel, to send the rest of the block it is at; before that it listens to nothing.
    pub rest_of_block: Duration,
    /// To answer CAN, or ESC @, when it is not known what it is doing.
    pub resync: Duration,
    /// For how long it must say nothing to count as silent.
    pub silence: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            listen: Duration::from_millis(20),
            write: Duration::from_secs(10),
            probe: Duration::from_secs(1),
            reply: Duration::from_secs(20),
            image: Duration::from_secs(60),
            feed: Duration::from_secs(30),
            warm_up: Duration::from_secs(120),
            homing: Duration::from_secs(30),
            poll: Duration::from_millis(250),
            rest_of_block: Duration::from_secs(3),
            resync: Duration::from_secs(2),
            silence: Duration::from_millis(200),
        }
    }
}

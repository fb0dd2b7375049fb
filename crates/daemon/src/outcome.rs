//! How a transfer may fail and how a request may end: the words that queue, pipes and failures have in common.

/// What went wrong with a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The endpoint is halted; a control request was refused.
    Stall,
    /// The device sent more than was asked for.
    Overrun,
    Io,
    /// No memory for the transfer.
    NoResources,
    /// The host refused the transfer as such.
    Refused,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Whole, or ended by a short packet.
    Success,
    Cancelled,
    /// Its time was up.
    Timeout,
    Fault(Fault),
    /// It stood behind a fault, or came after one and before the reset.
    Halted,
    /// The device is gone.
    Gone,
    /// The host controller never returned the device's transfers.
    HostStuck,
}

impl Outcome {
    /// Whether a request that ended so need not wait for those in front of it.
    pub fn leaves_at_once(self) -> bool {
        matches!(self, Outcome::Cancelled | Outcome::Timeout | Outcome::Gone | Outcome::HostStuck)
    }
}

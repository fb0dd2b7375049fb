//! How long a session's requests may take.

use std::time::Duration;

use usbscan_wire::DEFAULT_TIMEOUT_SECONDS;

/// How long requests may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// Reads and control requests.
    pub read: Duration,
    pub write: Duration,
    pub event: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        let default = Duration::from_secs(u64::from(DEFAULT_TIMEOUT_SECONDS));
        Timeouts { read: default, write: default, event: default }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_120_seconds_unless_the_session_says_otherwise_as_on_windows() {
        let Timeouts { read, write, event } = Timeouts::default();
        assert_eq!([read, write, event], [Duration::from_secs(120); 3]);
    }
}

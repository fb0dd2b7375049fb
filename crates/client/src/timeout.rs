//! Timeouts as the protocol has them.

use std::time::Duration;

/// In seconds; none where the session's own holds.
pub(crate) fn seconds(timeout: Option<Duration>) -> Option<f64> {
    timeout.map(|timeout| timeout.as_secs_f64())
}

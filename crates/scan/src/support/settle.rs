//! For how long a scanner may be silent in a phase of its job, before usbscand takes that for a fault and resets its port (see
//! `settle` of the command arm-abort): so long may what moves just now take. Where nothing moves, the daemon's own second is right.
//! Nothing here is a deadline for the driver; those are [`super::Timeouts`]. Values only.
//!
//! The sources are recorded dialogues of the maker's driver with all-in-ones (docs/esc-i.md, "Level D7 with extended
//! commands"): a start that brings the first sheet is answered after 0.5 to 6.8 s, FF after 2.5 s where it turns a sheet over and
//! after 5.4 s where it puts one out, a question behind a page after 3.3 s. Mechanisms, not protocols, are that slow; so
//! ESC/I-2, of which nobody has published times, has the same.

use std::time::Duration;

/// From the start of a scan to its first data: the carriage goes to the page, or the feeder brings a sheet.
pub(crate) const START: Duration = Duration::from_secs(10);
/// A sheet is brought, or put out, or is under way.
pub(crate) const SHEET: Duration = Duration::from_secs(8);
/// The carriage goes home, behind a page that was cancelled.
pub(crate) const HOMING: Duration = Duration::from_secs(10);
/// The lamp warms up. Scanners answer meanwhile, but for some that answer a start only when they can.
pub(crate) const WARM_UP: Duration = Duration::from_secs(30);

/// What the daemon takes for a fault where nobody says otherwise.
const USUAL: Duration = Duration::from_secs(1);
/// The longest that the daemon allows.
const LONGEST: Duration = Duration::from_millis(usbscan_client::wire::MAX_SETTLE_MS as u64);

/// For a page whose longest wait for a block was this: a block at a high resolution may take seconds, as the carriage has as far
/// to go for it. Twice as long, in a few steps, so that it is armed again rarely. `None`: the usual.
pub(crate) fn of_pace(longest_wait: Duration) -> Option<Duration> {
    let mut settle = USUAL;
    while settle < 2 * longest_wait && settle < LONGEST {
        settle *= 2;
    }
    (settle > USUAL).then_some(settle.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_whose_blocks_take_long_may_be_silent_for_twice_as_long_and_never_beyond_the_limit() {
        let ms = Duration::from_millis;
        assert_eq!(of_pace(Duration::ZERO), None);
        assert_eq!(of_pace(ms(500)), None);
        assert_eq!(of_pace(ms(501)), Some(ms(2000)));
        assert_eq!(of_pace(ms(3000)), Some(ms(8000)));
        assert_eq!(of_pace(ms(60_000)), Some(LONGEST));
    }

    #[test]
    fn no_phase_asks_for_more_than_the_daemon_allows() {
        assert!([START, SHEET, HOMING, WARM_UP].iter().all(|settle| (USUAL..=LONGEST).contains(settle)));
    }
}

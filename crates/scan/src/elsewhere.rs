//! Somebody else cancels everything on our scanner: the daemon says so by an event, and cancels what is pending. A driver
//! with nothing pending at that moment would else go on and wait for bytes that never come. It hears of each such cancel
//! once, by whichever comes to it first.

/// What was said of cancels from elsewhere, in the order in which the driver's thread looks at it.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    in_job: bool,
    /// A request ended cancelled, and the event for that is still to come.
    event_owed: bool,
    /// The driver heard it from the event, while a request was pending that will end so too.
    answer_owed: bool,
}

impl Elsewhere {
    /// The event came. Whether the driver has to be told now; `pending`: it has a request under way.
    pub(crate) fn event(&mut self, pending: bool) -> bool {
        if std::mem::take(&mut self.event_owed) {
            return false;
        }
        self.answer_owed = pending;
        true
    }

    /// A request ended cancelled that was not cancelled from here.
    pub(crate) fn answer(&mut self) {
        if !std::mem::take(&mut self.answer_owed) {
            self.event_owed = true;
        }
    }

    /// The job is over: what others do until the next one begins is none of its business.
    pub(crate) fn over(&mut self) {
        *self = Elsewhere::default();
    }

    /// A request is about to be started. Whether it is the first of a job, so that events that came before it don't count.
    pub(crate) fn begins(&mut self) -> bool {
        !std::mem::replace(&mut self.in_job, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_is_told_once_whichever_way_it_comes_first() {
        let mut elsewhere = Elsewhere::default();
        elsewhere.answer();
        assert!(!elsewhere.event(false), "its request ended cancelled already");
        assert!(elsewhere.event(true), "this is another one");
        elsewhere.answer();
        assert!(elsewhere.event(false), "that answer was owed; this is a third one");
    }

    #[test]
    fn a_cancel_of_one_request_has_no_event_and_owes_the_next_job_nothing() {
        let mut elsewhere = Elsewhere::default();
        assert!(elsewhere.begins());
        elsewhere.answer();
        assert!(!elsewhere.begins());
        elsewhere.over();
        assert!(elsewhere.begins());
        assert!(elsewhere.event(false));
    }
}

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
    /// The event came while the driver waited for a request, whose end tells it.
    untold: bool,
    /// That request ended otherwise, so the driver is told at its next.
    word_owed: bool,
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

    /// The same while the driver waits for a request. Whether that has to be cancelled.
    pub(crate) fn event_while_waiting(&mut self) -> bool {
        let news = self.event(true);
        self.untold |= news;
        news
    }

    /// A request ended cancelled that was not cancelled from here.
    pub(crate) fn answer(&mut self) {
        self.untold = false;
        if !std::mem::take(&mut self.answer_owed) {
            self.event_owed = true;
        }
    }

    /// A request ended otherwise.
    pub(crate) fn missed(&mut self) {
        if std::mem::take(&mut self.untold) {
            self.answer_owed = false;
            self.word_owed = true;
        }
    }

    /// Whether the driver has yet to be told.
    pub(crate) fn owes_word(&mut self) -> bool {
        std::mem::take(&mut self.word_owed)
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
    fn a_cancel_that_missed_its_request_is_told_at_the_next() {
        let mut elsewhere = Elsewhere::default();
        assert!(elsewhere.event_while_waiting());
        elsewhere.missed();
        assert!(elsewhere.owes_word() && !elsewhere.owes_word());
        assert!(elsewhere.event_while_waiting());
        elsewhere.answer();
        assert!(elsewhere.event(true), "told at once, whatever becomes of its request");
        elsewhere.missed();
        assert!(!elsewhere.owes_word(), "it knows");
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

//! All sessions: who is connected, who may be, and telling them of events. Any thread.

use std::collections::HashMap;
use std::sync::Arc;

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use usbscan_wire::Event;

use crate::config::ConnectionLimits;
use crate::failure::{Limit, UserId};
use crate::session::handle::Session;
use crate::session::log_budget::LogBudget;

/// How many of `most` captures one user may have: a quarter is others'. All who are unknown are one user here.
pub(crate) fn share_of_one_user(most: usize) -> usize {
    most - most / 4
}

/// Connections of the reserve, in which only looking and cancelling is possible: so that nobody who has all the others keeps
/// anybody from cancelling.
pub(crate) const RESERVE: usize = 8;
/// And of those, the most of one user.
const RESERVE_OF_A_USER: usize = 2;
/// And of those, kept for root.
const RESERVE_OF_ROOT: usize = 1;

/// What a new connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Full,
    /// Looking and cancelling only, since that limit is reached.
    Reserve(Limit),
    Refused(Limit),
}

const ROOT: Option<u32> = Some(0);

/// Decides for a user, from the users of the connections that there are: ordinary ones, and those of the reserve.
fn admission(
    uid: Option<u32>,
    ordinary: &[Option<u32>],
    reserve: &[Option<u32>],
    limits: ConnectionLimits,
) -> Admission {
    let of_user = |users: &[Option<u32>]| users.iter().filter(|user| **user == uid).count();
    let limit = match (ordinary.len() >= limits.all, of_user(ordinary) >= limits.per_user) {
        (false, false) => return Admission::Full,
        (true, _) => Limit::Connections(limits.all),
        (false, true) => Limit::UserConnections { uid: UserId(uid), connections: limits.per_user },
    };
    let of_others = reserve.iter().filter(|user| **user != ROOT).count();
    let full = reserve.len() >= RESERVE || (uid != ROOT && of_others >= RESERVE - RESERVE_OF_ROOT);
    match full || of_user(reserve) >= RESERVE_OF_A_USER {
        true => Admission::Refused(limit),
        false => Admission::Reserve(limit),
    }
}

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    present: Mutex<HashMap<u64, Arc<Session>>>,
    /// Who wants to know how many there are, whenever that changes.
    counts: Mutex<Option<Sender<usize>>>,
    /// What each user may have logged: kept when their connections end, or a new one would begin anew.
    log_budgets: Mutex<HashMap<Option<u32>, Arc<LogBudget>>>,
}

impl Sessions {
    /// One more, if it may be.
    pub fn add(&self, session: Arc<Session>, limits: ConnectionLimits) -> Admission {
        let mut present = self.present.lock();
        let (reserve, ordinary): (Vec<_>, Vec<_>) = present.values().partition(|one| one.reserve().is_some());
        let users = |sessions: Vec<&Arc<Session>>| sessions.iter().map(|one| one.peer.uid).collect::<Vec<_>>();
        let admission = admission(session.peer.uid, &users(ordinary), &users(reserve), limits);
        match admission {
            Admission::Refused(_) => return admission,
            Admission::Reserve(limit) => session.set_reserve(limit),
            Admission::Full => {}
        }
        present.insert(session.id(), session);
        self.tell_count(present.len());
        admission
    }

    /// What this user may have logged.
    pub fn log_budget(&self, uid: Option<u32>) -> Arc<LogBudget> {
        self.log_budgets.lock().entry(uid).or_default().clone()
    }

    pub fn remove(&self, id: u64) {
        let mut present = self.present.lock();
        present.remove(&id);
        self.tell_count(present.len());
    }

    /// The number of connections goes to `counts`: that of now, and whenever it changes.
    pub fn count_to(&self, counts: Option<Sender<usize>>) {
        let present = self.present.lock();
        *self.counts.lock() = counts;
        self.tell_count(present.len());
    }

    /// With the connections locked, so that counts come in the order of what they count; the channel has no end.
    fn tell_count(&self, count: usize) {
        if let Some(counts) = &*self.counts.lock() {
            let _ = counts.send(count);
        }
    }

    /// The one with this number.
    pub fn find(&self, id: u64) -> Option<Arc<Session>> {
        self.present.lock().get(&id).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Session>> {
        let mut all: Vec<_> = self.present.lock().values().cloned().collect();
        all.sort_by_key(|session| session.id());
        all
    }

    /// Tells everybody who subscribed to it, and those whom `also` picks.
    pub fn broadcast(&self, event: Event, also: impl Fn(&Session) -> bool) {
        let event = Arc::new(event);
        for session in self.all() {
            if event.name().is_some_and(|name| session.wants(name)) || also(&session) {
                session.tell(event.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(uid: u32, ordinary: &[u32], reserve: &[u32], limits: ConnectionLimits) -> Admission {
        let known = |users: &[u32]| users.iter().copied().map(Some).collect::<Vec<_>>();
        super::admission(Some(uid), &known(ordinary), &known(reserve), limits)
    }

    const LIMITS: ConnectionLimits = ConnectionLimits { all: 4, per_user: 2 };

    #[test]
    fn no_user_has_all_connections_and_everybody_has_some_of_the_reserve() {
        assert_eq!(admission(1000, &[1000, 1001], &[], LIMITS), Admission::Full);
        let user = Limit::UserConnections { uid: UserId(Some(1000)), connections: 2 };
        assert_eq!(admission(1000, &[1000, 1000], &[1000], LIMITS), Admission::Reserve(user));
        assert_eq!(admission(1000, &[1000, 1000], &[1000, 1000], LIMITS), Admission::Refused(user));
        let all = Limit::Connections(4);
        assert_eq!(admission(1002, &[1000, 1000, 1001, 1001], &[1000, 1000], LIMITS), Admission::Reserve(all));
    }

    #[test]
    fn the_reserve_has_an_end_and_a_place_for_root() {
        let full = [1000, 1000, 1001, 1001];
        let reserve = [1000, 1000, 1001, 1001, 1002, 1002, 1003];
        let all = Limit::Connections(4);
        assert_eq!(admission(1004, &full, &reserve[..6], LIMITS), Admission::Reserve(all));
        assert_eq!(admission(1004, &full, &reserve, LIMITS), Admission::Refused(all));
        assert_eq!(admission(0, &full, &reserve, LIMITS), Admission::Reserve(all));
        assert_eq!(admission(0, &full, &[&reserve[..], &[0]].concat(), LIMITS), Admission::Refused(all));
    }
}

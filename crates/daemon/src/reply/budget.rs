//! What a connection may have outstanding: requests and bytes, its own and all connections' together. A credit is
//! taken when a request arrives and given back when its answer is about to be written, so a client that does not read
//! its answers runs out of credit and stalls nobody but itself. An answer that is long itself (a list) counts from the moment
//! it is made. Any thread; waits only in [`Budget::cancel`].

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::config::Amount;
use crate::failure::{Failure, Limit};

#[derive(Debug, Default)]
struct Used {
    requests: u32,
    bytes: u64,
    refusals: u32,
    cancels: u32,
    closed: bool,
}

impl Used {
    fn amount(&self) -> Amount {
        Amount { requests: self.requests, bytes: self.bytes }
    }
}

/// All connections together. Half of what there is belongs to each connection in equal shares, so that no number of
/// greedy ones can leave another without any; the rest is first come, first served.
#[derive(Debug)]
pub(crate) struct GlobalBudget {
    all: Amount,
    share: Amount,
    /// What connections use beyond their shares.
    beyond: Mutex<Beyond>,
    most_beyond: Amount,
}

#[derive(Debug)]
struct Beyond {
    all: Amount,
    /// By user; all who are unknown are one here.
    of_users: HashMap<Option<u32>, Amount>,
}

/// Whose connections are counted together: none, where nobody is told apart.
type Account = Option<Option<u32>>;

impl GlobalBudget {
    /// Nothing used yet, by at most so many connections.
    pub fn new(all: Amount, connections: usize) -> Arc<GlobalBudget> {
        let connections = u64::try_from(connections).unwrap_or(u64::MAX).max(1);
        let share =
            Amount { requests: (u64::from(all.requests) / 2 / connections) as u32, bytes: all.bytes / 2 / connections };
        let most_beyond = Amount {
            requests: all.requests - share.requests * connections as u32,
            bytes: all.bytes - share.bytes * connections,
        };
        let beyond = Mutex::new(Beyond { all: NOTHING, of_users: HashMap::new() });
        Arc::new(GlobalBudget { all, share, beyond, most_beyond })
    }

    /// What a connection that uses this much has beyond its share.
    fn beyond_share(&self, used: Amount) -> Amount {
        Amount {
            requests: used.requests.saturating_sub(self.share.requests),
            bytes: used.bytes.saturating_sub(self.share.bytes),
        }
    }

    /// A connection that used `before` will use `after`, which is more. One user gets half of what is beyond the
    /// shares.
    fn take(&self, account: Account, before: Amount, after: Amount) -> Result<(), Limit> {
        let more = self.beyond_share(after).minus(self.beyond_share(before));
        let mut beyond = self.beyond.lock();
        let sum = beyond.all.plus(more);
        // What is nobody's share is no matter to who needs none of it.
        if more.requests > 0 && sum.requests > self.most_beyond.requests {
            return Err(Limit::AllRequests(self.all.requests));
        }
        if more.bytes > 0 && sum.bytes > self.most_beyond.bytes {
            return Err(Limit::AllBytes(self.all.bytes));
        }
        if let Some(user) = account {
            let of_user = beyond.of_users.get(&user).copied().unwrap_or(NOTHING).plus(more);
            if more.requests > 0 && of_user.requests > self.most_beyond.requests.div_ceil(2) {
                return Err(Limit::UserRequests);
            }
            if more.bytes > 0 && of_user.bytes > self.most_beyond.bytes.div_ceil(2) {
                return Err(Limit::UserBytes);
            }
            beyond.of_users.insert(user, of_user);
        }
        beyond.all = sum;
        Ok(())
    }

    /// A connection that used `before` uses `after`, whatever the limits are: what is there is there.
    fn count(&self, account: Account, before: Amount, after: Amount) {
        let (before, after) = (self.beyond_share(before), self.beyond_share(after));
        let beyond = &mut *self.beyond.lock();
        beyond.all = beyond.all.plus(after).minus(before);
        if let Some(user) = account {
            let of_user = beyond.of_users.entry(user).or_insert(NOTHING);
            *of_user = of_user.plus(after).minus(before);
            if *of_user == NOTHING {
                beyond.of_users.remove(&user);
            }
        }
    }
}

const NOTHING: Amount = Amount { requests: 0, bytes: 0 };

impl Amount {
    fn plus(self, other: Amount) -> Amount {
        Amount { requests: self.requests + other.requests, bytes: self.bytes + other.bytes }
    }

    fn minus(self, other: Amount) -> Amount {
        Amount { requests: self.requests - other.requests, bytes: self.bytes - other.bytes }
    }
}

/// Cancels beyond the limits that may have no answer on the socket before the connection is read no further.
const CANCELS: u32 = 16;
/// Refusals that may wait to be written. A client that leaves so many unread is ended.
const REFUSALS: u32 = 256;

#[derive(Debug)]
pub(crate) struct Budget {
    most: Amount,
    used: Mutex<Used>,
    room: Condvar,
    whole: Arc<GlobalBudget>,
    account: Account,
}

impl Budget {
    /// Of a connection of this user.
    pub fn of_user(most: Amount, whole: Arc<GlobalBudget>, uid: Option<u32>) -> Arc<Budget> {
        Arc::new(Budget { most, used: Mutex::default(), room: Condvar::new(), whole, account: Some(uid) })
    }

    /// Of one that belongs to nobody.
    #[cfg(test)]
    pub fn new(most: Amount, whole: Arc<GlobalBudget>) -> Arc<Budget> {
        Arc::new(Budget { most, used: Mutex::default(), room: Condvar::new(), whole, account: None })
    }

    /// Takes a credit for a request.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn request(self: &Arc<Budget>, bytes: u64) -> Result<Credit, Failure> {
        self.take(Amount { requests: 1, bytes }).map_err(Failure::Limit)?;
        Ok(Credit { budget: self.clone(), kind: CreditKind::Request(bytes) })
    }

    /// Takes a credit for memory that lasts, shared with the client.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn memory(self: &Arc<Budget>, bytes: u64) -> Result<Credit, Failure> {
        self.take(Amount { requests: 0, bytes }).map_err(Failure::Limit)?;
        Ok(Credit { budget: self.clone(), kind: CreditKind::Memory(bytes) })
    }

    fn take(&self, more: Amount) -> Result<(), Limit> {
        let mut used = self.used.lock();
        if used.requests + more.requests > self.most.requests {
            return Err(Limit::Requests(self.most.requests));
        }
        if used.bytes + more.bytes > self.most.bytes {
            return Err(Limit::Bytes(self.most.bytes));
        }
        let before = used.amount();
        let after = before.plus(more);
        self.whole.take(self.account, before, after)?;
        (used.requests, used.bytes) = (after.requests, after.bytes);
        Ok(())
    }

    /// Takes a credit for a cancel beyond the limits. Waits while many such have no answer on the socket; `None` when the
    /// connection is over.
    pub fn cancel(self: &Arc<Budget>) -> Option<Credit> {
        let mut used = self.used.lock();
        while used.cancels >= CANCELS && !used.closed {
            self.room.wait(&mut used);
        }
        if used.closed {
            return None;
        }
        used.cancels += 1;
        Some(Credit { budget: self.clone(), kind: CreditKind::Cancel })
    }

    /// Takes a credit for saying no. `None` when the connection is over, and when too many such answers are unread: then it
    /// has to be. It does not wait, for a cancel may come behind.
    pub fn refusal(self: &Arc<Budget>) -> Option<Credit> {
        let mut used = self.used.lock();
        if used.closed || used.refusals >= REFUSALS {
            return None;
        }
        used.refusals += 1;
        Some(Credit { budget: self.clone(), kind: CreditKind::Refusal })
    }

    /// No answers are written any more: threads that wait stop waiting.
    pub fn close(&self) {
        self.used.lock().closed = true;
        self.room.notify_all();
    }
}

#[derive(Debug, Clone, Copy)]
enum CreditKind {
    Request(u64),
    Memory(u64),
    Refusal,
    Cancel,
}

/// The right to have one answer underway, or so much memory. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Credit {
    budget: Arc<Budget>,
    kind: CreditKind,
}

impl Credit {
    /// The answer holds so many bytes more than its request said. They count, also beyond the limits: the next request is
    /// refused until they are read.
    pub fn grow(&mut self, more: u64) {
        if let CreditKind::Request(bytes) = &mut self.kind {
            *bytes += more;
            let mut used = self.budget.used.lock();
            let before = used.amount();
            used.bytes += more;
            self.budget.whole.count(self.budget.account, before, used.amount());
        }
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        let mut used = self.budget.used.lock();
        match self.kind {
            CreditKind::Request(bytes) | CreditKind::Memory(bytes) => {
                let before = used.amount();
                used.requests -= u32::from(matches!(self.kind, CreditKind::Request(_)));
                used.bytes -= bytes;
                self.budget.whole.count(self.budget.account, before, used.amount());
            }
            CreditKind::Refusal => used.refusals -= 1,
            CreditKind::Cancel => {
                used.cancels -= 1;
                self.budget.room.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(whole: &Arc<GlobalBudget>) -> Arc<Budget> {
        Budget::new(Amount { requests: 2, bytes: 100 }, whole.clone())
    }

    fn refused(budget: &Arc<Budget>, bytes: u64) -> Limit {
        match budget.request(bytes) {
            Err(Failure::Limit(limit)) => limit,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_limit_is_named_and_a_dropped_credit_counts_no_more() {
        let whole = GlobalBudget::new(Amount { requests: 3, bytes: 150 }, usize::MAX);
        let (one, two) = (budget(&whole), budget(&whole));
        let first = one.request(60).unwrap();
        assert_eq!(refused(&one, 41), Limit::Bytes(100));
        let _second = one.request(40).unwrap();
        assert_eq!(refused(&one, 0), Limit::Requests(2));
        assert_eq!(refused(&two, 51), Limit::AllBytes(150));
        let _third = two.request(50).unwrap();
        assert_eq!(refused(&two, 0), Limit::AllRequests(3));
        drop(first);
        assert!(two.request(0).is_ok());
    }

    #[test]
    fn greedy_connections_leave_each_other_one_its_share() {
        let whole = GlobalBudget::new(Amount { requests: 16, bytes: 160 }, 4);
        let wide = || Budget::new(Amount { requests: 99, bytes: 999 }, whole.clone());
        let (greedy, other) = (wide(), wide());
        // Its share of 2 requests and 20 bytes, and all that is nobody's: 8 and 80.
        let held: Vec<_> = (0..10).map(|_| greedy.request(10).unwrap()).collect();
        assert_eq!(refused(&greedy, 0), Limit::AllRequests(16));
        let own: Vec<_> = (0..2).map(|_| other.request(10).unwrap()).collect();
        assert_eq!(refused(&other, 0), Limit::AllRequests(16));
        drop(held);
        assert!(other.request(80).is_ok());
        drop(own);
        assert_eq!(whole.beyond.lock().all, NOTHING, "all of it came back");
    }

    #[test]
    fn one_user_leaves_another_half_of_what_is_nobodys_share() {
        let whole = GlobalBudget::new(Amount { requests: 16, bytes: 160 }, 4);
        let of = |uid| Budget::of_user(Amount { requests: 99, bytes: 999 }, whole.clone(), uid);
        for greedy in [Some(1), None] {
            let (one, two, other) = (of(greedy), of(greedy), of(Some(2)));
            // Its own 2 requests, and 4 of the 8 that are nobody's.
            let mut held: Vec<_> = (0..6).map(|_| one.request(1).unwrap()).collect();
            assert_eq!(refused(&one, 0), Limit::UserRequests);
            held.extend((0..2).map(|_| two.request(1).unwrap()));
            assert_eq!(refused(&two, 0), Limit::UserRequests, "{greedy:?}: its connections are counted together");
            let others: Vec<_> = (0..6).map(|_| other.request(10).unwrap()).collect();
            drop((held, others));
        }
        assert_eq!(refused(&of(Some(1)), 61), Limit::UserBytes);
        assert!(whole.beyond.lock().of_users.is_empty(), "nothing is kept of who has nothing");
    }

    #[test]
    fn a_long_answer_that_nobody_reads_counts_and_keeps_out_the_next_request_of_its_own_connection_only() {
        let whole = GlobalBudget::new(Amount { requests: 16, bytes: 160 }, 4);
        let of = |uid| Budget::of_user(Amount { requests: 99, bytes: 100 }, whole.clone(), Some(uid));
        let (one, other) = (of(1), of(2));
        let mut credit = one.request(0).unwrap();
        credit.grow(300);
        assert_eq!(refused(&one, 0), Limit::Bytes(100));
        assert_eq!(refused(&other, 21), Limit::AllBytes(160));
        assert!(other.request(20).is_ok(), "its share is its own, whatever another holds");
        drop(credit);
        assert!(one.request(60).is_ok());
    }

    #[test]
    fn cancels_beyond_the_limits_are_counted_and_one_more_waits_until_the_connection_is_over() {
        let budget = budget(&GlobalBudget::new(Amount { requests: 0, bytes: 0 }, 1));
        assert_eq!(refused(&budget, 0), Limit::AllRequests(0));
        let mut held: Vec<_> = (0..CANCELS).map(|_| budget.cancel().unwrap()).collect();
        held.pop();
        held.push(budget.cancel().expect("one was answered"));
        let waiting = {
            let budget = budget.clone();
            std::thread::spawn(move || budget.cancel().is_none())
        };
        budget.close();
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn refusals_never_wait_and_too_many_that_are_unread_are_the_end() {
        let budget = budget(&GlobalBudget::new(Amount { requests: 1, bytes: 1 }, 1));
        let mut held: Vec<_> = (0..REFUSALS).map(|_| budget.refusal().unwrap()).collect();
        assert!(budget.refusal().is_none());
        held.pop();
        assert!(budget.refusal().is_some());
        budget.close();
        assert!(budget.refusal().is_none());
    }
}

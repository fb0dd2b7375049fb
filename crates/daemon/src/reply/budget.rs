//! What a connection may have outstanding: requests and bytes, its own and all connections' together. A credit is
//! taken when a request arrives and given back when its answer is about to be written, so a client that does not read
//! its answers runs out of credit and stalls nobody but itself. Any thread; waits only in [`Budget::cancel`].

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
/// greedy ones can leave another without any; the rest goes to whoever comes first.
#[derive(Debug)]
pub(crate) struct GlobalBudget {
    all: Amount,
    share: Amount,
    /// What connections use beyond their shares.
    beyond: Mutex<Amount>,
    most_beyond: Amount,
}

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
        let beyond = Mutex::new(Amount { requests: 0, bytes: 0 });
        Arc::new(GlobalBudget { all, share, beyond, most_beyond })
    }

    /// What a connection that uses this much has of what is for whoever comes first.
    fn beyond_share(&self, used: Amount) -> Amount {
        Amount {
            requests: used.requests.saturating_sub(self.share.requests),
            bytes: used.bytes.saturating_sub(self.share.bytes),
        }
    }

    /// A connection that used `before` will use `after`, which is more.
    fn take(&self, before: Amount, after: Amount) -> Result<(), Limit> {
        let (before, after) = (self.beyond_share(before), self.beyond_share(after));
        let mut beyond = self.beyond.lock();
        let sum = Amount {
            requests: beyond.requests + (after.requests - before.requests),
            bytes: beyond.bytes + (after.bytes - before.bytes),
        };
        if sum.requests > self.most_beyond.requests {
            return Err(Limit::AllRequests(self.all.requests));
        }
        if sum.bytes > self.most_beyond.bytes {
            return Err(Limit::AllBytes(self.all.bytes));
        }
        *beyond = sum;
        Ok(())
    }

    /// A connection that used `before` uses `after`, which is less.
    fn give(&self, before: Amount, after: Amount) {
        let (before, after) = (self.beyond_share(before), self.beyond_share(after));
        let mut beyond = self.beyond.lock();
        beyond.requests -= before.requests - after.requests;
        beyond.bytes -= before.bytes - after.bytes;
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
}

impl Budget {
    pub fn new(most: Amount, whole: Arc<GlobalBudget>) -> Arc<Budget> {
        Arc::new(Budget { most, used: Mutex::default(), room: Condvar::new(), whole })
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
        let after = Amount { requests: before.requests + more.requests, bytes: before.bytes + more.bytes };
        self.whole.take(before, after)?;
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

    /// Nobody writes answers any more: whoever waits stops waiting.
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

impl Drop for Credit {
    fn drop(&mut self) {
        let mut used = self.budget.used.lock();
        match self.kind {
            CreditKind::Request(bytes) | CreditKind::Memory(bytes) => {
                let before = used.amount();
                used.requests -= u32::from(matches!(self.kind, CreditKind::Request(_)));
                used.bytes -= bytes;
                self.budget.whole.give(before, used.amount());
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
        let beyond = *whole.beyond.lock();
        assert_eq!(beyond, Amount { requests: 0, bytes: 0 }, "all of it came back");
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

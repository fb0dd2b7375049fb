//! What a connection may have outstanding: requests and bytes, its own and all connections' together. A credit is
//! taken when a request arrives and given back when its answer is about to be written, so a client that does not read
//! its answers runs out of credit and stalls nobody but itself. Any thread; waits only in [`Budget::refusal`].

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::failure::{Failure, Limit};

/// The most that there may be of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Requests that have no answer on the socket yet.
    pub requests: u32,
    /// Their bytes: of payloads that came, and of those that were asked for.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Used {
    requests: u32,
    bytes: u64,
    refusals: u32,
    closed: bool,
}

/// All connections together.
#[derive(Debug)]
pub(crate) struct Whole {
    most: Amount,
    used: Mutex<(u32, u64)>,
}

impl Whole {
    /// Nothing used yet.
    pub fn new(most: Amount) -> Arc<Whole> {
        Arc::new(Whole { most, used: Mutex::default() })
    }

    fn take(&self, bytes: u64) -> Result<(), Limit> {
        let mut used = self.used.lock();
        if used.0 >= self.most.requests {
            return Err(Limit::AllRequests(self.most.requests));
        }
        if used.1 + bytes > self.most.bytes {
            return Err(Limit::AllBytes(self.most.bytes));
        }
        *used = (used.0 + 1, used.1 + bytes);
        Ok(())
    }

    fn give(&self, bytes: u64) {
        let mut used = self.used.lock();
        *used = (used.0 - 1, used.1 - bytes);
    }
}

/// Refusals that may wait to be written before the connection is read no further.
const REFUSALS: u32 = 16;

/// One connection's.
#[derive(Debug)]
pub(crate) struct Budget {
    most: Amount,
    used: Mutex<Used>,
    room: Condvar,
    whole: Arc<Whole>,
}

impl Budget {
    /// Nothing used yet.
    pub fn new(most: Amount, whole: Arc<Whole>) -> Arc<Budget> {
        Arc::new(Budget { most, used: Mutex::default(), room: Condvar::new(), whole })
    }

    /// Takes a credit for a request.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn request(self: &Arc<Budget>, bytes: u64) -> Result<Credit, Failure> {
        let mut used = self.used.lock();
        if used.requests >= self.most.requests {
            return Err(Failure::Limit(Limit::Requests(self.most.requests)));
        }
        if used.bytes + bytes > self.most.bytes {
            return Err(Failure::Limit(Limit::Bytes(self.most.bytes)));
        }
        self.whole.take(bytes).map_err(Failure::Limit)?;
        used.requests += 1;
        used.bytes += bytes;
        Ok(Credit { budget: self.clone(), kind: Kind::Request(bytes) })
    }

    /// Takes a credit for saying no. Waits while many such answers are unread; `None` when the connection is over.
    pub fn refusal(self: &Arc<Budget>) -> Option<Credit> {
        let mut used = self.used.lock();
        while used.refusals >= REFUSALS && !used.closed {
            self.room.wait(&mut used);
        }
        if used.closed {
            return None;
        }
        used.refusals += 1;
        Some(Credit { budget: self.clone(), kind: Kind::Refusal })
    }

    /// Nobody writes answers any more: whoever waits stops waiting.
    pub fn close(&self) {
        self.used.lock().closed = true;
        self.room.notify_all();
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Request(u64),
    Refusal,
}

/// The right to have one answer underway. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Credit {
    budget: Arc<Budget>,
    kind: Kind,
}

impl Drop for Credit {
    fn drop(&mut self) {
        let mut used = self.budget.used.lock();
        match self.kind {
            Kind::Request(bytes) => {
                used.requests -= 1;
                used.bytes -= bytes;
                self.budget.whole.give(bytes);
            }
            Kind::Refusal => {
                used.refusals -= 1;
                self.budget.room.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(whole: &Arc<Whole>) -> Arc<Budget> {
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
        let whole = Whole::new(Amount { requests: 3, bytes: 150 });
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
    fn whoever_waits_to_refuse_stops_when_the_connection_is_over() {
        let budget = budget(&Whole::new(Amount { requests: 1, bytes: 1 }));
        let held: Vec<_> = (0..REFUSALS).map(|_| budget.refusal().unwrap()).collect();
        let waiting = {
            let budget = budget.clone();
            std::thread::spawn(move || budget.refusal().is_none())
        };
        budget.close();
        assert!(waiting.join().unwrap());
        drop(held);
    }
}

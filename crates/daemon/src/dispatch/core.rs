//! What every connection's threads share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::capture::CaptureCounts;
use crate::config::Configured;
use crate::reply::budget::GlobalBudget;
use crate::scanner::registry::Scanners;
use crate::session::list::{RESERVE, Sessions};

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Core {
    pub configured: Arc<Configured>,
    /// The scanners there are.
    pub registry: Arc<Scanners>,
    /// The connections there are.
    pub sessions: Arc<Sessions>,
    /// What all of them have outstanding.
    pub global_budget: Arc<GlobalBudget>,
    /// How many captures are under way.
    pub captures: Arc<CaptureCounts>,
    next_session: AtomicU64,
    ending: AtomicBool,
}

impl Core {
    pub fn new(configured: Arc<Configured>, registry: Arc<Scanners>, sessions: Arc<Sessions>) -> Arc<Core> {
        let global_budget = GlobalBudget::new(configured.now().all(), configured.now().limits.connections + RESERVE);
        let (next_session, ending) = (AtomicU64::new(1), AtomicBool::new(false));
        let captures = Arc::default();
        Arc::new(Core { configured, registry, sessions, global_budget, captures, next_session, ending })
    }

    /// A number for a connection, never used before.
    pub fn session_number(&self) -> u64 {
        self.next_session.fetch_add(1, Ordering::Relaxed)
    }

    /// The end begins: no new connection, no new request.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether it has begun.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }
}

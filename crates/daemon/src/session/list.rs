//! All sessions: who is connected, how many there are, and telling them of events. Any thread.

use std::collections::HashMap;
use std::sync::Arc;

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use usbscan_wire::Event;

use crate::session::handle::Session;

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    present: Mutex<HashMap<u64, Arc<Session>>>,
    /// Who wants to know how many there are, whenever that changes.
    counts: Mutex<Option<Sender<usize>>>,
}

impl Sessions {
    /// One more; `false` when there are `most` already.
    pub fn add(&self, session: Arc<Session>, most: usize) -> bool {
        let mut present = self.present.lock();
        if present.len() >= most {
            return false;
        }
        present.insert(session.id(), session);
        self.tell_count(present.len());
        true
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

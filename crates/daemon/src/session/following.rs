//! The responses of HTTP that a session is reading, followed for the case that it dies: how much of each is still to come.
//! Fed by the workers of the read pipes; the supervisor asks them when it runs the session's abort sequence.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use usbscan_escl::http::{Follower, Framing};
use usbscan_usb::{Buffer, EndpointAddress};
use usbscan_wire::{AbortStep, HttpFraming};

/// A response, and where it comes from.
#[derive(Debug)]
pub(crate) struct FollowedResponse {
    pub endpoint: EndpointAddress,
    pub follower: Mutex<Follower>,
}

impl FollowedResponse {
    /// Of the steps that drain one that the session reads, the first of each endpoint. `read` is the endpoint of steps that name
    /// none; `before` is what was followed until now.
    pub fn of(
        steps: &[AbortStep],
        read: Option<EndpointAddress>,
        before: &[Arc<FollowedResponse>],
    ) -> Vec<Arc<FollowedResponse>> {
        let mut all: Vec<Arc<FollowedResponse>> = Vec::new();
        for step in steps {
            let AbortStep::DrainHttp { endpoint, framing, .. } = step else { continue };
            let Some(endpoint) = endpoint.map(EndpointAddress).or(read) else { continue };
            let is_here = |following: &&Arc<FollowedResponse>| following.endpoint == endpoint;
            if *framing == HttpFraming::Answer || all.iter().any(|one| is_here(&one)) {
                continue;
            }
            let resumed = before.iter().find(is_here).filter(|_| *framing == HttpFraming::Resume).cloned();
            let new = || Arc::new(FollowedResponse { endpoint, follower: Mutex::new(follower(*framing)) });
            all.push(resumed.unwrap_or_else(new));
        }
        all
    }
}

/// Those of a session, while it has something armed that wants to know.
#[derive(Debug, Default)]
pub(crate) struct FollowedResponses {
    all: Mutex<Vec<Arc<FollowedResponse>>>,
    /// Whether there are any: where there are none, no byte is looked at.
    any: AtomicBool,
}

impl FollowedResponses {
    /// Others from now on, or none.
    pub fn set(&self, following: Vec<Arc<FollowedResponse>>) {
        let mut all = self.all.lock();
        self.any.store(!following.is_empty(), Ordering::SeqCst);
        *all = following;
    }

    pub fn all(&self) -> Vec<Arc<FollowedResponse>> {
        self.all.lock().clone()
    }

    /// A read of the session has brought the first bytes of this buffer, whatever becomes of it.
    pub fn read(&self, endpoint: EndpointAddress, buffer: &Buffer, moved: usize) {
        if !self.any.load(Ordering::SeqCst) {
            return;
        }
        let following = self.all.lock().iter().find(|following| following.endpoint == endpoint).cloned();
        if let Some(following) = following {
            following.follower.lock().feed(&buffer.bytes_in(0..moved));
        }
    }
}

/// A response that nobody has read yet.
pub(crate) fn follower(framing: HttpFraming) -> Follower {
    match framing {
        HttpFraming::Head | HttpFraming::Resume | HttpFraming::Answer => Follower::of_response(),
        HttpFraming::Chunked => Follower::of_body(Framing::chunked()),
        // That is checked when the sequence is armed.
        HttpFraming::Length(bytes) => Follower::of_body(Framing::length(bytes).unwrap_or_else(|_| Framing::unframed())),
    }
}

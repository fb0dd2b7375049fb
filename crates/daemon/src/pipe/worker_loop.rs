//! The loop of a pipe's worker: it waits in one place, for orders, completions, an endpoint that comes back from a cancel,
//! and the next moment at which something is due.

use std::time::Instant;

use crossbeam_channel::{Receiver, at, never, select};
use usbscan_usb::Completion;

use crate::pipe::endpoint_io::EndpointIo;
use crate::pipe::orders::Order;

/// What the loop drives: the worker of a pipe that moves bytes, and that of an interrupt pipe.
pub(super) trait Worker {
    fn io(&mut self) -> &mut EndpointIo;
    fn orders(&self) -> &Receiver<Order>;
    /// Answers what ended and starts what may start, until neither goes on.
    fn advance(&mut self);
    /// Whether the worker is retired and nothing is in flight.
    fn has_ended(&self) -> bool;
    fn handle_order(&mut self, order: Order);
    fn transfer_completed(&mut self, completion: Completion);
    /// The host said that the device is gone.
    fn device_gone(&mut self);
    fn next_due(&self) -> Option<Instant>;
    fn on_timer(&mut self, now: Instant);
}

/// Runs until the worker is retired and nothing is in flight.
pub(super) fn run(worker: &mut impl Worker) {
    let (orders, returned_endpoints) = (worker.orders().clone(), worker.io().returned_endpoints().clone());
    loop {
        worker.advance();
        if worker.has_ended() {
            return;
        }
        // Another one after a port reset.
        let completions = worker.io().completions().clone();
        let timer = worker.next_due().map_or_else(never, at);
        select! {
            recv(completions) -> completion => match completion {
                Ok(completion) => worker.transfer_completed(completion),
                // Only a host that was torn down under us drops its end.
                Err(_) => return,
            },
            recv(returned_endpoints) -> returned => {
                let returned = returned.expect("the endpoint keeps both ends");
                if worker.io().endpoint_returned(returned) {
                    worker.device_gone();
                }
            }
            // Nobody can reach the worker any more when all handles are gone.
            recv(orders) -> order => worker.handle_order(order.unwrap_or(Order::Retire)),
            recv(timer) -> _ => worker.on_timer(Instant::now()),
        }
    }
}

//! `open`, `close`, `claim` and `release` may take long: behind a recovery, a hung ioctl, another session's last request. So
//! they are carried out on a thread of their own, `session N open`, while the connection's reader goes on: cancels and
//! queries do not wait for them; what needs the scanner waits behind them and is carried out on that thread, in order. It
//! ends when nothing waits.

use std::sync::Arc;
use std::thread::{self, Scope};

use usbscan_wire::{Command, Request};

use crate::dispatch::core::Core;
use crate::dispatch::dispatch;
use crate::dispatch::info::{claim, close, open, release};
use crate::reply::responder::Responder;
use crate::scanner::message::OpenOptions;
use crate::session::handle::{RequestLocation, Session};
use crate::session::ordered::{Turn, takes_long};

/// Carries a request out now, or when its turn comes.
pub(crate) fn carry_out<'scope>(
    scope: &'scope Scope<'scope, '_>,
    core: &'scope Core,
    session: &Arc<Session>,
    responder: Responder,
    request: Request,
) {
    if !takes_long(&request.command) && !session.ordered.is_busy() || is_looking_or_cancelling(&request.command) {
        return dispatch(core, session, responder, request);
    }
    // Before others can find it there.
    session.set_location(responder.id(), RequestLocation::Ordered);
    let Some(turn) = session.ordered.push(responder, request) else { return };
    if let Turn::Short(..) = turn {
        return take(core, session, turn);
    }
    let (its_session, name) = (session.clone(), format!("session {} open", session.id()));
    let (hand_over, handed_over) = crossbeam_channel::bounded(1);
    let spawned = thread::Builder::new().name(name).spawn_scoped(scope, move || {
        if let Ok(turn) = handed_over.recv() {
            in_order(core, &its_session, turn);
        }
    });
    match spawned {
        Ok(_) => hand_over.send(turn).expect("the thread waits for it"),
        Err(error) => {
            log::warn!("{}: without a thread of its own: {error}", session.label());
            in_order(core, session, turn);
        }
    }
}

fn in_order(core: &Core, session: &Arc<Session>, turn: Turn) {
    let mut next = Some(turn);
    while let Some(turn) = next {
        take(core, session, turn);
        next = session.ordered.next();
    }
}

fn take(core: &Core, session: &Arc<Session>, turn: Turn) {
    match turn {
        Turn::Short(responder, request) => {
            session.set_location(responder.id(), RequestLocation::Dispatching);
            dispatch(core, session, responder, request);
        }
        Turn::Long(Command::Open { device, event, read, write, interface, faults }, cancelled) => {
            open(core, session, &device, OpenOptions { event, read, write, interface, faults }, &cancelled);
        }
        Turn::Long(Command::Claim { interface, alternate }, _) => claim(core, session, interface, alternate),
        Turn::Long(Command::Release { interface }, _) => release(core, session, interface),
        Turn::Long(..) => close(core, session),
    }
}

/// Whether a command needs no open scanner and waits for nothing that does: it is never kept waiting.
pub(crate) fn is_looking_or_cancelling(command: &Command) -> bool {
    is_cancel(command)
        || matches!(
            command,
            Command::Version {}
                | Command::List { .. }
                | Command::Status { .. }
                | Command::Subscribe { .. }
                | Command::Capture { .. }
                | Command::ReadCapture {}
                | Command::StopCapture {}
        )
}

/// Whether a command cancels: it is never refused.
pub(crate) fn is_cancel(command: &Command) -> bool {
    matches!(
        command,
        Command::CancelRequest { .. }
            | Command::CancelSession { .. }
            | Command::CancelPipe { .. }
            | Command::CancelPending { .. }
    )
}

//! The scanner's buttons as SANE has them: an option that is read, and whose reading asks the scanner. On a thread of ours, so
//! that a scanner which does not answer keeps nobody for longer than a moment.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::abi::Status;
use crate::engine::Engine;
use crate::threads;

/// How long a scanner may take to say which button was pressed, and then to stop saying it.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The number of the button that was pressed since this was last asked, 0 for none. The engine comes back unless its
/// thread could not be started or panicked.
pub fn ask(mut engine: Engine) -> (Option<Engine>, Result<u8, Status>) {
    let cancel_handle = engine.cancel_handle();
    let (finish, finished) = channel::<()>();
    let asking = threads::spawn("usbscan button", move || {
        let pressed = engine.pressed_button();
        drop(finish);
        (engine, pressed)
    });
    let Ok(asking) = asking else { return (None, Err(Status::NoMem)) };
    let is_late = || finished.recv_timeout(TIMEOUT) == Err(RecvTimeoutError::Timeout);
    if is_late() {
        cancel_handle.cancel.cancel();
        if is_late() {
            cancel_handle.cancel.cancel();
            cancel_handle.lock.hang_up();
        }
    }
    match asking.join() {
        Ok((engine, pressed)) => (Some(engine), pressed),
        Err(_) => (None, Err(Status::IoError)),
    }
}

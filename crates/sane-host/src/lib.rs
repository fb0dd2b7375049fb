//! The host process of a SANE backend: loads one by name over usbscan's libusb, and calls it for the program that started this
//! process. A backend that crashes takes this process along and no other; one that hangs is left to it, while the person has the
//! prompt back.
//!
//! ```text
//!   usbscan-sane-host LIBUSB BACKEND DEVICE
//!   standard input ⇄ a socket: requests in, replies out (crates/sane-protocol)
//! ```
//!
//! Three threads. The main one makes all calls of the backend, never two at once. `control` reads requests, and sees a cancel and
//! the end of the program at once. `watch` waits for the call that a cancel has to end, makes its transfers fail where it does not
//! end by itself, and ends the process where nothing moves any more (control.rs).
//!
//! The process is in a session of its own, so that a Ctrl-C does not reach it: what it has to bring home, it brings home after
//! the program has gone. The `unsafe` of calling SANE's C interface is here.
#![warn(missing_docs)]

mod abi;
mod backend;
mod control;
mod dropin;
mod folders;
mod host;
mod library;
mod options;
mod text;

use std::ffi::OsString;
use std::io::{self, BufReader};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use usbscan_sane_protocol::Request;

use control::Control;
use dropin::Dropin;
use host::Host;

/// Requests that wait: a program asks one thing at a time, and may cancel it.
const WAITING: usize = 16;

/// What the command line says.
struct Arguments {
    libusb: PathBuf,
    backend: String,
    device: String,
}

fn arguments(mut all: impl Iterator<Item = OsString>) -> Option<Arguments> {
    let libusb = PathBuf::from(all.nth(1)?);
    let backend = all.next()?.into_string().ok()?;
    let device = all.next()?.into_string().ok()?;
    all.next().is_none().then_some(Arguments { libusb, backend, device })
}

/// Runs the host with the command line of this process, to the end of its standard input.
pub fn main() -> ExitCode {
    let Some(arguments) = arguments(std::env::args_os()) else {
        eprintln!("usbscan-sane-host: started by usbscan, with LIBUSB BACKEND DEVICE; not for people");
        return ExitCode::from(2);
    };
    close_inherited();
    // Fails for the leader of a process group, whom nobody's Ctrl-C reaches either.
    let _ = rustix::process::setsid();
    match serve(&arguments) {
        Ok(()) => leave(0),
        Err(error) => {
            eprintln!("usbscan-sane-host: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Ends the process without destructors: those of a backend may be of the kind that crashes.
fn leave(code: i32) -> ! {
    // SAFETY: it ends the process, and touches none of its memory.
    unsafe { libc::_exit(code) }
}

/// Closes what the program that started us had left open, above the three standard descriptors.
fn close_inherited() {
    // SAFETY: nothing of ours is open yet above standard error.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
}

fn serve(arguments: &Arguments) -> io::Result<()> {
    let socket = || -> io::Result<UnixStream> { Ok(io::stdin().as_fd().try_clone_to_owned()?.into()) };
    let (requests_from, replies_to) = (socket()?, socket()?);
    // Before the backend, whose need of libusb the loader then finds fulfilled.
    let dropin = Dropin::load(&arguments.libusb, &arguments.device).map_err(io::Error::other)?;
    let control = Arc::new(Control::new(dropin));
    let (queue, requests) = crossbeam_channel::bounded(WAITING);
    start("control", {
        let control = control.clone();
        move || {
            let mut reader = BufReader::new(requests_from);
            while let Ok(Some(request)) = Request::read_from(&mut reader) {
                if request == (Request::Cancel {}) {
                    control.cancel();
                }
                if queue.send(request).is_err() {
                    break;
                }
            }
            control.hang_up();
        }
    })?;
    start("watch", {
        let control = control.clone();
        move || control.watch(|| leave(1))
    })?;
    Host::new(&arguments.backend, replies_to, control).serve(&requests);
    Ok(())
}

/// Starts a thread that ends with the process.
fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

//! `usbscan run`: starts a program with our libusb, so that whatever it does with scanners goes through the daemon. The
//! main thread waits for the program, the thread `signals` passes signals on, the thread `cancel` cancels what the program
//! and its children have pending when they were to end and don't.

mod sessions;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use crossbeam_channel::{Sender, unbounded};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, wait};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use usbscan_client::Session;

use super::args::{Global, Run};
use super::failure::Failure;
use super::program::{Library, Program, ProgramError};

/// Tells our SANE backend, which the program may load too, that the others use the daemon: it lists nothing then.
const VARIABLE: &str = "USBSCAN_RUN";
/// What is passed on. Others have the kernel's meaning for this process alone.
const PASSED_ON: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];
/// What asks the program to end.
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];
/// A shell's exit code for a program that a signal ended is more than this by the signal's number.
const BY_SIGNAL: i32 = 128;

/// Runs a program to its end, and ends with its exit code.
pub fn run(global: &Global, args: &Run) -> Result<(), Failure> {
    if !global.virtual_scanners.is_empty() {
        return Err(ProgramError::Virtual.into());
    }
    let library = Library::find(args.libusb.as_deref())?;
    let (name, arguments) = args.program.split_first().expect("the command line has a program");
    let program = Program::find(name)?;
    let socket = std::path::absolute(&global.socket).map_err(Failure::System)?;
    // Without the daemon the program would say that there is no scanner, which is not what is wrong.
    drop(Session::connect(&socket)?);

    let mut command = Command::new(&program.path);
    command.arg0(name).args(arguments).env("USBSCAN_SOCKET", &socket).env(VARIABLE, "1");
    for (variable, value) in variables(&library, &program) {
        command.env(variable, value);
    }
    // What its children leave behind stays below this process, and so is known to be the program's.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| Failure::System(error.into()))?;
    let signals = SignalsInfo::<WithOrigin>::new(not_ignored(&PASSED_ON)).map_err(Failure::System)?;
    let child = command.spawn().map_err(|error| ProgramError::NotExecutable(program.path, error))?;
    let pid = Pid::from_child(&child);
    let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| Failure::System(error.into()))?;
    let (interrupt, interrupts) = unbounded();
    start("signals", move || pass_on(signals, &process, &interrupt))?;
    start("cancel", move || sessions::cancel_after(&interrupts, &socket))?;
    match wait_for(pid).map_err(Failure::System)? {
        0 => Ok(()),
        code => Err(Failure::ProgramEnded { code }),
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    // It ends with this process, which ends with the program.
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop).map_err(Failure::System)
}

/// What tells the loader of our libusb. LD_LIBRARY_PATH does no harm to programs that can't use it (of another word size,
/// with more rights, without libusb); LD_PRELOAD is for those that look in a folder of their own first.
fn variables(library: &Library, program: &Program) -> Vec<(&'static str, OsString)> {
    match library {
        Library::Folder(folder) => {
            let path = before(folder.as_os_str(), "LD_LIBRARY_PATH");
            let file = folder.join(super::program::LIBUSB);
            let preload = program.has_own_libusb.then(|| ("LD_PRELOAD", before(file.as_os_str(), "LD_PRELOAD")));
            [("LD_LIBRARY_PATH", path)].into_iter().chain(preload).collect()
        }
        Library::File(file) => vec![("LD_PRELOAD", before(file.as_os_str(), "LD_PRELOAD"))],
    }
}

/// An entry of a list with colons, before those that a variable has.
fn before(entry: &OsStr, variable: &str) -> OsString {
    let mut list = entry.to_owned();
    if let Some(rest) = std::env::var_os(variable).filter(|rest| !rest.is_empty()) {
        list.push(":");
        list.push(rest);
    }
    list
}

/// Leaves out what this process was started to ignore (`nohup`): so does the program then.
fn not_ignored(signals: &[i32]) -> Vec<i32> {
    let status = fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    signals.iter().copied().filter(|signal| mask & (1 << (signal - 1)) == 0).collect()
}

/// Passes signals on to the program. What the kernel sends for a key of the terminal goes to the program as well: a second
/// one would count as a second Ctrl-C. Of a terminal that closes the kernel tells only the leader of its session, which is this
/// process where a terminal was opened for it.
fn pass_on(mut signals: SignalsInfo<WithOrigin>, program: &OwnedFd, interrupt: &Sender<Signal>) {
    for origin in signals.forever() {
        let Some(signal) = Signal::from_named_raw(origin.signal) else { continue };
        if origin.process.is_some() || origin.signal == SIGHUP {
            // It may have ended just now.
            let _ = pidfd_send_signal(program, signal);
        }
        if ENDING.contains(&origin.signal) {
            // Without the thread `cancel` nobody hears it.
            let _ = interrupt.send(signal);
        }
    }
}

/// Waits for the program, and for whatever its children left to this process. Returns a shell's exit code.
fn wait_for(program: Pid) -> io::Result<i32> {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == program => {
                let by_signal = || status.terminating_signal().map(|signal| BY_SIGNAL + signal);
                return Ok(status.exit_status().or_else(by_signal).unwrap_or(BY_SIGNAL));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn program(has_own_libusb: bool) -> Program {
        Program { path: "/usr/bin/scanimage".into(), has_own_libusb }
    }

    fn names(library: &Library, program: &Program) -> Vec<&'static str> {
        variables(library, program).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn the_library_is_preloaded_only_where_the_path_does_not_do() {
        let folder = Library::Folder(PathBuf::from("/usr/lib/usbscan"));
        assert_eq!(names(&folder, &program(false)), ["LD_LIBRARY_PATH"]);
        assert_eq!(names(&folder, &program(true)), ["LD_LIBRARY_PATH", "LD_PRELOAD"]);
        let built = Library::File(PathBuf::from("target/debug/libusbscan_libusb_dropin.so"));
        assert_eq!(names(&built, &program(false)), ["LD_PRELOAD"]);
    }

    #[test]
    fn no_empty_entry_comes_into_a_list() {
        assert_eq!(before(OsStr::new("/a"), "USBSCAN_NO_SUCH_VARIABLE"), "/a");
    }
}

//! The exit codes of `usbscan`, and the table of them that `--help` and the man page print. failure/exit.rs maps every failure
//! to its code.

use super::signal::Signal;

/// How `usbscan` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// `doctor` found problems.
    ProblemsFound,
    /// The command line is invalid, or this scanner doesn't support what it asks for.
    Usage,
    /// The daemon is not running or doesn't answer.
    Unreachable,
    /// No such scanner, or it was unplugged.
    NoScanner,
    /// Another program uses it.
    Busy,
    /// Another program cancelled it.
    Cancelled,
    /// Cover open, paper jam, lamp error: a person must go to the scanner.
    NeedsAttention,
    Io,
    Denied,
    /// `--timeout` expired.
    Timeout,
    /// The reader of standard output closed it.
    BrokenPipe,
    Interrupted(Signal),
    /// That of the program that `run` started.
    OfProgram(u8),
}

/// Every code with its meaning, in order.
const MEANINGS: &[(Exit, &str, &str)] = &[
    (Exit::Done, "done", "done"),
    (Exit::ProblemsFound, "problems-found", "doctor found problems"),
    (Exit::Usage, "usage", "the command line is invalid, or asks for something this scanner can't do"),
    (Exit::Unreachable, "daemon-unreachable", "the daemon is not running or does not answer"),
    (Exit::NoScanner, "no-scanner", "no such scanner, scanner unplugged, or no such request"),
    (Exit::Busy, "busy", "the scanner is in use"),
    (Exit::Cancelled, "cancelled", "cancelled by another program"),
    (Exit::NeedsAttention, "needs-attention", "the scanner needs attention: cover, paper, lamp"),
    (Exit::Io, "io-error", "I/O error on the bus, in the scanner, or in a file"),
    (Exit::Denied, "access-denied", "access denied"),
    (Exit::Timeout, "timeout", "timeout expired"),
    (Exit::OfProgram(126), "program", "run: the program can't be executed"),
    (Exit::OfProgram(127), "program", "run: no such program; any other code is the program's own"),
    (Exit::Interrupted(Signal(1)), "interrupted", "ended by SIGHUP"),
    (Exit::Interrupted(Signal(2)), "interrupted", "interrupted (Ctrl-C)"),
    (Exit::BrokenPipe, "broken-pipe", "standard output was closed"),
    (Exit::Interrupted(Signal(15)), "interrupted", "ended by SIGTERM"),
];

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::ProblemsFound => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::NoScanner => 4,
            Exit::Busy => 5,
            Exit::Cancelled => 6,
            Exit::NeedsAttention => 7,
            Exit::Io => 8,
            Exit::Denied => 9,
            Exit::Timeout => 10,
            Exit::BrokenPipe => 141,
            Exit::OfProgram(code) => code,
            Exit::Interrupted(signal) => 128 + u8::try_from(signal.0 & 0x7f).expect("seven bits"),
        }
    }

    /// The word for `--json`.
    pub fn word(self) -> &'static str {
        MEANINGS.iter().find(|meaning| meaning.0.code() == self.code()).map_or("interrupted", |meaning| meaning.1)
    }

    pub fn help() -> String {
        let lines = MEANINGS.iter().map(|(exit, _, meaning)| format!("  {:>3}  {meaning}", exit.code()));
        format!("Exit codes:\n{}", lines.collect::<Vec<_>>().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_every_code_once_and_in_order() {
        let codes: Vec<u8> = MEANINGS.iter().map(|meaning| meaning.0.code()).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
    }
}

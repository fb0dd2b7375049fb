//! `usbscan status`: sessions and pending requests of a scanner.

use std::io::{self, Write};

use serde_json::json;
use usbscan_wire::{DeviceStatus, LastCancel, PendingRequest, Recovery, SessionEntry};

use super::args::DeviceArg;
use super::context::Context;
use super::failure::Failure;
use super::label::label;
use super::table::{Table, printable};

/// Shows one scanner or all of them.
pub fn run(context: &Context<'_>, device: &DeviceArg) -> Result<(), Failure> {
    let devices = context.connect()?.status(device.device.as_deref())?;
    context.print(&json!({ "devices": devices }), |out| {
        if devices.is_empty() {
            writeln!(out, "No scanners.")?;
        }
        for (number, device) in devices.iter().enumerate() {
            if number > 0 {
                writeln!(out)?;
            }
            show(out, device)?;
        }
        Ok(())
    })
}

fn show(out: &mut dyn Write, status: &DeviceStatus) -> io::Result<()> {
    let device = &status.device;
    writeln!(out, "{}  {}  {}  {}", device.name, label(device), printable(&device.stable_id), status.state)?;
    if let Some(problem) = &device.problem {
        writeln!(out, "  {}", printable(problem))?;
    }
    if let Some(recovery) = &status.recovery {
        let Recovery { rung, age_ms, drained } = recovery;
        writeln!(out, "  recovery: {} for {}, {drained} bytes drained", printable(rung), age(*age_ms))?;
    }
    if let Some(LastCancel { by, command, age_seconds }) = &status.last_cancel {
        let (program, ago) = (program(&by.program), age(age_seconds * 1000));
        writeln!(out, "  last cancel: {command} by {program} ({}), {ago} ago", by.numbers())?;
    }
    for pipe in status.pipes.iter().filter(|pipe| pipe.halted) {
        writeln!(out, "  the {} pipe is halted; clear it with `usbscan reset {} --pipe {0}`", pipe.pipe, device.name)?;
    }
    if !status.sessions.is_empty() {
        writeln!(out)?;
        sessions(&status.sessions).write(out, "  ")?;
    }
    let pending = pending(status);
    if !pending.is_empty() {
        writeln!(out)?;
        pending.write(out, "  ")?;
    }
    Ok(())
}

fn sessions(sessions: &[SessionEntry]) -> Table {
    let mut table = Table::new(["SESSION", "PROGRAM", "PID", "UID", "OPEN FOR", "HOLDS"]);
    for session in sessions {
        let holds = match (session.locked, session.armed) {
            (true, true) => "lock, abort sequence",
            (true, false) => "lock",
            (false, true) => "abort sequence",
            (false, false) => "-",
        };
        table.row([
            session.peer.session.to_string(),
            program(&session.peer.program),
            number(session.peer.pid),
            number(session.peer.uid),
            age(session.age_seconds * 1000),
            holds.to_owned(),
        ]);
    }
    table
}

fn pending(status: &DeviceStatus) -> Table {
    let mut table = Table::new(["REQUEST", "PIPE", "COMMAND", "PROGRAM", "PID", "STATE", "BYTES", "AGE"]);
    for pipe in &status.pipes {
        for request in &pipe.pending {
            let session = status.sessions.iter().find(|session| session.peer.session == request.session);
            table.row([
                format!("{}/{}", request.session, request.request),
                pipe.pipe.clone(),
                request.command.clone(),
                session.map_or("-".to_owned(), |session| program(&session.peer.program)),
                session.map_or("-".to_owned(), |session| number(session.peer.pid)),
                request.state.clone(),
                bytes(request),
                age(request.age_ms),
            ]);
        }
    }
    table
}

/// A process or a user; `?` where the daemon can't know it.
fn number(number: Option<impl std::fmt::Display>) -> String {
    number.map_or_else(|| "?".to_owned(), |number| number.to_string())
}

fn program(name: &str) -> String {
    if name.is_empty() { "?".to_owned() } else { name.to_owned() }
}

fn bytes(request: &PendingRequest) -> String {
    format!("{} of {}", request.actual, request.length)
}

/// `350 ms`, `12.3 s`, `3 min 20 s`, `5 h 2 min`.
fn age(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..60 => format!("{seconds}.{} s", milliseconds % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_at_most_two_units() {
        let ages = [0, 350, 12_345, 200_000, 18_120_000].map(age);
        assert_eq!(ages, ["0 ms", "350 ms", "12.3 s", "3 min 20 s", "5 h 2 min"]);
    }
}

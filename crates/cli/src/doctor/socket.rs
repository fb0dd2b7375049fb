//! The daemon's socket: is it there, with which rights, may this person connect, does a daemon answer?

use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use usbscan_wire::{Command, DAEMON_HEADER_LIMIT, DeviceEntry, Event, PROTOCOL_VERSION, Request, read_frame};

use super::finding::Finding;
use super::host::{Host, Rights};
use super::person::{GROUP, Membership, Person};
use super::service;

/// A daemon that has said nothing for this long does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of connecting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Talk {
    /// No file of that name.
    Missing,
    /// The system says no.
    Denied,
    /// A socket that nobody listens on.
    Refused,
    /// It ended otherwise.
    Failed(io::ErrorKind),
    /// Connected, and then nothing, or nonsense.
    Silent,
    /// A daemon, and the scanners it has.
    Answered {
        /// `usbscand 0.1.0`.
        server: String,
        /// The protocol it speaks.
        protocol: u32,
        /// What `list` says.
        devices: Vec<DeviceEntry>,
    },
}

/// Connects, and asks for the scanners.
pub fn talk(socket: &Path) -> Talk {
    match UnixStream::connect(socket) {
        Ok(stream) => dialogue(&stream).unwrap_or(Talk::Silent),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Talk::Missing,
            io::ErrorKind::PermissionDenied => Talk::Denied,
            io::ErrorKind::ConnectionRefused => Talk::Refused,
            other => Talk::Failed(other),
        },
    }
}

#[derive(Deserialize)]
struct Devices {
    #[serde(default)]
    devices: Vec<DeviceEntry>,
}

fn dialogue(mut stream: &UnixStream) -> Option<Talk> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let mut incoming = BufReader::new(stream);
    let Event::Hello { server, protocol, .. } = next(&mut incoming)? else { return None };
    let mut question = Vec::new();
    Request { id: 1, command: Command::List {}, payload: Vec::new() }.write_to(&mut question).ok()?;
    stream.write_all(&question).ok()?;
    let Devices { devices } = next(&mut incoming)?;
    Some(Talk::Answered { server, protocol, devices })
}

fn next<T: for<'a> Deserialize<'a>>(incoming: &mut BufReader<&UnixStream>) -> Option<T> {
    let frame = read_frame(incoming, DAEMON_HEADER_LIMIT).ok()??;
    serde_json::from_value(Value::Object(frame.header)).ok()
}

/// What to say of it.
pub fn findings(host: &Host, socket: &Path, scanner: Option<u32>, person: &Person, talk: &Talk) -> Vec<Finding> {
    let mut found = vec![of_talk(socket, talk, &start(host, socket))];
    let ours = socket == Path::new(super::SOCKET);
    if let (true, Some(rights)) = (ours, host.rights(socket)) {
        found.extend(of_rights(rights, scanner));
    }
    found.push(of_person(person, *talk == Talk::Denied));
    found
}

/// The command that makes the socket and puts a daemon behind it.
fn start(host: &Host, socket: &Path) -> String {
    if socket != Path::new(super::SOCKET) {
        return format!("usbscand --socket {}", socket.display());
    }
    let installed = service::is_installed(host);
    if installed { "sudo systemctl start usbscand.socket" } else { "sudo apt install usbscan" }.to_owned()
}

fn of_talk(socket: &Path, talk: &Talk, start: &str) -> Finding {
    let at = socket.display();
    match talk {
        Talk::Missing => Finding::problem("socket", format!("{at} is not there")).mended_by(start),
        Talk::Denied => Finding::problem("socket", format!("{at}: you may not connect; see permissions")),
        Talk::Refused => Finding::problem("socket", format!("{at} is there, but nobody listens on it"))
            .mended_by("sudo systemctl restart usbscand.socket"),
        Talk::Failed(kind) => Finding::problem("socket", format!("{at}: connecting failed: {kind}"))
            .mended_by("sudo systemctl restart usbscand.socket"),
        Talk::Silent => Finding::problem("daemon", format!("{at}: connected, but no daemon answers"))
            .mended_by("sudo systemctl restart usbscand.service"),
        Talk::Answered { server, protocol, devices } if *protocol == PROTOCOL_VERSION => {
            let scanners = match devices.len() {
                1 => "1 scanner".to_owned(),
                count => format!("{count} scanners"),
            };
            Finding::ok("daemon", format!("{server} answers at {at} and has {scanners}"))
        }
        Talk::Answered { server, protocol, .. } => Finding::problem(
            "daemon",
            format!("{server} speaks protocol {protocol}, and this program speaks {PROTOCOL_VERSION}"),
        )
        .mended_by("sudo systemctl restart usbscand.service"),
    }
}

fn of_rights(rights: Rights, scanner: Option<u32>) -> Option<Finding> {
    let restart = "sudo systemctl restart usbscand.socket";
    if !rights.socket {
        return Some(Finding::problem("socket", "what is there is no socket").mended_by(restart));
    }
    if rights.mode & 0o002 != 0 {
        return Some(Finding::note("socket", "everybody on this machine may connect").mended_by(restart));
    }
    let other = scanner.is_some_and(|scanner| scanner != rights.group);
    other.then(|| Finding::note("socket", format!("its group is not {GROUP}")).mended_by(restart))
}

fn of_person(person: &Person, denied: bool) -> Finding {
    let Person { name, root, membership } = person;
    let of_level = |text: String| match denied {
        true => Finding::problem("permissions", text),
        false => Finding::note("permissions", text),
    };
    match membership {
        Membership::Inside => Finding::ok("permissions", format!("{name} is in group {GROUP}")),
        _ if *root => Finding::ok("permissions", format!("{name} may use every scanner")),
        Membership::NoGroup => of_level(format!("this machine has no group {GROUP}"))
            .mended_by("sudo systemd-sysusers /usr/lib/sysusers.d/usbscan.conf"),
        Membership::FromNextLogin => of_level(format!(
            "{name} is in group {GROUP}, but this session began before that: log out and in again, or"
        ))
        .mended_by(format!("newgrp {GROUP}")),
        Membership::Outside => {
            of_level(format!("{name} is not in group {GROUP}, whose members may scan (it counts from the next login)"))
                .mended_by(format!("sudo usermod --append --groups {GROUP} {name}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::super::finding::Level;
    use super::*;

    #[test]
    fn what_is_missing_and_what_nobody_listens_on_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        assert_eq!(talk(&socket), Talk::Missing);
        drop(UnixListener::bind(&socket).unwrap());
        assert_eq!(talk(&socket), Talk::Refused);
    }

    #[test]
    fn a_daemon_that_says_nonsense_does_not_answer() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let daemon = thread::spawn(move || listener.accept().unwrap().0.write_all(b"220 mail\n").unwrap());
        assert_eq!(talk(&socket), Talk::Silent);
        daemon.join().unwrap();
    }

    #[test]
    fn an_outsider_is_told_the_command_with_their_own_name() {
        let person = Person { name: "alice".to_owned(), root: false, membership: Membership::Outside };
        let finding = of_person(&person, true);
        assert_eq!(finding.level, Level::Problem);
        assert_eq!(finding.mend.as_deref(), Some("sudo usermod --append --groups scanner alice"));
        assert_eq!(of_person(&person, false).level, Level::Note, "connecting worked, so it is no problem");
    }

    #[test]
    fn a_socket_for_everybody_is_worth_a_note() {
        let rights = Rights { mode: 0o666, group: 111, socket: true };
        assert_eq!(of_rights(rights, Some(111)).unwrap().level, Level::Note);
        assert_eq!(of_rights(Rights { mode: 0o660, ..rights }, Some(111)), None);
    }
}

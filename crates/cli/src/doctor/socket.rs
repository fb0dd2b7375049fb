//! Checks the daemon's socket: its existence and permissions, whether this user may connect, whether a daemon answers.

use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use usbscan_wire::{Command, DAEMON_HEADER_LIMIT, DeviceEntry, Event, PROTOCOL_VERSION, Request, read_frame};

use super::finding::Finding;
use super::host::{Host, Rights};
use super::service;
use super::user::{GROUP, Membership, User};

/// How long the daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The result of connecting to the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// There is no such file.
    Missing,
    Denied,
    Refused,
    Failed(io::ErrorKind),
    /// Connected, but there was no valid answer.
    NoAnswer,
    /// A daemon answered.
    Answered {
        /// `usbscand 0.1.0`.
        server: String,
        /// Its protocol version.
        protocol: u32,
        /// Its answer to `list`.
        devices: Vec<DeviceEntry>,
    },
}

/// Connects and sends `list`.
pub fn probe(socket: &Path) -> Probe {
    match UnixStream::connect(socket) {
        Ok(stream) => dialogue(&stream).unwrap_or(Probe::NoAnswer),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Probe::Missing,
            io::ErrorKind::PermissionDenied => Probe::Denied,
            io::ErrorKind::ConnectionRefused => Probe::Refused,
            other => Probe::Failed(other),
        },
    }
}

#[derive(Deserialize)]
struct Devices {
    #[serde(default)]
    devices: Vec<DeviceEntry>,
}

fn dialogue(mut stream: &UnixStream) -> Option<Probe> {
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    stream.set_write_timeout(Some(TIMEOUT)).ok()?;
    let mut incoming = BufReader::new(stream);
    let Event::Hello { server, protocol, .. } = next(&mut incoming)? else { return None };
    let mut question = Vec::new();
    Request { id: 1, command: Command::List { device: None, descriptors: false }, payload: Vec::new() }
        .write_to(&mut question)
        .ok()?;
    stream.write_all(&question).ok()?;
    let Devices { devices } = next(&mut incoming)?;
    Some(Probe::Answered { server, protocol, devices })
}

fn next<T: for<'a> Deserialize<'a>>(incoming: &mut BufReader<&UnixStream>) -> Option<T> {
    let frame = read_frame(incoming, DAEMON_HEADER_LIMIT).ok()??;
    serde_json::from_value(Value::Object(frame.header)).ok()
}

pub fn findings(host: &Host, socket: &Path, scanner: Option<u32>, user: &User, probe: &Probe) -> Vec<Finding> {
    let mut found = vec![of_talk(socket, probe, &start(host, socket))];
    let ours = socket == Path::new(super::SOCKET);
    if let (true, Some(rights)) = (ours, host.rights(socket)) {
        found.extend(of_rights(rights, scanner));
    }
    found.push(of_person(user, *probe == Probe::Denied));
    found
}

/// The command that starts the daemon with this socket.
fn start(host: &Host, socket: &Path) -> String {
    if socket != Path::new(super::SOCKET) {
        return format!("usbscand --socket {}", socket.display());
    }
    let installed = service::is_installed(host);
    if installed { "sudo systemctl start usbscand.socket" } else { "sudo apt install usbscan" }.to_owned()
}

fn of_talk(socket: &Path, probe: &Probe, start: &str) -> Finding {
    let at = socket.display();
    match probe {
        Probe::Missing => Finding::problem("socket", format!("{at} does not exist")).with_fix(start),
        Probe::Denied => Finding::problem("socket", format!("{at}: permission denied; see permissions")),
        Probe::Refused => Finding::problem("socket", format!("{at}: connection refused: usbscand is not running"))
            .with_fix("sudo systemctl restart usbscand.socket"),
        Probe::Failed(kind) => Finding::problem("socket", format!("{at}: can't connect: {kind}"))
            .with_fix("sudo systemctl restart usbscand.socket"),
        Probe::NoAnswer => Finding::problem("daemon", format!("{at}: connected, but the daemon does not answer"))
            .with_fix("sudo systemctl restart usbscand.service"),
        Probe::Answered { server, protocol, devices } if *protocol == PROTOCOL_VERSION => {
            let scanners = match devices.len() {
                1 => "1 scanner".to_owned(),
                count => format!("{count} scanners"),
            };
            Finding::ok("daemon", format!("{server} answers at {at} and lists {scanners}"))
        }
        Probe::Answered { server, protocol, .. } => Finding::problem(
            "daemon",
            format!("{server} speaks protocol {protocol}, but this program speaks {PROTOCOL_VERSION}"),
        )
        .with_fix("sudo systemctl restart usbscand.service"),
    }
}

fn of_rights(rights: Rights, scanner: Option<u32>) -> Option<Finding> {
    let restart = "sudo systemctl restart usbscand.socket";
    if !rights.socket {
        return Some(Finding::problem("socket", "the file is not a socket").with_fix(restart));
    }
    if rights.mode & 0o002 != 0 {
        return Some(Finding::note("socket", "every user may connect").with_fix(restart));
    }
    let other = scanner.is_some_and(|scanner| scanner != rights.group);
    other.then(|| Finding::note("socket", format!("the socket's group is not {GROUP}")).with_fix(restart))
}

fn of_person(user: &User, denied: bool) -> Finding {
    let User { name, root, membership } = user;
    let of_level = |text: String| match denied {
        true => Finding::problem("permissions", text),
        false => Finding::note("permissions", text),
    };
    match membership {
        Membership::Member => Finding::ok("permissions", format!("{name} is in group {GROUP}")),
        _ if *root => Finding::ok("permissions", format!("{name} may use all scanners")),
        Membership::NoGroup => of_level(format!("group {GROUP} does not exist"))
            .with_fix("sudo systemd-sysusers /usr/lib/sysusers.d/usbscan.conf"),
        Membership::AfterNextLogin => {
            of_level(format!("{name} was added to group {GROUP} after this login: log in again, or run"))
                .with_fix(format!("newgrp {GROUP}"))
        }
        Membership::NotMember => {
            of_level(format!("{name} is not in group {GROUP}, whose members may scan (takes effect at the next login)"))
                .with_fix(format!("sudo usermod --append --groups {GROUP} {name}"))
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
    fn a_missing_socket_and_one_without_a_listener_are_distinguished() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        assert_eq!(probe(&socket), Probe::Missing);
        drop(UnixListener::bind(&socket).unwrap());
        assert_eq!(probe(&socket), Probe::Refused);
    }

    #[test]
    fn an_invalid_answer_is_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let daemon = thread::spawn(move || listener.accept().unwrap().0.write_all(b"220 mail\n").unwrap());
        assert_eq!(probe(&socket), Probe::NoAnswer);
        daemon.join().unwrap();
    }

    #[test]
    fn a_user_outside_the_group_gets_the_command_with_their_own_name() {
        let user = User { name: "alice".to_owned(), root: false, membership: Membership::NotMember };
        let finding = of_person(&user, true);
        assert_eq!(finding.level, Level::Problem);
        assert_eq!(finding.fix.as_deref(), Some("sudo usermod --append --groups scanner alice"));
        assert_eq!(of_person(&user, false).level, Level::Note, "connecting worked, so it is no problem");
    }

    #[test]
    fn a_socket_for_everybody_is_worth_a_note() {
        let rights = Rights { mode: 0o666, group: 111, socket: true };
        assert_eq!(of_rights(rights, Some(111)).unwrap().level, Level::Note);
        assert_eq!(of_rights(Rights { mode: 0o660, ..rights }, Some(111)), None);
    }
}

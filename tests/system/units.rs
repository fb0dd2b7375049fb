//! The units, as systemd reads them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{are_there, source, text};

const UNITS: [&str; 3] = ["usbscand.service", "usbscand.socket", "usbscan-actions.service"];

/// What `systemd-analyze verify` says against our units, changed by `change`, with programs that are there.
fn complaints(change: impl Fn(&str, String) -> String) -> Option<Vec<String>> {
    if !are_there("what systemd makes of the units", &["systemd-analyze"]) {
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    for name in UNITS {
        let unit = text(&format!("systemd/{name}")).replace("=/usr/bin/usbscan", "=/bin/true -- ");
        fs::write(folder.path().join(name), change(name, unit)).expect("a file");
    }
    let drop_in = folder.path().join("usbscand.service.d");
    fs::create_dir(&drop_in).expect("a folder");
    fs::copy(source("systemd/private-node/private-node.conf"), drop_in.join("private-node.conf")).expect("a copy");
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no"]).args(UNITS.map(|name| folder.path().join(name)));
    let ended = command.env("SYSTEMD_LOG_TARGET", "console").output().expect("systemd-analyze starts");
    let said = String::from_utf8_lossy(&ended.stderr);
    Some(said.lines().filter(|line| line.contains("usbscan")).map(str::to_owned).collect())
}

/// What a unit says: the last value of each key, by section.
fn settings(path: &str) -> BTreeMap<(String, String), String> {
    let (mut section, mut settings) = (String::new(), BTreeMap::new());
    for line in text(path).lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split_once('=') {
            Some((key, value)) => {
                settings.insert((section.clone(), key.to_owned()), value.to_owned());
            }
            None => section = line.trim_matches(['[', ']']).to_owned(),
        }
    }
    settings
}

fn setting(path: &str, section: &str, key: &str) -> String {
    let found = settings(path).remove(&(section.to_owned(), key.to_owned()));
    found.unwrap_or_else(|| panic!("{path} has no {key} in [{section}]"))
}

#[test]
fn systemd_understands_every_line_of_the_units() {
    let Some(found) = complaints(|_, unit| unit) else { return };
    assert_eq!(found, [""; 0]);
    let wrong =
        complaints(|_, unit| unit.replace("TriggerLimitIntervalSec=", "TriggerLimitInterval=")).expect("as before");
    assert!(wrong.iter().any(|line| line.contains("TriggerLimitInterval")), "it says what it does not know: {wrong:?}");
}

#[test]
fn however_often_the_daemon_ends_systemd_starts_it_again() {
    for unit in ["systemd/usbscand.service", "systemd/usbscan-actions.service"] {
        assert_eq!(setting(unit, "Unit", "StartLimitIntervalSec"), "0", "{unit}");
        assert_eq!(setting(unit, "Service", "Restart"), "on-failure", "{unit}");
    }
    assert_eq!(setting("systemd/usbscand.socket", "Socket", "TriggerLimitIntervalSec"), "0");
    // Of a section in which it means nothing systemd says so, see above.
}

#[test]
fn the_unit_holds_what_the_configurations_limits_allow() {
    let limits = usbscan_daemon::Limits::default();
    let number = |key| setting("systemd/usbscand.service", "Service", key);
    let tasks: usize = number("TasksMax").parse().expect("a number");
    let descriptors: usize = number("LimitNOFILE").parse().expect("a number");
    let memory = number("MemoryMax");
    let memory: u64 = memory.strip_suffix('M').and_then(|text| text.parse().ok()).expect("mebibytes");
    assert!(tasks >= 4 * limits.connections && descriptors >= 8 * limits.connections);
    let held = limits.all_bytes + (limits.captures * limits.capture_bytes) as u64;
    assert!(memory << 20 >= 2 * held, "{memory} MiB for {held} bytes");
}

#[test]
fn what_belongs_to_private_nodes_is_in_the_package_and_not_in_force() {
    let package = text("tools/package");
    for file in ["udev/private-node/72-usbscan-private.rules", "systemd/private-node/private-node.conf"] {
        assert!(source(file).exists() && package.contains(file), "{file}");
        let name = Path::new(file).file_name().and_then(|name| name.to_str()).expect("a name");
        let installed = package.lines().filter(|line| line.contains(name));
        assert!(installed.into_iter().all(|line| line.contains("/usr/share/usbscan/")), "{name}");
        assert!(text("man/usbscand.8.in").replace("\\-", "-").contains(name), "usbscand(8) says how to enable {name}");
    }
}

//! What systemd makes of usbscand: are its units installed, is the socket up, did the service fail? And the udev rules.

use std::process::{Command, Stdio};

use super::finding::Finding;
use super::host::Host;

const UNITS: &[&str] = &[
    "/etc/systemd/system/usbscand.socket",
    "/usr/lib/systemd/system/usbscand.socket",
    "/lib/systemd/system/usbscand.socket",
];
const RULES: &[&str] = &[
    "/etc/udev/rules.d/60-usbscan.rules",
    "/usr/lib/udev/rules.d/60-usbscan.rules",
    "/lib/udev/rules.d/60-usbscan.rules",
];

/// A unit's state as `systemctl show` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    /// `active`, `inactive`, `failed`, …
    pub active: String,
    /// `success`, `exit-code`, `signal`, `watchdog`, …
    pub result: String,
    /// `enabled`, `disabled`, `masked`, …
    pub file: String,
}

/// Asks systemd; `None` where it does not run this machine.
fn unit(host: &Host, name: &str) -> Option<Unit> {
    host.rights("/run/systemd/system")?;
    let mut command = Command::new("systemctl");
    command.args(["show", "--property=ActiveState,Result,UnitFileState", name]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    Some(parse(&String::from_utf8_lossy(&output.stdout)))
}

fn parse(shown: &str) -> Unit {
    let value = |key: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().to_owned()
    };
    Unit { active: value("ActiveState"), result: value("Result"), file: value("UnitFileState") }
}

/// Whether systemd knows of usbscand.
pub fn is_installed(host: &Host) -> bool {
    host.first_of(UNITS).is_some()
}

/// What to say of units and rules.
pub fn findings(host: &Host) -> Vec<Finding> {
    let mut found = Vec::new();
    if !is_installed(host) {
        found.push(Finding::note("service", "systemd has no usbscand.socket: usbscand must be started by hand"));
    } else {
        found.extend(unit(host, "usbscand.socket").and_then(|unit| of_socket(&unit)));
        found.extend(unit(host, "usbscand.service").and_then(|unit| of_service(&unit)));
    }
    found.push(match host.first_of(RULES) {
        Some(path) => Finding::ok("udev", format!("the rules are in {path}")),
        None => Finding::problem("udev", "there is no 60-usbscan.rules, so that only root may open scanners")
            .mended_by("sudo apt install --reinstall usbscan"),
    });
    found
}

fn of_socket(unit: &Unit) -> Option<Finding> {
    if unit.file == "masked" {
        let text = "usbscand.socket is masked, so that nothing may start it";
        return Some(Finding::problem("service", text).mended_by("sudo systemctl unmask --now usbscand.socket"));
    }
    if unit.active != "active" {
        let text = format!("usbscand.socket is {}", unit.active);
        return Some(Finding::problem("service", text).mended_by("sudo systemctl enable --now usbscand.socket"));
    }
    (unit.file == "disabled").then(|| {
        let text = "usbscand.socket is up now, but not after the next start of the machine";
        Finding::note("service", text).mended_by("sudo systemctl enable usbscand.socket")
    })
}

fn of_service(unit: &Unit) -> Option<Finding> {
    match unit.active.as_str() {
        "failed" => {
            let text = format!("usbscand.service failed ({}); the journal says why", unit.result);
            Some(Finding::problem("service", text).shown_by("journalctl --boot --lines=50 --unit=usbscand.service"))
        }
        "active" => Some(Finding::ok("service", "usbscand.service runs")),
        "" => None,
        other => Some(Finding::ok("service", format!("usbscand.service is {other}; whoever connects starts it"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn what_systemctl_prints_is_understood() {
        let unit = parse("ActiveState=failed\nResult=watchdog\nUnitFileState=static\n");
        assert_eq!(unit.active, "failed");
        assert!(of_service(&unit).unwrap().text.contains("watchdog"));
        assert_eq!(parse(""), Unit::default());
    }

    #[test]
    fn a_masked_socket_is_unmasked_not_started() {
        let unit = Unit { active: "inactive".to_owned(), file: "masked".to_owned(), ..Unit::default() };
        assert!(of_socket(&unit).unwrap().mend.unwrap().contains("unmask"));
    }

    #[test]
    fn a_service_that_sleeps_behind_its_socket_is_fine() {
        let unit = Unit { active: "inactive".to_owned(), ..Unit::default() };
        assert_eq!(of_service(&unit).unwrap().level, Level::Ok);
    }

    #[test]
    fn missing_rules_are_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let found = findings(&Host::at(folder.path()));
        assert!(found.iter().any(|finding| finding.check == "udev" && finding.level == Level::Problem), "{found:?}");
    }
}

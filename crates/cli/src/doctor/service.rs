//! Checks usbscand's systemd units (installed, socket active, service not failed) and the udev rules.

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

const CONFIGURATION: &str = "/etc/usbscan/usbscand.toml";

/// A unit's state from `systemctl show`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SystemdUnit {
    /// `active`, `inactive`, `failed`, …
    pub active: String,
    /// `success`, `exit-code`, `signal`, `watchdog`, …
    pub result: String,
    /// `enabled`, `disabled`, `masked`, …
    pub file: String,
}

/// `None` if the machine does not run systemd.
fn unit(host: &Host, name: &str) -> Option<SystemdUnit> {
    host.rights("/run/systemd/system")?;
    let mut command = Command::new("systemctl");
    command.args(["show", "--property=ActiveState,Result,UnitFileState", name]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    Some(parse(&String::from_utf8_lossy(&output.stdout)))
}

fn parse(shown: &str) -> SystemdUnit {
    let value = |key: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().to_owned()
    };
    SystemdUnit { active: value("ActiveState"), result: value("Result"), file: value("UnitFileState") }
}

pub fn is_installed(host: &Host) -> bool {
    host.first_of(UNITS).is_some()
}

pub fn findings(host: &Host) -> Vec<Finding> {
    let mut found = Vec::new();
    if !is_installed(host) {
        found.push(Finding::note("service", "usbscand.socket is not installed: usbscand must be started by hand"));
    } else {
        found.extend(unit(host, "usbscand.socket").and_then(|unit| of_socket(&unit)));
        found.extend(unit(host, "usbscand.service").and_then(|unit| of_service(&unit)));
        let actions = actions(&host.read(CONFIGURATION).unwrap_or_default());
        if actions > 0 {
            found.extend(unit(host, "usbscan-actions.service").map(|unit| of_actions(actions, &unit)));
        }
    }
    found.push(match host.first_of(RULES) {
        Some(path) => Finding::ok("udev", format!("rules installed in {path}")),
        None => Finding::problem("udev", "60-usbscan.rules is not installed: only root may open scanners")
            .with_fix("sudo apt install --reinstall usbscan"),
    });
    found
}

fn of_socket(unit: &SystemdUnit) -> Option<Finding> {
    if unit.file == "masked" {
        let text = "usbscand.socket is masked";
        return Some(Finding::problem("service", text).with_fix("sudo systemctl unmask --now usbscand.socket"));
    }
    if unit.active != "active" {
        let text = format!("usbscand.socket is {}", unit.active);
        return Some(Finding::problem("service", text).with_fix("sudo systemctl enable --now usbscand.socket"));
    }
    (unit.file == "disabled").then(|| {
        let text = "usbscand.socket is active, but not enabled at boot";
        Finding::note("service", text).with_fix("sudo systemctl enable usbscand.socket")
    })
}

fn of_service(unit: &SystemdUnit) -> Option<Finding> {
    match unit.active.as_str() {
        "failed" => {
            let text = format!("usbscand.service failed ({})", unit.result);
            Some(Finding::problem("service", text).with_details("journalctl --boot --lines=50 --unit=usbscand.service"))
        }
        "active" => Some(Finding::ok("service", "usbscand.service is active")),
        "" => None,
        other => {
            Some(Finding::ok("service", format!("usbscand.service is {other}; a connection to the socket starts it")))
        }
    }
}

/// The number of `[[action]]` tables. Errors in the configuration are reported by `usbscand --check-config`.
fn actions(text: &str) -> usize {
    let tables = text.parse::<toml::Table>().unwrap_or_default();
    tables.get("action").and_then(toml::Value::as_array).map_or(0, Vec::len)
}

fn of_actions(actions: usize, unit: &SystemdUnit) -> Finding {
    let count = if actions == 1 { "1 action".to_owned() } else { format!("{actions} actions") };
    match unit.active.as_str() {
        "active" => Finding::ok("actions", format!("usbscan-actions.service is active, with {count}")),
        "failed" => {
            let text = format!("{CONFIGURATION} has {count}, but usbscan-actions.service failed ({})", unit.result);
            Finding::note("actions", text).with_details("journalctl --boot --lines=50 --unit=usbscan-actions.service")
        }
        _ => {
            let text = format!("{CONFIGURATION} has {count}, but usbscan-actions.service is not active");
            Finding::note("actions", text).with_fix("sudo systemctl enable --now usbscan-actions.service")
        }
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
        assert_eq!(parse(""), SystemdUnit::default());
    }

    #[test]
    fn a_masked_socket_is_unmasked_not_started() {
        let unit = SystemdUnit { active: "inactive".to_owned(), file: "masked".to_owned(), ..SystemdUnit::default() };
        assert!(of_socket(&unit).unwrap().fix.unwrap().contains("unmask"));
    }

    #[test]
    fn a_service_that_sleeps_behind_its_socket_is_fine() {
        let unit = SystemdUnit { active: "inactive".to_owned(), ..SystemdUnit::default() };
        assert_eq!(of_service(&unit).unwrap().level, Level::Ok);
    }

    #[test]
    fn actions_without_their_service_are_noted_with_the_command_that_starts_it() {
        let text = "claim = \"always\"\n[[action]]\nbutton = \"1\"\n[[action]]\nbutton = \"2\"\n";
        assert_eq!(actions(text), 2);
        for none in ["", "action = 3", "# [[action]]", "not [ toml"] {
            assert_eq!(actions(none), 0, "{none}");
        }
        let state = |active: &str| SystemdUnit { active: active.to_owned(), ..SystemdUnit::default() };
        let off = of_actions(2, &state("inactive"));
        assert_eq!(off.level, Level::Note);
        assert!(off.text.contains("2 actions") && off.fix.unwrap().contains("enable --now usbscan-actions"));
        assert!(of_actions(1, &state("failed")).details.is_some());
        assert_eq!(of_actions(1, &state("active")).level, Level::Ok);
    }

    #[test]
    fn missing_rules_are_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let found = findings(&Host::at(folder.path()));
        assert!(found.iter().any(|finding| finding.check == "udev" && finding.level == Level::Problem), "{found:?}");
    }
}

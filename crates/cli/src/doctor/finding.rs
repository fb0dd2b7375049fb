//! A result of one check of `usbscan doctor`, and the report of all. Values; no I/O except to the given writer.

use std::io::{self, Write};

use serde::Serialize;
use usbscan_wire::printable;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Ok,
    /// Scanning works, but this is worth knowing.
    Note,
    /// Scanning does not work, at least for this user.
    Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `socket`, `permissions`, `service`, `device 1-2`, …
    pub check: String,
    pub level: Level,
    /// The result in one sentence.
    pub text: String,
    /// The command that fixes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The command that shows more, where no command fixes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

impl Finding {
    pub fn ok(check: &str, text: impl Into<String>) -> Finding {
        Finding { check: check.to_owned(), level: Level::Ok, text: text.into(), fix: None, details: None }
    }

    pub fn note(check: &str, text: impl Into<String>) -> Finding {
        Finding { level: Level::Note, ..Finding::ok(check, text) }
    }

    pub fn problem(check: &str, text: impl Into<String>) -> Finding {
        Finding { level: Level::Problem, ..Finding::ok(check, text) }
    }

    pub fn with_fix(self, command: impl Into<String>) -> Finding {
        Finding { fix: Some(command.into()), ..self }
    }

    pub fn with_details(self, command: impl Into<String>) -> Finding {
        Finding { details: Some(command.into()), ..self }
    }
}

/// All findings, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    pub findings: Vec<Finding>,
}

impl Report {
    /// The highest level.
    pub fn worst(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }

    fn problems(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.level == Level::Problem)
    }

    /// Writes text. Commands are on lines of their own, so that they can be copied.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for finding in &self.findings {
            let mark = match finding.level {
                Level::Ok => "ok      ",
                Level::Note => "note    ",
                Level::Problem => "PROBLEM ",
            };
            // What a device calls itself is in there, too.
            writeln!(out, "{mark} {}: {}", finding.check, printable(&finding.text, usize::MAX))?;
            for command in [&finding.fix, &finding.details].into_iter().flatten() {
                writeln!(out, "             {command}")?;
            }
        }
        match self.problems().count() {
            0 => writeln!(out, "\nNo problems found."),
            1 => writeln!(out, "\n1 problem found; see the command below it."),
            count => writeln!(out, "\n{count} problems found; see the command below each. Fix the first one first."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let denied = Finding::problem("permissions", "you are not in group scanner");
        Report {
            findings: vec![
                Finding::ok("socket", "it is there"),
                denied.with_fix("sudo usermod --append --groups scanner alice"),
            ],
        }
    }

    #[test]
    fn a_command_is_on_a_line_of_its_own() {
        let mut text = Vec::new();
        report().write_text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.lines().any(|line| line.trim() == "sudo usermod --append --groups scanner alice"), "{text}");
        assert!(text.contains("1 problem"), "{text}");
    }

    #[test]
    fn no_control_character_of_a_device_reaches_the_terminal() {
        let mut text = Vec::new();
        let report = Report { findings: vec![Finding::ok("device 1-2", "Evil\u{1b}]0;x\u{7} V1\u{202e} (04b8:0001)")] };
        report.write_text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']) && text.contains("(04b8:0001)"), "{text:?}");
    }

    #[test]
    fn a_command_that_fixes_nothing_is_not_called_a_fix() {
        let unplugged = Finding::problem("devices", "there is none").with_details("lsusb");
        let value = serde_json::to_value(&unplugged).unwrap();
        assert_eq!((value.get("fix"), value["details"].as_str()), (None, Some("lsusb")));
        let mut text = Vec::new();
        Report { findings: vec![unplugged] }.write_text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(" lsusb\n") && text.ends_with("1 problem found; see the command below it.\n"), "{text}");
    }

    #[test]
    fn the_worst_finding_decides() {
        assert_eq!(report().worst(), Level::Problem);
        assert_eq!(Report { findings: vec![Finding::ok("socket", "fine")] }.worst(), Level::Ok);
    }

    #[test]
    fn json_leaves_out_a_command_that_is_not_there() {
        let value = serde_json::to_value(report()).unwrap();
        assert_eq!(value["findings"][0]["level"], "ok");
        assert!(value["findings"][0].get("fix").is_none());
        assert_eq!(value["findings"][1]["level"], "problem");
    }
}

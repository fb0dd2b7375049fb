//! One thing that `usbscan doctor` looked at, and how findings are shown. Values only, no I/O but the writer it is given.

use std::io::{self, Write};

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing; scanning works all the same.
    Note,
    /// Scanning does not work, or not for this person.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `socket`, `permissions`, `service`, `device 1-2`, …
    pub check: String,
    /// How bad it is.
    pub level: Level,
    /// What was found, in one sentence.
    pub text: String,
    /// The one command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// The command that shows more of it, where no command mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: &str, text: impl Into<String>) -> Finding {
        Finding { check: check.to_owned(), level: Level::Ok, text: text.into(), mend: None, look: None }
    }

    /// Worth knowing.
    pub fn note(check: &str, text: impl Into<String>) -> Finding {
        Finding { level: Level::Note, ..Finding::ok(check, text) }
    }

    /// In the way.
    pub fn problem(check: &str, text: impl Into<String>) -> Finding {
        Finding { level: Level::Problem, ..Finding::ok(check, text) }
    }

    /// The same, with the command that mends it.
    pub fn mended_by(self, command: impl Into<String>) -> Finding {
        Finding { mend: Some(command.into()), ..self }
    }

    /// The same, with the command that shows more of what only a person can mend.
    pub fn shown_by(self, command: impl Into<String>) -> Finding {
        Finding { look: Some(command.into()), ..self }
    }
}

/// All that was found, in the order in which it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In that order.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The worst of it.
    pub fn worst(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }

    fn problems(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.level == Level::Problem)
    }

    /// Lines for people; the commands stand on lines of their own, to be copied.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for finding in &self.findings {
            let mark = match finding.level {
                Level::Ok => "ok      ",
                Level::Note => "note    ",
                Level::Problem => "PROBLEM ",
            };
            writeln!(out, "{mark} {}: {}", finding.check, finding.text)?;
            for command in [&finding.mend, &finding.look].into_iter().flatten() {
                writeln!(out, "             {command}")?;
            }
        }
        let can =
            if self.problems().all(|problem| problem.mend.is_some()) { "mends it" } else { "mends it, or shows more" };
        match self.problems().count() {
            0 => writeln!(out, "\nNothing is in the way of scanning."),
            1 => writeln!(out, "\n1 problem; the command below it {can}."),
            more => writeln!(out, "\n{more} problems; the command below each {can}. Begin with the first."),
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
                denied.mended_by("sudo usermod --append --groups scanner alice"),
            ],
        }
    }

    #[test]
    fn a_command_stands_alone_on_its_line() {
        let mut text = Vec::new();
        report().write_text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.lines().any(|line| line.trim() == "sudo usermod --append --groups scanner alice"), "{text}");
        assert!(text.contains("1 problem"), "{text}");
    }

    #[test]
    fn a_command_that_mends_nothing_is_not_said_to() {
        let text = |report: Report| {
            let mut text = Vec::new();
            report.write_text(&mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert!(text(report()).ends_with("the command below it mends it.\n"));
        let unplugged = Finding::problem("devices", "there is none").shown_by("lsusb");
        let value = serde_json::to_value(&unplugged).unwrap();
        assert_eq!((value.get("mend"), value["look"].as_str()), (None, Some("lsusb")));
        let shown = text(Report { findings: vec![unplugged] });
        assert!(
            shown.contains(" lsusb\n") && shown.ends_with("the command below it mends it, or shows more.\n"),
            "{shown}"
        );
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
        assert!(value["findings"][0].get("mend").is_none());
        assert_eq!(value["findings"][1]["level"], "problem");
    }
}

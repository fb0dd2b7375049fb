//! `[[action]]` of the configuration: which command runs when a button of a scanner is pressed, or a scanner is plugged in.
//! Values, checked as they are read, so that a mistake is told with its line. The daemon runs none of them: it has no
//! rights to become another user, and is to have none. `usbscan actions` does; see docs/architecture.md.

use std::time::Duration;

use serde::Deserialize;

/// Most actions of a configuration: one for each button of some scanners, and room.
pub const MOST: usize = 64;
/// Most words of a command.
const WORDS: usize = 64;
const DEFAULT_LIMIT: Duration = Duration::from_secs(300);
const DEFAULT_PAUSE: Duration = Duration::from_secs(2);

/// What makes it run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    #[default]
    Button,
    /// The scanner was plugged in.
    Arrival,
    Removal,
}

impl Trigger {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Trigger::Button => "button",
            Trigger::Arrival => "arrival",
            Trigger::Removal => "removal",
        }
    }
}

/// A command, and when it runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "ActionTable")]
pub struct Action {
    /// The scanner's name, or the beginning of its stable id; any scanner where it is `None`.
    pub scanner: Option<String>,
    /// What makes it run.
    pub event: Trigger,
    /// Which button; any where it is `None`.
    pub button: Option<String>,
    /// Program, by its absolute path, and arguments. No shell reads them.
    pub command: Vec<String>,
    /// As whom, by name.
    pub user: String,
    /// It is ended after so long.
    pub limit: Duration,
    /// It does not begin again sooner than this after it began.
    pub pause: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionTable {
    scanner: Option<Word>,
    #[serde(default)]
    event: Trigger,
    button: Option<Word>,
    command: CommandLine,
    user: User,
    limit_seconds: Option<Limit>,
    pause_seconds: Option<Pause>,
}

impl From<ActionTable> for Action {
    fn from(table: ActionTable) -> Action {
        Action {
            scanner: table.scanner.map(|word| word.0),
            event: table.event,
            button: table.button.map(|word| word.0),
            command: table.command.0,
            user: table.user.0,
            limit: table.limit_seconds.map_or(DEFAULT_LIMIT, |limit| limit.0),
            pause: table.pause_seconds.map_or(DEFAULT_PAUSE, |pause| pause.0),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Word(String);

impl TryFrom<String> for Word {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Word, &'static str> {
        if text.is_empty() { Err("must not be empty; leave it out for any") } else { Ok(Word(text)) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<String>")]
struct CommandLine(Vec<String>);

impl TryFrom<Vec<String>> for CommandLine {
    type Error = String;

    fn try_from(words: Vec<String>) -> Result<CommandLine, String> {
        match words.first() {
            Some(program) if program.starts_with('/') && words.len() <= WORDS => {}
            _ => return Err(format!("command must be an absolute path, and arguments: 1 to {WORDS} words")),
        }
        match words.iter().any(|word| word.contains('\0')) {
            true => Err("a word of a command can't have a zero byte".to_owned()),
            false => Ok(CommandLine(words)),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct User(String);

impl TryFrom<String> for User {
    type Error = &'static str;

    fn try_from(name: String) -> Result<User, &'static str> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        match !name.is_empty() && name.len() <= 64 && !name.starts_with('-') && name.chars().all(plain) {
            true => Ok(User(name)),
            false => Err("user must be the name of a user"),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "u64")]
struct Limit(Duration);

impl TryFrom<u64> for Limit {
    type Error = &'static str;

    fn try_from(seconds: u64) -> Result<Limit, &'static str> {
        match (1..=86_400).contains(&seconds) {
            true => Ok(Limit(Duration::from_secs(seconds))),
            false => Err("limit_seconds must be from 1 to 86400"),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "u64")]
struct Pause(Duration);

impl TryFrom<u64> for Pause {
    type Error = &'static str;

    fn try_from(seconds: u64) -> Result<Pause, &'static str> {
        match seconds <= 3600 {
            true => Ok(Pause(Duration::from_secs(seconds))),
            false => Err("pause_seconds must be from 0 to 3600"),
        }
    }
}

/// The tables of a configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Vec<Action>")]
pub(crate) struct Actions(pub Vec<Action>);

impl TryFrom<Vec<Action>> for Actions {
    type Error = String;

    fn try_from(actions: Vec<Action>) -> Result<Actions, String> {
        if actions.len() > MOST { Err(format!("at most {MOST} actions")) } else { Ok(Actions(actions)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        action: Actions,
    }

    fn parse(text: &str) -> Result<Vec<Action>, String> {
        toml::from_str::<File>(text).map(|file| file.action.0).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_is_any_button_of_any_scanner() {
        let action = &parse("[[action]]\ncommand = [\"/bin/true\"]\nuser = \"alice\"").unwrap()[0];
        assert_eq!((action.event, &action.button, &action.scanner), (Trigger::Button, &None, &None));
        assert_eq!((action.limit, action.pause), (DEFAULT_LIMIT, DEFAULT_PAUSE));
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let right = "[[action]]\ncommand = [\"/bin/true\"]\nuser = \"alice\"\n";
        for (wrong, line, words) in [
            ("[[action]]\nuser = \"a\"\ncommand = [\"true\"]", "line 6", "absolute path"),
            ("[[action]]\nuser = \"a\"\ncommand = []", "line 6", "absolute path"),
            ("[[action]]\ncommand = [\"/x\"]\nuser = \"--uid=0\"", "line 6", "name of a user"),
            ("[[action]]\ncommand = [\"/x\"]\nuser = \"a\"\nlimit_seconds = 0", "line 7", "1 to 86400"),
            ("[[action]]\ncommand = [\"/x\"]\nuser = \"a\"\npause_seconds = 9999", "line 7", "0 to 3600"),
            ("[[action]]\ncommand = [\"/x\"]\nuser = \"a\"\nevent = \"push\"", "line 7", "push"),
            ("[[action]]\ncommand = [\"/x\"]\nuser = \"a\"\nbuton = \"1\"", "line 7", "buton"),
            ("[[action]]\ncommand = [\"/x\"]", "line 4", "user"),
        ] {
            let error = parse(&format!("{right}{wrong}")).unwrap_err();
            assert!(error.contains(line) && error.contains(words), "{wrong}\n{error}");
        }
        assert!(parse(&right.repeat(MOST + 1)).unwrap_err().contains("at most"));
    }
}

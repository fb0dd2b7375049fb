//! What `usbscand --check-config` looks for besides syntax: mistakes that depend on this machine, and that would otherwise
//! show when a button is pressed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Config;
use super::action::Action;

/// The mistakes, each in one sentence.
pub fn problems(config: &Config) -> Vec<String> {
    let numbered = config.actions.iter().zip(1..);
    let found = numbered.flat_map(|(action, number)| {
        let of_this = [unknown_user(action), bad_program(action)].into_iter().flatten();
        of_this.map(move |problem| format!("action {number}: {problem}")).collect::<Vec<_>>()
    });
    found.collect()
}

/// `id` asks all of the machine's sources of users, as the C library does.
fn unknown_user(action: &Action) -> Option<String> {
    let mut command = Command::new("id");
    command.args(["-u", "--", &action.user]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => None,
        Ok(_) => Some(format!("user: there is no user {:?}", action.user)),
        Err(error) => Some(format!("user: {:?} can't be looked up: id: {error}", action.user)),
    }
}

fn bad_program(action: &Action) -> Option<String> {
    let program = Path::new(&action.command[0]);
    let said = program.display();
    match std::fs::metadata(program) {
        Err(error) => Some(format!("command: {said}: {error}")),
        Ok(found) if !found.is_file() => Some(format!("command: {said} is not a file")),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => Some(format!("command: {said} is not executable")),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(user: &str, program: &str) -> Vec<String> {
        let text = format!("[[action]]\nuser = {user:?}\ncommand = [{program:?}]\n");
        problems(&Config::parse(Path::new("usbscand.toml"), &text).expect("it parses"))
    }

    #[test]
    fn an_actions_unknown_user_and_missing_program_are_found() {
        assert_eq!(problems_of("root", "/bin/sh"), Vec::<String>::new());
        assert_eq!(problems_of("no-such-user", "/bin/sh"), ["action 1: user: there is no user \"no-such-user\""]);
        let missing = problems_of("root", "/nowhere/scan");
        assert!(
            missing.len() == 1 && missing[0].starts_with("action 1: command: /nowhere/scan: No such"),
            "{missing:?}"
        );
        assert_eq!(problems_of("root", "/etc"), ["action 1: command: /etc is not a file"]);
        assert_eq!(problems_of("root", "/etc/passwd"), ["action 1: command: /etc/passwd is not executable"]);
    }
}

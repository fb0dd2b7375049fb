//! Shell completions, made by clap from the same definitions that parse the command lines.

use clap::Command;
use clap_complete::{Shell, generate};

use crate::Rendered;

/// Those of one program for bash, zsh and fish, under the names that the shells look for.
pub fn render(name: &str, command: &Command) -> Vec<Rendered> {
    let shells = [
        (Shell::Bash, format!("completions/{name}.bash")),
        (Shell::Zsh, format!("completions/_{name}")),
        (Shell::Fish, format!("completions/{name}.fish")),
    ];
    shells.into_iter().map(|(shell, path)| Rendered { path, text: of_shell(shell, name, command) }).collect()
}

fn of_shell(shell: Shell, name: &str, command: &Command) -> String {
    let mut bytes = Vec::new();
    generate(shell, &mut command.clone(), name, &mut bytes);
    let text = String::from_utf8(bytes).expect("clap writes UTF-8");
    // Lines end where their text ends, or every editor would change the file.
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n").trim_end())
}

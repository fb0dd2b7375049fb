//! Man pages: a template by hand, in which the lines `@OPTIONS@`, `@COMMANDS@`, `@EXIT@` and `@MODELS@` become what clap
//! knows and what `--help` prints below it.

use std::fmt::Write;

use clap::{Arg, ArgAction, Command};

/// The template with its marks filled in.
pub fn render(template: &str, command: &Command) -> String {
    let mut page = String::new();
    for line in template.lines() {
        match line {
            "@OPTIONS@" => page += &options(command, |_| true),
            "@COMMANDS@" => page += &commands(command, command.get_name()),
            "@EXIT@" => page += &exit_codes(command),
            "@MODELS@" => page += &models(command),
            other => {
                page += other;
                page += "\n";
            }
        }
    }
    page
}

/// Each command with its own arguments; what holds for every command stands once, under OPTIONS.
fn commands(command: &Command, above: &str) -> String {
    let mut text = String::new();
    for below in command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set()) {
        let name = format!("{above} {}", below.get_name());
        if below.has_subcommands() {
            text += &commands(below, &name);
            continue;
        }
        let _ = writeln!(text, ".SS {}", heading(below, &name));
        let about = below.get_long_about().or(below.get_about()).map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "{}.", escape(about.trim_end_matches('.')));
        // The heading has the positional arguments already, and the page's own words say what they are.
        text += &options(below, |argument| !argument.is_global_set() && !argument.is_positional());
    }
    text
}

/// `usbscan scan [DEVICE]`, the words to type in bold.
fn heading(command: &Command, name: &str) -> String {
    let values = command.get_positionals().map(|argument| {
        let value = format!("\\fI{}\\fR", escape(&value_names(argument)));
        if argument.is_required_set() { value } else { format!("[{value}]") }
    });
    let words = std::iter::once(escape(name)).chain(values);
    words.collect::<Vec<_>>().join(" ")
}

/// What the longer of both helps ends with.
fn below_help(command: &Command) -> String {
    command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string).unwrap_or_default()
}

/// The table in it: lines of a number and what it means.
fn exit_codes(command: &Command) -> String {
    let text = below_help(command);
    let rows = text.lines().filter_map(|line| line.trim().split_once("  "));
    let rows = rows.filter(|row| row.0.parse::<u8>().is_ok());
    rows.map(|(code, meaning)| format!(".TP\n{code}\n{}.\n", escape(&first_large(meaning.trim())))).collect()
}

/// The virtual scanners, which come last in it.
fn models(command: &Command) -> String {
    let text = below_help(command);
    let begin = text.find("Virtual scanners").expect("the help of both programs lists them");
    format!(".nf\n{}\n.fi\n", escape(text[begin..].trim()))
}

fn options(command: &Command, wanted: impl Fn(&Arg) -> bool) -> String {
    let mut text = String::new();
    let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set() && wanted(argument));
    for argument in arguments.filter(|argument| !["help", "version"].contains(&argument.get_id().as_str())) {
        let _ = writeln!(text, ".TP\n{}\n{}", usage(argument), meaning(argument));
    }
    text
}

/// `-r, --resolution DPI`.
fn usage(argument: &Arg) -> String {
    let short = argument.get_short().map(|letter| format!("\\fB\\-{letter}\\fR"));
    let long = argument.get_long().map(|word| format!("\\fB\\-\\-{}\\fR", escape(word)));
    let names = short.into_iter().chain(long).collect::<Vec<_>>().join(", ");
    if !takes_value(argument) {
        return names;
    }
    let value = format!("\\fI{}\\fR", escape(&value_names(argument)));
    let optional = argument.get_num_args().is_some_and(|range| range.min_values() == 0);
    match (optional, argument.is_require_equals_set()) {
        (true, _) => format!("{names}[={value}]"),
        (false, true) => format!("{names}={value}"),
        (false, false) => format!("{names} {value}"),
    }
}

fn takes_value(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Set | ArgAction::Append)
}

fn value_names(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    match names {
        [] => argument.get_id().as_str().to_uppercase(),
        names => names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" "),
    }
}

/// The help as a sentence, then what clap adds to it by itself: values, default, environment.
fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut text = format!("{}.", escape(help.trim().trim_end_matches('.')));
    if !takes_value(argument) {
        return text;
    }
    let values: Vec<_> = argument.get_possible_values().into_iter().filter(|value| !value.is_hide_set()).collect();
    if !values.is_empty() {
        let each = values.iter().map(|value| match value.get_help() {
            Some(help) => format!("\\fB{}\\fR ({})", escape(value.get_name()), escape(&first_small(&help.to_string()))),
            None => format!("\\fB{}\\fR", escape(value.get_name())),
        });
        let _ = write!(text, "\nOne of {}.", each.collect::<Vec<_>>().join(", "));
    }
    let default = argument.get_default_values().iter().filter_map(|value| value.to_str()).collect::<Vec<_>>().join(" ");
    if !default.is_empty() && !argument.is_hide_default_value_set() {
        let _ = write!(text, "\nDefault: {}.", escape(&default));
    }
    if let Some(variable) = argument.get_env().and_then(|variable| variable.to_str()) {
        let _ = write!(text, "\nThe environment variable {} stands for it.", escape(variable));
    }
    text
}

/// With a small letter first, unless the word is all capitals.
fn first_small(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(_), Some(second)) if second.is_uppercase() => text.to_owned(),
        (first, _) => first.into_iter().flat_map(char::to_lowercase).chain(letters).collect(),
    }
}

fn first_large(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Text that roff prints as it is: a hyphen that can be typed, no backslash of its own, no request at a line's start.
fn escape(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    let lines = escaped.lines().map(|line| match line.starts_with(['.', '\'']) {
        true => format!("\\&{line}"),
        false => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All flags below a command, with the command's words.
    fn flags(command: &Command) -> Vec<String> {
        let own = command.get_arguments().filter(|argument| !argument.is_hide_set()).filter_map(Arg::get_long);
        let own = own.filter(|flag| !["help", "version"].contains(flag)).map(|flag| escape(&format!("--{flag}")));
        own.chain(command.get_subcommands().filter(|below| below.get_name() != "help").flat_map(flags)).collect()
    }

    #[test]
    fn a_page_describes_every_flag_and_every_command() {
        let template = "@OPTIONS@\n@COMMANDS@\n";
        for (_, command) in crate::programs() {
            let page = render(template, &command);
            for flag in flags(&command) {
                assert!(page.contains(&flag), "{} {flag}", command.get_name());
            }
            for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
                assert!(page.contains(&escape(below.get_name())), "{}", below.get_name());
            }
        }
    }

    #[test]
    fn every_template_has_room_for_what_clap_knows() {
        for (page, command) in crate::programs() {
            let template = std::fs::read_to_string(crate::root().join(format!("man/{page}.in"))).expect("it is there");
            let has = |mark: &str| template.lines().any(|line| line == mark);
            assert!(has("@OPTIONS@"), "{page}");
            assert!(!command.has_subcommands() || (has("@COMMANDS@") && has("@EXIT@")), "{page}");
        }
    }

    #[test]
    fn text_is_never_taken_for_a_request() {
        assert_eq!([first_small("PBM or PGM"), first_small("Shades")], ["PBM or PGM", "shades"]);
        assert_eq!(escape(".so x\n-v \\n"), "\\&.so x\n\\-v \\en");
    }
}

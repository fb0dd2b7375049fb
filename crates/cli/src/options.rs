//! `usbscan options`: the scanner's options with their values.

use std::io::{self, IsTerminal, Write};

use serde_json::json;
use usbscan_scan::{OptionDescriptor, Scanner};

use super::args::ScanOptions;
use super::context::Context;
use super::failure::Failure;
use super::scan::open_scanner;
use super::table::printable;

/// Line width where standard output is no terminal.
const WIDTH: usize = 100;

/// Shows all options of a scanner.
pub fn run(context: &Context<'_>, args: &ScanOptions) -> Result<(), Failure> {
    let mut opened = open_scanner(context, &args.device, &args.driver, &mut |_| {})?;
    let scanner: &mut dyn Scanner = &mut *opened.scanner;
    let value = json!({ "device": opened.device.name, "identity": scanner.identity(), "options": scanner.options() });
    context.print(&value, |out| {
        let identity = scanner.identity();
        write!(out, "{}: {}, {}", opened.device.name, printable(&identity.model), printable(&identity.protocol))?;
        if !identity.firmware.is_empty() {
            write!(out, ", firmware {}", printable(&identity.firmware))?;
        }
        writeln!(out)?;
        let width = terminal_width();
        scanner.options().iter().try_for_each(|option| show(out, option, width))
    })
}

fn terminal_width() -> usize {
    let stdout = io::stdout();
    let columns = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).map(|size| size.ws_col));
    match columns {
        Some(Ok(columns @ 40..)) => columns.into(),
        _ => WIDTH,
    }
}

fn show(out: &mut dyn Write, option: &OptionDescriptor, width: usize) -> io::Result<()> {
    let unused = match (&option.active_when, option.active) {
        (Some(when), false) => {
            let values: Vec<String> = when.values.iter().map(ToString::to_string).collect();
            format!("  (only with {} {})", when.on, values.join(" or "))
        }
        (None, false) => "  (means nothing while the other options are as they are)".to_owned(),
        _ => String::new(),
    };
    let (name, value) = (printable(&option.name), option.value.to_string());
    writeln!(out, "\n  {name} = {}{}{unused}", printable(&value), option.unit.suffix())?;
    let description = printable(&option.description);
    let about = match option.read_only {
        true => format!("{description} It can only be read."),
        false => format!("{description} Possible: {}.", printable(&option.possible())),
    };
    wrapped(&about, width - 6).iter().try_for_each(|line| writeln!(out, "      {line}"))
}

/// Lines of at most `width` characters, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("", 8), [""]);
        assert_eq!(wrapped("incomprehensibilities a", 8), ["incomprehensibilities", "a"]);
    }
}

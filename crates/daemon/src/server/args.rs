//! The command line of usbscand, as clap reads it. Nothing is carried out here; the man page is made from [`command`].

use std::path::PathBuf;

use clap::{ArgAction, CommandFactory, FromArgMatches, Parser};

use crate::config::FILE;

/// Daemon that owns USB scanners, so that any pending request can be cancelled
#[derive(Debug, Parser)]
#[command(name = "usbscand", version)]
pub struct Arguments {
    /// Path of the socket [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// Add a virtual scanner; may be repeated
    #[arg(long = "virtual", value_name = "MODEL[,KEY=VALUE...]", action = ArgAction::Append)]
    pub virtual_scanners: Vec<String>,

    /// Don't use the USB scanners of this machine
    #[arg(long)]
    pub no_usb: bool,

    /// Configuration file
    #[arg(long, value_name = "FILE", long_help = format!("Configuration file [default: {FILE}, if it exists]"))]
    pub config: Option<PathBuf>,

    /// Check the configuration and exit
    #[arg(long)]
    pub check_config: bool,

    /// Increase verbosity (-v, -vv); RUST_LOG overrides it
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}

/// The command line; `models` describes the virtual scanners, at the end of `--help`.
pub fn command(models: String) -> clap::Command {
    Arguments::command().after_help(models)
}

/// Reads this process's own; ends it with a message where that can't be read.
pub fn parse(models: String) -> Arguments {
    let matches = command(models).get_matches();
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_flag_is_described() {
        let command = command("models".to_owned());
        assert!(command.get_arguments().all(|argument| argument.get_help().is_some()));
        command.debug_assert();
    }

    #[test]
    fn several_virtual_scanners_may_be_named() {
        let arguments =
            Arguments::try_parse_from(["usbscand", "--virtual", "esci,x=1", "--virtual", "loopback", "-vv"]);
        let arguments = arguments.unwrap();
        assert_eq!(arguments.virtual_scanners, ["esci,x=1", "loopback"]);
        assert_eq!(arguments.verbose, 2);
    }
}

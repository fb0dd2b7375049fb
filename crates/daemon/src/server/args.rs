//! The command line of usbscand, as clap reads it. Nothing is carried out here; the man page is made from [`command`].

use std::path::PathBuf;

use clap::{ArgAction, CommandFactory, FromArgMatches, Parser};

use crate::config::FILE;

/// Owns USB scanners, so that whatever hangs can be cancelled.
#[derive(Debug, Parser)]
#[command(name = "usbscand", version)]
pub struct Arguments {
    /// Listen here, whatever the configuration says
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// Serve a virtual scanner as well; may be given several times
    #[arg(long = "virtual", value_name = "MODEL[,KEY=VALUE...]", action = ArgAction::Append)]
    pub virtual_scanners: Vec<String>,

    /// Leave this machine's USB alone
    #[arg(long)]
    pub no_usb: bool,

    /// Read this configuration
    #[arg(long, value_name = "FILE", long_help = format!("Read this configuration, instead of {FILE} if there is one"))]
    pub config: Option<PathBuf>,

    /// Read the configuration, say what is wrong with it, and start nothing
    #[arg(long)]
    pub check_config: bool,

    /// Log more; twice, still more. RUST_LOG, where it is set, decides instead
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

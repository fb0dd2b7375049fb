//! The arguments of `usbscan run`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueHint};

#[derive(Debug, Args)]
#[command(override_usage = "usbscan run [OPTIONS] [--] PROGRAM [ARGUMENT]...")]
pub struct Run {
    /// Folder with usbscan's libusb-1.0.so.0 [default: ../lib/usbscan, from the folder of this program]
    #[arg(long, value_name = "FOLDER")]
    pub libusb: Option<PathBuf>,

    /// The program and its arguments
    #[arg(value_name = "PROGRAM", trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    #[arg(num_args = 1.., value_hint = ValueHint::CommandWithArguments)]
    pub program: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Arguments, Command, normalized};
    use super::*;

    #[test]
    fn what_follows_the_name_of_a_program_is_the_programs() {
        let run = |words: &[&str]| {
            let words = ["usbscan", "run"].iter().chain(words).map(OsString::from);
            let parsed = Arguments::try_parse_from(normalized(words)).expect("it parses");
            let Command::Run(run) = parsed.command else { panic!("another command") };
            assert!(parsed.global.virtual_scanners.is_empty() && parsed.global.verbose == 0);
            run.program
        };
        for words in [
            &["scanimage", "--virtual", "esci", "-v", "--json"][..],
            &["scanimage", "--", "-L"],
            &["sh", "-c", "exit 3"],
        ] {
            assert_eq!(run(words), words);
        }
        assert_eq!(run(&["--", "scanimage", "-L"]), ["scanimage", "-L"]);
        assert_eq!(run(&["--libusb", "/opt/lib", "scanimage"]), ["scanimage"]);
        assert!(Arguments::try_parse_from(["usbscan", "run"]).is_err());
    }
}

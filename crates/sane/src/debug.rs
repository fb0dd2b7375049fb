//! The log, on standard error, if it is asked for as SANE's backends are asked: `SANE_DEBUG_USBSCAN=1` to `5`. This
//! library's log is its own; a program in Rust that loads it keeps its own too.

use std::io::Write as _;

use log::LevelFilter;

use crate::environment;

/// Starts the log where the environment asks for one. A second call changes nothing.
pub fn init() {
    let level =
        environment::variable("SANE_DEBUG_USBSCAN").map_or(LevelFilter::Off, |number| level(&number.to_string_lossy()));
    if level == LevelFilter::Off {
        return;
    }
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level);
    builder.format(|out, record| writeln!(out, "[usbscan] {}: {}", record.level(), record.args()));
    // It fails where it was started before.
    let _ = builder.try_init();
}

/// 1 to 5; more is the same as 5.
fn level(number: &str) -> LevelFilter {
    match number.trim().parse::<u32>() {
        Ok(0) | Err(_) => LevelFilter::Off,
        Ok(1) => LevelFilter::Error,
        Ok(2) => LevelFilter::Warn,
        Ok(3) => LevelFilter::Info,
        Ok(4) => LevelFilter::Debug,
        Ok(_) => LevelFilter::Trace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_levels_are_those_of_other_backends() {
        assert_eq!(level("0"), LevelFilter::Off);
        assert_eq!(level("3"), LevelFilter::Info);
        assert_eq!(level("128"), LevelFilter::Trace);
        assert_eq!(level("all"), LevelFilter::Off);
    }
}

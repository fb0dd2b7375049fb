//! Prompts for the next page on the glass: the prompt goes to standard error, the answer comes from standard input. A
//! signal ends it.

use std::io::{self, Write};

use super::super::context::Context;
use super::super::failure::{DeviceState, Failure};

/// Longer answers are truncated.
const MAX_LINE: usize = 100;

/// Returns whether another page is to be scanned. With `--json` no prompt is printed, but an answer is expected.
///
/// # Errors
/// [`Failure::Interrupted`], [`Failure::Stdin`].
pub fn ask(context: &Context<'_>, page: u32) -> Result<bool, Failure> {
    loop {
        if !context.json() {
            let mut stderr = io::stderr();
            // Standard error may be closed.
            let _ = write!(stderr, "Put page {page} on the glass and press Enter, or q and Enter to finish: ");
            let _ = stderr.flush();
        }
        match read_line(context)?.as_deref().map(str::trim) {
            None | Some("q" | "Q") => return Ok(false),
            Some("") => return Ok(true),
            Some(_) => {}
        }
    }
}

/// `None` at the end of input. Reads single bytes: the rest of a buffer would be lost to the next prompt.
fn read_line(context: &Context<'_>) -> Result<Option<String>, Failure> {
    let stdin = rustix::stdio::stdin();
    let mut line = Vec::new();
    loop {
        let signal = context.interrupts.readable(stdin).map_err(Failure::Stdin)?;
        if let Some(signal) = signal {
            return Err(Failure::Interrupted { signal, state: DeviceState::Idle });
        }
        let mut byte = [0];
        match rustix::io::read(stdin, &mut byte) {
            Ok(0) if line.is_empty() => return Ok(None),
            Ok(0) => break,
            Ok(_) if byte == *b"\n" => break,
            Ok(_) if line.len() < MAX_LINE => line.extend(byte),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Failure::Stdin(errno.into())),
        }
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

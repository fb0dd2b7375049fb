//! The question for the next page on the glass. Asked on standard error, answered on standard input, ended by signals.

use std::io::{self, Write};

use super::super::context::Context;
use super::super::failure::{Failure, Left};

/// Longer lines are no answer.
const LONGEST: usize = 100;

/// Whether a page comes. Programs get no question, and answer all the same.
///
/// # Errors
/// [`Failure::Interrupted`], [`Failure::Stdin`].
pub fn ask(context: &Context<'_>, page: u32) -> Result<bool, Failure> {
    loop {
        if !context.json() {
            let mut stderr = io::stderr();
            // Nobody may be there to read it.
            let _ = write!(stderr, "Put page {page} on the glass and press Enter (q and Enter: that was all) ");
            let _ = stderr.flush();
        }
        match read_line(context)?.as_deref().map(str::trim) {
            None | Some("q" | "Q") => return Ok(false),
            Some("") => return Ok(true),
            Some(_) => {}
        }
    }
}

/// `None` at the end of input. Byte by byte, because what is read too far is lost to the next question.
fn read_line(context: &Context<'_>) -> Result<Option<String>, Failure> {
    let stdin = rustix::stdio::stdin();
    let mut line = Vec::new();
    loop {
        let signal = context.interrupts.readable(stdin).map_err(Failure::Stdin)?;
        if let Some(signal) = signal {
            return Err(Failure::Interrupted { signal, left: Left::Idle });
        }
        let mut byte = [0];
        match rustix::io::read(stdin, &mut byte) {
            Ok(0) if line.is_empty() => return Ok(None),
            Ok(0) => break,
            Ok(_) if byte == *b"\n" => break,
            Ok(_) if line.len() < LONGEST => line.extend(byte),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Failure::Stdin(errno.into())),
        }
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

//! What vscan is told while it runs: lines on standard input, and signals.

use std::io::{self, BufRead};
use std::thread;

use crossbeam_channel::Sender;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// `plug`: plug the device in, as it was first described or as this line does.
    Plug(Option<String>),
    Unplug,
    /// SIGTERM, SIGINT, or `quit`.
    Quit,
    /// The device fell off by itself, or the other side let go of it. With the number of its plugging in.
    Over(u64),
    /// Any other line: for the scanner's panel, or it means nothing.
    Other(String),
}

fn parse(line: &str) -> Option<Order> {
    let line = line.trim();
    Some(match line.split_once(' ').unwrap_or((line, "")) {
        ("", _) => return None,
        ("plug", "") => Order::Plug(None),
        ("plug", spec) => Order::Plug(Some(spec.trim().to_owned())),
        ("unplug", "") => Order::Unplug,
        ("quit", "") => Order::Quit,
        _ => Order::Other(line.to_owned()),
    })
}

/// Sends orders from now on. The threads live as long as the program; the end of standard input is no order.
///
/// # Errors
/// When signals can't be caught.
pub fn listen(orders: Sender<Order>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let from_signals = orders.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for _ in signals.forever() {
            if from_signals.send(Order::Quit).is_err() {
                return;
            }
        }
    })?;
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        for order in io::stdin().lock().lines().map_while(Result::ok).filter_map(|line| parse(&line)) {
            if orders.send(order).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_orders() {
        assert_eq!(parse("unplug\n"), Some(Order::Unplug));
        assert_eq!(parse(" plug "), Some(Order::Plug(None)));
        assert_eq!(parse("plug esci,dialect=esc"), Some(Order::Plug(Some("esci,dialect=esc".to_owned()))));
        assert_eq!(parse("quit"), Some(Order::Quit));
        assert_eq!(parse(""), None);
        assert_eq!(parse("unplug now"), Some(Order::Other("unplug now".to_owned())));
    }
}

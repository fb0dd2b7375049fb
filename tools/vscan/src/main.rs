//! vscan: shows a virtual scanner to a Linux kernel, so that every program takes it for a real one.
//!
//! One thread decides here: it plugs in, and waits for orders (lines on standard input, signals, the
//! device's own end).

mod console;
mod functionfs;
mod pump;
mod serve;
mod table;
mod tcp;
mod vhci;

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use clap::{Parser, Subcommand};
use console::Order;
use crossbeam_channel::{Sender, unbounded};
use parking_lot::Mutex;
use usbscan_virtual::{Model, Moved, Panel, spec};
use vscan::usbip;

/// Shows a virtual scanner to a Linux kernel. Stays in the foreground; prints "ready ..." when it is plugged in and
/// "unplugged" when it is out; obeys the lines "unplug", "plug", "plug SPEC" and "quit" on standard input, and those of
/// the scanner's panel ("button 1", "load", "cover open"); unplugs and ends on SIGTERM and SIGINT.
#[derive(Debug, Parser)]
#[command(name = "vscan", version, after_help = spec::help())]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Plug it into this kernel's virtual host controller (needs root and vhci-hcd)
    Vhci {
        /// The scanner, see below
        spec: String,
    },
    /// Show it through a USB device controller, as a gadget (needs root, and dummy_hcd or real hardware)
    Functionfs {
        /// The scanner, see below
        spec: String,
    },
    /// Export it over USB/IP, for `usbip attach -r HOST -b 1-1`
    Tcp {
        /// The scanner, see below
        spec: String,
        /// Address to listen on
        #[arg(long, default_value = "127.0.0.1:3240")]
        listen: SocketAddr,
    },
}

impl Command {
    fn spec(&self) -> &str {
        match self {
            Command::Vhci { spec } | Command::Functionfs { spec } | Command::Tcp { spec, .. } => spec,
        }
    }
}

/// A device that is plugged in one way or the other; dropping it unplugs it.
#[derive(Debug)]
enum Plugged {
    Vhci(vhci::Plugged),
    Functionfs(functionfs::Shown),
    Tcp(tcp::Offered),
}

/// The control panel of the scanner that was built last, if it has one.
#[derive(Debug, Clone, Default)]
struct CurrentPanel(Arc<Mutex<Option<Panel>>>);

impl CurrentPanel {
    /// Builds a scanner and keeps its panel.
    fn build(&self, spec: &str) -> Result<Box<dyn Model>, spec::SpecError> {
        let (model, panel) = spec::parse_with_panel(spec)?;
        *self.0.lock() = panel;
        Ok(model)
    }

    fn execute(&self, line: &str) -> bool {
        self.0.lock().as_ref().is_some_and(|panel| panel.execute(line))
    }
}

impl Plugged {
    fn plug(
        command: &Command,
        spec: &str,
        panel: &CurrentPanel,
        over: impl FnOnce(Option<Moved>) + Send + 'static,
    ) -> Result<Plugged, Box<dyn Error>> {
        Ok(match command {
            Command::Vhci { .. } => Plugged::Vhci(vhci::plug(panel.build(spec)?, over)?),
            Command::Functionfs { .. } => Plugged::Functionfs(functionfs::show(panel.build(spec)?, || over(None))?),
            Command::Tcp { listen, .. } => {
                let (spec, panel) = (spec.to_owned(), panel.clone());
                Plugged::Tcp(tcp::offer(Box::new(move || panel.build(&spec)), *listen)?)
            }
        })
    }

    fn place(&self) -> String {
        match self {
            Plugged::Vhci(plugged) => format!("vhci port {}", plugged.port),
            Plugged::Functionfs(shown) => format!("functionfs {}", shown.controller),
            Plugged::Tcp(offered) => format!("tcp {}", offered.address),
        }
    }
}

fn main() -> ExitCode {
    env_logger::init();
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vscan: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<(), Box<dyn Error>> {
    let (orders, inbox) = unbounded();
    console::listen(orders.clone())?;
    let mut spec = command.spec().to_owned();
    let (mut pluggings, panel) = (0, CurrentPanel::default());
    let moved = MovedCell::default();
    let mut plugged = Some(plug(command, &spec, &panel, &orders, &mut pluggings, &moved)?);
    for order in inbox {
        match order {
            Order::Plug(new) => {
                spec = new.unwrap_or(spec);
                unplug(&mut plugged);
                // A bad description now must not end what was running.
                let again = plug(command, &spec, &panel, &orders, &mut pluggings, &moved);
                plugged = again.map_err(|error| eprintln!("vscan: {error}")).ok();
            }
            Order::Unplug => unplug(&mut plugged),
            Order::Over(plugging) if plugging == pluggings => {
                unplug(&mut plugged);
                if let Some(back) = moved.lock().take() {
                    pluggings += 1;
                    let again = vhci::plug(back.model, over(&orders, pluggings, &moved)).map(Plugged::Vhci);
                    plugged = again.map_err(|error| eprintln!("vscan: {error}")).ok();
                    say_ready(plugged.as_ref());
                }
            }
            Order::Over(_) => {}
            Order::Quit => break,
            Order::Other(line) if panel.execute(&line) => println!("done {line}"),
            Order::Other(line) => {
                eprintln!("vscan: {line}: there are plug, plug SPEC, unplug, quit; {}", Panel::COMMANDS);
            }
        }
    }
    unplug(&mut plugged);
    Ok(())
}

/// A device that has left in a reset, until it is plugged in again.
type MovedCell = Arc<Mutex<Option<Moved>>>;

/// What is done when a device is over: it is kept where it has only moved, for as long as it is away.
fn over(orders: &Sender<Order>, plugging: u64, cell: &MovedCell) -> impl FnOnce(Option<Moved>) + Send + use<> {
    let (orders, cell) = (orders.clone(), cell.clone());
    move |moved| {
        if let Some(moved) = moved {
            thread::sleep(moved.away);
            *cell.lock() = Some(moved);
        }
        // After the program's end nobody listens.
        let _ = orders.send(Order::Over(plugging));
    }
}

fn plug(
    command: &Command,
    spec: &str,
    panel: &CurrentPanel,
    orders: &Sender<Order>,
    pluggings: &mut u64,
    moved: &MovedCell,
) -> Result<Plugged, Box<dyn Error>> {
    *pluggings += 1;
    let plugged = Plugged::plug(command, spec, panel, over(orders, *pluggings, moved))?;
    say_ready(Some(&plugged));
    Ok(plugged)
}

fn say_ready(plugged: Option<&Plugged>) {
    if let Some(plugged) = plugged {
        println!("ready {}", plugged.place());
    }
}

fn unplug(plugged: &mut Option<Plugged>) {
    if let Some(plugged) = plugged.take() {
        drop(plugged);
        println!("unplugged");
    }
}

//! The contract's rig over a real kernel: `vscan` shows the loopback to it and pulls it out on command.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, unbounded};
use usbscan_libusb::LibusbBus;
use usbscan_usb::contract::Rig;
use usbscan_usb::{Bus, Location};

/// What only a hang can reach, on an emulated machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// How the device gets into the kernel.
#[derive(Debug, Clone)]
pub struct Controller {
    /// `vhci` or `functionfs`: vscan's first argument.
    kind: String,
    program: String,
}

impl Controller {
    /// Reads `KIND:PROGRAM`.
    pub fn parse(text: &str) -> Option<Controller> {
        let (kind, program) = text.split_once(':')?;
        ["vhci", "functionfs"]
            .contains(&kind)
            .then(|| Controller { kind: kind.to_owned(), program: program.to_owned() })
    }
}

/// A running `vscan`.
struct Vscan {
    child: Child,
    commands: Option<ChildStdin>,
}

impl Vscan {
    /// Starts it and waits until the device is plugged in.
    fn start(controller: &Controller) -> Vscan {
        let mut child = Command::new(&controller.program)
            .args([controller.kind.as_str(), "loopback"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", controller.program));
        let commands = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (say, said) = unbounded();
        // Ends with the child; reads on to its end, so that the child never waits for us.
        thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| drop(say.send(line))));
        wait_for_ready(&said);
        Vscan { child, commands }
    }

    fn tell(&mut self, command: &str) {
        let commands = self.commands.as_mut().expect("it is running");
        writeln!(commands, "{command}").and_then(|()| commands.flush()).expect("vscan listens");
    }
}

fn wait_for_ready(said: &Receiver<String>) {
    loop {
        let line = said.recv_timeout(DEADLINE).expect("vscan says that it is ready");
        println!("vscan: {line}");
        if line.starts_with("ready") {
            return;
        }
    }
}

impl Drop for Vscan {
    fn drop(&mut self) {
        if let Some(mut commands) = self.commands.take() {
            // It may have ended by itself.
            let _ = writeln!(commands, "quit");
        }
        let deadline = Instant::now() + DEADLINE;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > deadline {
                eprintln!("vscan does not end; it is killed");
                let _ = self.child.kill();
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.wait();
    }
}

/// Real libusb over a real kernel.
pub struct KernelRig {
    controller: Controller,
    bus: LibusbBus,
    vscan: Option<Vscan>,
    last: Option<Location>,
}

impl KernelRig {
    pub fn new(controller: Controller) -> KernelRig {
        KernelRig { controller, bus: LibusbBus::new().expect("libusb is new enough"), vscan: None, last: None }
    }

    /// Waits, woken by the notifications, until what is listed is as `wanted` has it.
    fn wait_until<T>(&self, wanted: impl Fn(&[Location]) -> Option<T>) -> T {
        let (notify, changes) = bounded(1);
        let _watch = self.bus.watch(notify).expect("the bus can be watched");
        loop {
            let list = self.bus.list().expect("a list");
            let loopbacks = list.iter().filter(|i| (i.descriptor.vendor.0, i.descriptor.product.0) == (0x1209, 1));
            let places: Vec<Location> = loopbacks.map(|info| info.location.clone()).collect();
            if let Some(found) = wanted(&places) {
                return found;
            }
            changes.recv_timeout(DEADLINE).expect("the kernel tells of changes");
        }
    }
}

impl Rig for KernelRig {
    fn bus(&self) -> &dyn Bus {
        &self.bus
    }

    fn plug(&mut self) -> Location {
        match &mut self.vscan {
            Some(vscan) => vscan.tell("plug"),
            None => self.vscan = Some(Vscan::start(&self.controller)),
        }
        let last = self.last.clone();
        let found = self.wait_until(|places| places.iter().find(|place| Some(*place) != last.as_ref()).cloned());
        self.last = Some(found.clone());
        found
    }

    fn unplug(&mut self) {
        self.vscan.as_mut().expect("something is plugged in").tell("unplug");
    }
}

impl Drop for KernelRig {
    fn drop(&mut self) {
        if self.vscan.take().is_some() && !thread::panicking() {
            self.wait_until(|places| places.is_empty().then_some(()));
        }
    }
}

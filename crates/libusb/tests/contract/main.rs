//! The bus contract on a real kernel's USB stack, with a virtual device plugged into it by `vscan`.
//!
//! For a guest (tools/guest), as root. `USBSCAN_CONTRACT_RIG` says how: `vhci:/path/to/vscan` over USB/IP, or
//! `functionfs:/path/to/vscan` with dummy_hcd. Without it everything is left out, with a line that says so.

mod kernel;
#[path = "../runner/mod.rs"]
mod runner;

use std::process::ExitCode;

use usbscan_usb::contract::{self, Rig};
use usbscan_usb::{ErrorKind, Holder, InterfaceNumber};

use crate::kernel::{Controller, KernelRig};
use crate::runner::Test;

const RIG: &str = "USBSCAN_CONTRACT_RIG";

fn main() -> ExitCode {
    let Ok(value) = std::env::var(RIG) else {
        println!("left out: the bus contract on a real kernel: {RIG} is not set");
        return ExitCode::SUCCESS;
    };
    let Some(controller) = Controller::parse(&value) else {
        eprintln!("{RIG} must be vhci:PROGRAM or functionfs:PROGRAM, not {value}");
        return ExitCode::FAILURE;
    };
    let _ = env_logger::builder().is_test(true).try_init();
    let on = |controller: &Controller, name: &'static str, run: fn(&mut KernelRig)| {
        let controller = controller.clone();
        Test::new(name, move || run(&mut KernelRig::new(controller.clone())))
    };
    let mut tests: Vec<Test> = contract::CASES
        .iter()
        .map(|case| {
            let controller = controller.clone();
            Test::new(case.name, move || contract::run(&mut KernelRig::new(controller.clone()), case.name))
        })
        .collect();
    tests.push(on(
        &controller,
        "the_program_that_has_an_interface_is_named",
        the_program_that_has_an_interface_is_named,
    ));
    runner::run(&tests)
}

fn the_program_that_has_an_interface_is_named(rig: &mut KernelRig) {
    let location = rig.plug();
    let mut first = rig.bus().open(&location).expect("it opens");
    first.claim(InterfaceNumber(0)).expect("it is free");
    let mut second = rig.bus().open(&location).expect("opening takes nothing");
    let error = second.claim(InterfaceNumber(0)).expect_err("the first has it");
    match &error.kind {
        ErrorKind::Busy(Holder::Program { pid, .. }) => assert_eq!(*pid, std::process::id(), "{error}"),
        _ => panic!("{error}"),
    }
    println!("{error}");
}

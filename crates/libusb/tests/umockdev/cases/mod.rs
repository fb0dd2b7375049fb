//! Claims beyond the contract: what libusb and usbfs in particular need, and what they must never be asked.

use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use usbscan_usb::contract::Rig;
use usbscan_usb::{
    Buffer, Completion, Device, Endpoint, EndpointAddress, InterfaceNumber, Location, Token, TransferStatus,
};
use usbscan_virtual::Model;

use crate::rig::UmockdevRig;

type Case = (&'static str, fn(&mut UmockdevRig<'_>));

/// What only a hang can reach.
const DEADLINE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(20);

const BULK_IN: EndpointAddress = EndpointAddress(0x81);
const BULK_OUT: EndpointAddress = EndpointAddress(0x02);
const SCANNER: InterfaceNumber = InterfaceNumber(0);

macro_rules! cases {
    ($($module:ident { $($name:ident),* $(,)? })*) => {
        $(mod $module;)*

        /// Every one of them.
        pub const ALL: &[Case] = &[$($((stringify!($name), $module::$name)),*),*];
    };
}

cases! {
    transfers {
        a_buffer_comes_back_as_the_same_memory,
        a_class_request_for_an_interface_of_others_is_not_sent,
        memory_used_up_is_no_resources_and_passes,
        a_token_in_flight_is_not_taken_twice,
        a_bounded_channel_is_refused,
    }
    claims {
        a_kernel_driver_is_detached_for_us_and_put_back,
        a_kernel_driver_that_stays_is_named,
        a_program_that_has_the_interface_makes_it_busy,
        a_dropped_device_gives_its_interface_back,
        another_device_at_the_same_place_is_not_opened,
        a_node_that_comes_late_is_waited_for,
    }
    quiet {
        no_call_that_needs_quiet_is_made_under_a_transfer,
        an_alternate_setting_is_sent_where_it_is_asked_for_and_nowhere_else,
        an_alternate_setting_brings_its_endpoints,
        a_reset_is_refused_while_it_would_hurt_somebody_else,
    }
    endings {
        one_host_stuck_device_is_reported_and_harms_no_other,
        what_a_host_stuck_device_may_write_to_stays_mapped,
        submitting_while_another_thread_closes_loses_no_completion,
        an_idle_device_wakes_nobody_up,
        nothing_is_left_running_after_the_last_close,
    }
    races {
        in_tens_of_thousands_of_races_every_transfer_completes_once,
    }
}

/// An endpoint with the channel that its completions come on.
struct Pipe {
    endpoint: Box<dyn Endpoint>,
    done: Receiver<Completion>,
}

impl Pipe {
    fn new(device: &mut dyn Device, address: EndpointAddress) -> Pipe {
        let (completions, done) = unbounded();
        Pipe { endpoint: device.endpoint(address, completions).expect("an endpoint of a claimed interface"), done }
    }

    fn submit(&mut self, token: u64, buffer: impl Into<Buffer>) {
        self.endpoint.submit(Token(token), buffer.into()).map_err(|rejected| rejected.error).expect("it is accepted");
    }

    fn wait(&self) -> Completion {
        self.done.recv_timeout(DEADLINE).expect("an accepted transfer completes")
    }
}

fn plug(rig: &mut UmockdevRig<'_>, model: Box<dyn Model>) -> Box<dyn Device> {
    let location = rig.plug_model(model);
    open(rig, &location)
}

fn open(rig: &UmockdevRig<'_>, location: &Location) -> Box<dyn Device> {
    let mut device = rig.bus().open(location).expect("it opens");
    device.claim(SCANNER).expect("it is free");
    device
}

fn loopback(rig: &mut UmockdevRig<'_>) -> Box<dyn Device> {
    let location = rig.plug();
    open(rig, &location)
}

fn close(device: Box<dyn Device>) {
    device.close(PATIENCE).expect("it closes");
}

fn echoes(device: &mut dyn Device) {
    let (mut out, mut back) = (Pipe::new(device, BULK_OUT), Pipe::new(device, BULK_IN));
    out.submit(1, b"are you there".to_vec());
    assert_eq!(out.wait().status, TransferStatus::Completed);
    back.submit(1, vec![0; 512]);
    assert_eq!(&*back.wait().received(), b"are you there");
}

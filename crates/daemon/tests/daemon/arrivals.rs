//! No arrival is lost: not of a device that is listed before it is ready, not of one that no notification told of, and not
//! when the machine has much else to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use testkit::rig::{Client, Rig};
use usbscan_daemon::{Config, Running};
use usbscan_usb::{Bus, Device, DeviceInfo, Error, Location, Watch};
use usbscan_virtual::{VirtualBus, spec};
use usbscan_wire::{Command, Event, EventName};

fn watching(rig: &Rig) -> Client {
    let mut client = rig.client();
    client.done(Command::Subscribe { events: vec![EventName::Arrival, EventName::Removal] });
    client
}

fn arrival(client: &mut Client) -> String {
    match client.event() {
        Event::Arrival { device } => device.stable_id,
        other => panic!("an arrival, not {other:?}"),
    }
}

fn model(serial: &str) -> Box<dyn usbscan_virtual::Model> {
    spec::parse(&format!("loopback,serial={serial}")).expect("a description of a virtual scanner")
}

#[test]
fn a_device_that_is_listed_before_it_is_configured_is_found_though_nothing_tells_when_it_is() {
    let rig = Rig::new(&[]);
    let mut client = watching(&rig);
    let location = rig.bus.plug_unconfigured(model("LATE"));
    rig.bus.plug(model("NEXT"));
    assert_eq!(
        arrival(&mut client),
        "1209:0001:NEXT",
        "whoever saw this one has seen the other without a configuration"
    );
    assert!(rig.bus.configure(&location));
    assert_eq!(arrival(&mut client), "1209:0001:LATE");
    client.open("1209:0001:LATE");
}

/// A bus whose notifications are all lost.
#[derive(Debug)]
struct Silent(VirtualBus);

struct NoWatch;

impl Watch for NoWatch {}

impl Bus for Silent {
    fn name(&self) -> &str {
        "silent"
    }

    fn list(&self) -> Result<Vec<DeviceInfo>, Error> {
        self.0.list()
    }

    fn descriptors(&self, location: &Location) -> Option<Vec<u8>> {
        self.0.descriptors(location)
    }

    fn open(&self, location: &Location) -> Result<Box<dyn Device>, Error> {
        self.0.open(location)
    }

    fn watch(&self, _: crossbeam_channel::Sender<()>) -> Result<Box<dyn Watch>, Error> {
        Ok(Box::new(NoWatch))
    }
}

#[test]
fn an_arrival_whose_notification_was_lost_is_found_when_somebody_asks_for_the_list() {
    let bus = VirtualBus::new();
    let daemon = Running::start(Config::default(), vec![Arc::new(Silent(bus.clone()))]).expect("the daemon starts");
    let mut client = Client::new(daemon.connect().expect("a connection"));
    bus.plug(model("UNHEARD"));
    client.until_listed("1209:0001:UNHEARD");
}

/// Says so however its test ends.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn plugged_in_hundreds_of_times_beside_traffic_every_arrival_and_removal_is_told_once() {
    let rig = Rig::new(&["loopback,serial=BUSY"]);
    let mut client = watching(&rig);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let done = Done(&is_done);
        let mut busy = rig.open();
        let is_done = &is_done;
        scope.spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                busy.write_all(&[7; 4096]);
                assert_eq!(busy.read_all(4096), [7; 4096]);
            }
        });
        for round in 0..300 {
            let serial = format!("ROUND{round}");
            let location = if round % 4 == 0 {
                // Configured at any moment of the daemon's looks.
                let location = rig.bus.plug_unconfigured(model(&serial));
                (0..round).for_each(|_| thread::yield_now());
                rig.bus.configure(&location);
                location
            } else {
                rig.bus.plug(model(&serial))
            };
            let id = format!("1209:0001:{serial}");
            assert_eq!(arrival(&mut client), id);
            rig.bus.unplug(&location);
            match client.event() {
                Event::Removal { stable_id, .. } => assert_eq!(stable_id, id),
                other => panic!("a removal, not {other:?}"),
            }
        }
        drop(done);
    });
}

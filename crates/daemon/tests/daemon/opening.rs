//! Connections, names, opening, the lock, and what can be seen of it all.

use std::collections::BTreeSet;

use usbscan_daemon::Config;
use usbscan_usb::{Bus, Holder, InterfaceNumber};
use usbscan_wire::{
    Command, DescriptorBody, DeviceDescriptorBody, Event, EventName, ListBody, OpenBody, Pipe, PipeConfigurationBody,
    Status, StatusBody, VersionBody,
};

use testkit::rig::{Client, Rig, open};

fn status(client: &mut Client) -> StatusBody {
    client.done(Command::Status { device: None }).body().expect("a status")
}

fn state(client: &mut Client) -> String {
    status(client).devices[0].state.clone()
}

#[test]
fn a_connection_is_greeted_with_its_number_and_its_limits() {
    let rig = Rig::new(&[]);
    let numbers: BTreeSet<u64> = (0..3).map(|_| rig.client().session).collect();
    assert_eq!(numbers.len(), 3, "no number is used twice");
}

#[test]
fn the_version_is_told() {
    let body: VersionBody = Rig::new(&[]).client().done(Command::Version {}).body().unwrap();
    assert!(body.server.starts_with("usbscand "));
    assert_eq!(body.protocol, usbscan_wire::PROTOCOL_VERSION);
    let numbers = body.version.map(|number| number.to_string()).join(".");
    assert_eq!(numbers, env!("CARGO_PKG_VERSION"), "major, minor, internal");
    assert_eq!(body.server, format!("usbscand {numbers}"));
}

#[test]
fn scanners_are_listed_by_arrival_and_found_by_name_stable_id_or_a_beginning() {
    let rig = Rig::new(&["loopback,serial=A1", "loopback,serial=A2", "esci"]);
    let mut client = rig.client();
    let list: ListBody = client.done(Command::List { device: None, descriptors: false }).body().unwrap();
    let ids: Vec<_> = list.devices.iter().map(|d| (&*d.name, &*d.stable_id, &*d.protocol)).collect();
    let expected = [
        ("usbscan0", "1209:0001:A1", "loopback"),
        ("usbscan1", "1209:0001:A2", "loopback"),
        ("usbscan2", "04b8:0151:VIRTUAL1", "esci"),
    ];
    assert_eq!(ids, expected);
    for (asked, name) in [("usbscan1", "usbscan1"), ("1209:0001:a1", "usbscan0"), ("04b8", "usbscan2")] {
        let body: OpenBody = client.open(asked).body().unwrap();
        assert_eq!(body.device.name, name);
        client.done(Command::Close {});
    }
    let ambiguous = client.call(open("1209"));
    assert_eq!(ambiguous.status, Status::InvalidParameter);
    assert!(ambiguous.message.unwrap().contains("usbscan0 (1209:0001:A1), usbscan1"));
    assert_eq!(client.call(open("nothing")).status, Status::NoDevice);
}

#[test]
fn a_complete_id_of_a_scanner_that_is_not_there_opens_no_other() {
    let rig = Rig::new(&["loopback,serial=1-10"]);
    let mut client = rig.client();
    assert_eq!(client.call(open("1209:0001:1-1")).status, Status::NoDevice);
    assert_eq!(client.open("1209:0001").status, Status::Success);
}

#[test]
fn with_equal_serials_no_scanner_has_the_id_by_serial_and_ids_do_not_wander() {
    let rig = Rig::new(&["loopback,serial=SAME", "loopback,serial=SAME"]);
    let mut client = rig.client();
    let ids = |client: &mut Client| -> Vec<String> {
        let list: ListBody = client.done(Command::List { device: None, descriptors: false }).body().unwrap();
        list.devices.into_iter().map(|device| device.stable_id).collect()
    };
    let both = ids(&mut client);
    assert!(both.iter().all(|id| id.starts_with("1209:0001:200-")) && both[0] != both[1], "{both:?}");
    assert_eq!(client.call(open("1209:0001:SAME")).status, Status::NoDevice);
    // One is unplugged, and comes back at another port: it does not get the id of the other, nor the bare one.
    client.done(Command::Subscribe { events: vec![EventName::Arrival, EventName::Removal] });
    rig.unplug(0);
    assert!(matches!(client.event(), Event::Removal { stable_id, .. } if stable_id == both[0]));
    assert_eq!(ids(&mut client), [both[1].clone()]);
    rig.bus.plug_spec("loopback,serial=SAME").unwrap();
    let Event::Arrival { device } = client.event() else { panic!("another event") };
    assert!(device.stable_id.starts_with("1209:0001:200-") && device.stable_id != both[1], "{}", device.stable_id);
}

#[test]
fn a_scanner_gives_up_its_id_by_serial_when_another_with_the_same_serial_arrives() {
    let rig = Rig::new(&["loopback,serial=SAME"]);
    let mut client = rig.client();
    client.done(Command::Subscribe { events: vec![EventName::Arrival, EventName::Removal] });
    client.open("1209:0001:SAME");
    rig.bus.plug_spec("loopback,serial=SAME").unwrap();
    assert!(matches!(client.event(), Event::Removal { stable_id, .. } if stable_id == "1209:0001:SAME"));
    let by_port = |event: Event| match event {
        Event::Arrival { device } => (device.name, device.stable_id),
        other => panic!("{other:?}"),
    };
    let (first, id) = by_port(client.event());
    assert!(first == "usbscan0" && id.starts_with("1209:0001:200-"), "{first} {id}");
    assert_eq!(by_port(client.event()).0, "usbscan1");
    client.write_all(b"the session goes on");
    assert_eq!(client.read_all(512), b"the session goes on");
}

#[test]
fn open_binds_the_highest_numbered_endpoints_or_those_that_are_named() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.client();
    let body: OpenBody = client.open("usbscan0").body().unwrap();
    let bound: Vec<_> = body.pipes.iter().map(|pipe| (pipe.index, pipe.endpoint, pipe.bound.as_deref())).collect();
    assert_eq!(bound, [(0, 0x81, Some("read")), (1, 0x02, Some("write")), (2, 0x83, Some("event"))]);
    client.done(Command::Close {});
    let wrong = Command::Open {
        device: "usb".into(),
        event: None,
        read: Some(1),
        write: None,
        interface: None,
        faults: usbscan_wire::Faults::Freeze,
    };
    let refused = client.call(wrong);
    assert_eq!(refused.status, Status::InvalidParameter);
    assert!(refused.message.unwrap().contains("index 1"));
    let none = Command::Open {
        device: "usb".into(),
        event: None,
        read: None,
        write: None,
        interface: Some(3),
        faults: usbscan_wire::Faults::Freeze,
    };
    assert_eq!(client.call(none).status, Status::InvalidParameter);
    let right = Command::Open {
        device: "usb".into(),
        event: Some(2),
        read: Some(0),
        write: Some(1),
        interface: Some(0),
        faults: usbscan_wire::Faults::Freeze,
    };
    client.done(right);
}

#[test]
fn of_several_endpoints_of_a_type_the_one_with_the_highest_number_is_bound() {
    let rig = Rig::new(&["loopback,endpoints=3"]);
    let mut client = rig.client();
    let body: OpenBody = client.open("usbscan0").body().unwrap();
    let bound = body.pipes.iter().filter_map(|pipe| Some((pipe.index, pipe.endpoint, pipe.bound.as_deref()?)));
    assert_eq!(bound.collect::<Vec<_>>(), [(6, 0x87, "read"), (7, 0x08, "write"), (8, 0x89, "event")]);
    client.write_all(b"the last of each");
    assert_eq!(client.read_all(512), b"the last of each");
    client.done(Command::Close {});
    let (device, event, read, write) = ("usbscan0".to_owned(), Some(5), Some(0), None);
    let body: OpenBody = client
        .done(Command::Open { device, event, read, write, interface: None, faults: usbscan_wire::Faults::Freeze })
        .body()
        .unwrap();
    let bound = body.pipes.iter().filter_map(|pipe| Some((pipe.endpoint, pipe.bound.as_deref()?)));
    assert_eq!(bound.collect::<Vec<_>>(), [(0x81, "read"), (0x86, "event"), (0x08, "write")]);
}

#[test]
fn a_connection_opens_one_scanner_at_a_time() {
    let rig = Rig::new(&["loopback", "esci"]);
    let mut client = rig.open();
    let refused = client.call(open("usbscan1"));
    assert_eq!(refused.status, Status::InvalidParameter);
    assert!(refused.message.unwrap().contains("usbscan0"));
    client.done(Command::Close {});
    client.open("usbscan1");
}

#[test]
fn commands_that_need_an_open_scanner_say_so() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.client();
    for command in [
        Command::Read { endpoint: None, offset: None, length: 1, return_partial: false, timeout: None },
        Command::Close {},
        Command::WaitEvent { endpoint: None, timeout: None },
        Command::PipeConfiguration {},
        Command::ChannelSizes {},
        Command::DeviceDescriptor {},
        Command::Lock { wait: false, if_unused: false },
        Command::CancelPipe { pipe: Some(Pipe::All), endpoint: None, device: None },
        Command::CancelPending { device: None },
        Command::DisarmAbort {},
    ] {
        let name = command.name();
        let answer = client.call(command);
        assert_eq!(answer.status, Status::NotFound, "{name}");
        assert!(answer.message.unwrap().contains(name), "{name}");
    }
}

#[test]
fn descriptors_and_sizes_are_those_of_the_device() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    let pipes: PipeConfigurationBody = client.done(Command::PipeConfiguration {}).body().unwrap();
    let kinds: Vec<_> = pipes.pipes.iter().map(|p| (&*p.pipe_type, &*p.direction, p.max_packet_size)).collect();
    assert_eq!(kinds, [("bulk", "in", 512), ("bulk", "out", 512), ("interrupt", "in", 64)]);
    let sizes: usbscan_wire::ChannelSizesBody = client.done(Command::ChannelSizes {}).body().unwrap();
    assert_eq!((sizes.event, sizes.read, sizes.write), (64, 512, 512));
    let device: DeviceDescriptorBody = client.done(Command::DeviceDescriptor {}).body().unwrap();
    assert_eq!((device.vendor_id, device.product_id, device.device_version), (0x1209, 1, 0x0100));
    let text = Command::UsbDescriptor { descriptor_type: 3, index: 2, language: 0x0409 };
    let product: DescriptorBody = client.done(text).body().unwrap();
    assert_eq!(product.text.as_deref(), Some("Loopback"));
    let raw = client.done(Command::UsbDescriptor { descriptor_type: 1, index: 0, language: 0 });
    assert_eq!((raw.information, raw.payload[1]), (18, 1));
    let unknown = Command::UsbDescriptor { descriptor_type: 9, index: 0, language: 0 };
    assert_eq!(client.call(unknown).status, Status::InvalidParameter);
}

#[test]
fn status_shows_who_has_it_and_what_is_pending() {
    let rig = Rig::new(&["loopback"]);
    let mut looker = rig.client();
    assert_eq!(state(&mut looker), "closed");
    let mut client = rig.open();
    assert_eq!(state(&mut looker), "open");
    let read = client.read(1000);
    client.until_pending(&[(read, "in-flight")]);
    let status = status(&mut looker);
    let device = &status.devices[0];
    assert_eq!(device.state, "busy");
    assert_eq!(device.sessions[0].peer.session, client.session);
    assert_eq!(device.sessions[0].peer.pid, Some(std::process::id() as i32));
    let pipe = device.pipes.iter().find(|pipe| pipe.pipe == "read").unwrap();
    let pending = &pipe.pending[0];
    assert_eq!((pending.request, &*pending.command, pending.length), (read, "read", 1000));
}

#[test]
fn status_fits_its_header_however_much_is_pending() {
    let limits = usbscan_daemon::config::Limits { requests: 3000, all_requests: 50_000, ..Default::default() };
    let specs: Vec<String> = (0..8).map(|serial| format!("loopback,serial={serial}")).collect();
    let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
    let rig = Rig::with(Config { limits, ..Config::default() }, &specs);
    let mut clients: Vec<Client> = (0..8)
        .map(|number| {
            let mut client = rig.client();
            client.open(&format!("usbscan{number}"));
            for _ in 0..200 {
                client.read(1);
                client.send(Command::WaitEvent { endpoint: None, timeout: None });
                client.send(testkit::rig::vendor(testkit::rig::HANG, usbscan_wire::ControlDirection::In, 0, 1));
            }
            client
        })
        .collect();
    for client in &mut clients {
        let status = status(client);
        assert_eq!(status.devices.len(), 8);
        assert_eq!(status.devices[0].state, "busy");
    }
}

#[test]
fn a_scanner_is_let_go_some_time_after_the_last_session_left() {
    let rig = Rig::with(Config { idle: std::time::Duration::from_millis(30), ..Config::default() }, &["loopback"]);
    let mut client = rig.open();
    client.done(Command::Close {});
    while state(&mut client) != "closed" {
        std::thread::yield_now();
    }
    client.open("usbscan0");
    client.write_all(b"again");
    assert_eq!(client.read_all(512), b"again");
}

#[test]
fn claimed_always_a_scanner_is_taken_at_its_arrival() {
    let always = Config { claim: usbscan_daemon::config::Claim::Always, ..Config::default() };
    let rig = Rig::with(always, &["loopback"]);
    let mut client = rig.client();
    while state(&mut client) != "idle" {
        std::thread::yield_now();
    }
}

#[test]
fn claimed_always_a_scanner_is_taken_when_its_rights_come_after_it() {
    let always = Config { claim: usbscan_daemon::config::Claim::Always, ..Config::default() };
    let bus = usbscan_virtual::VirtualBus::new();
    let location = bus.plug_spec("loopback").unwrap();
    bus.set_access(&location, usbscan_usb::Access::Denied);
    let daemon = usbscan_daemon::Running::start(always, vec![std::sync::Arc::new(bus.clone())]).unwrap();
    let mut client = Client::new(daemon.connect().expect("a connection"));
    assert_eq!(state(&mut client), "closed");
    bus.set_access(&location, usbscan_usb::Access::Granted);
    // Whatever is plugged in has the daemon look again; it also does so by itself for some seconds.
    bus.plug_spec("loopback,serial=OTHER").unwrap();
    while state(&mut client) != "idle" {
        std::thread::yield_now();
    }
}

/// What a suspended machine does to its USB ports, as far as a daemon can see it.
#[test]
fn a_scanner_that_is_gone_and_back_at_a_new_address_is_the_same_to_those_who_name_it() {
    let rig = Rig::new(&["loopback"]);
    let mut before = rig.open();
    let hangs = before.read(512);
    let old = rig.bus.list().unwrap()[0].location.clone();
    let mut watching = rig.client();
    watching.done(Command::Subscribe { events: vec![EventName::Arrival, EventName::Removal] });
    rig.bus.unplug(&old);
    let new = rig.bus.plug_spec("loopback").unwrap();
    assert_ne!(new.address, old.address);
    assert_eq!(before.answer(hangs).status, Status::NoDevice);
    let mut arrived = None;
    while arrived.is_none() {
        if let Event::Arrival { device } = watching.event() {
            arrived = Some(device);
        }
    }
    assert_eq!(arrived.unwrap().stable_id, "1209:0001:LOOP0001");
    let mut after = rig.client();
    after.open("1209:0001:LOOP0001");
    after.write_all(b"awake");
    assert_eq!(after.read_all(512), b"awake");
}

#[test]
fn a_scanner_that_another_program_has_is_busy_with_its_name_and_free_when_it_is() {
    let rig = Rig::new(&["loopback"]);
    let location = rig.bus.plug_spec("loopback,serial=OTHER").unwrap();
    let mut client = rig.client();
    client.until_listed("usbscan1");
    let holder = Holder::Program { pid: 4711, name: "scanimage".to_owned() };
    rig.bus.set_holder(&location, InterfaceNumber(0), Some(holder));
    let busy = client.call(open("usbscan1"));
    assert_eq!(busy.status, Status::Busy);
    assert!(busy.message.unwrap().contains("scanimage (pid 4711)"));
    assert_eq!(status(&mut client).devices[1].state, "in-use");
    rig.bus.set_holder(&location, InterfaceNumber(0), None);
    client.open("usbscan1");
}

#[test]
fn a_scanner_that_may_not_be_opened_is_listed_with_the_reason() {
    let rig = Rig::new(&[]);
    let mut client = rig.client();
    client.done(Command::Subscribe { events: vec![EventName::Arrival] });
    let location = rig.bus.plug_spec("loopback").unwrap();
    assert!(matches!(client.event(), Event::Arrival { .. }));
    rig.bus.set_access(&location, usbscan_usb::Access::Denied);
    assert_eq!(client.call(open("usbscan0")).status, Status::AccessDenied);
}

#[test]
fn arrivals_and_removals_are_told_to_those_who_want_them() {
    let rig = Rig::new(&[]);
    let mut client = rig.client();
    client.done(Command::Subscribe { events: vec![EventName::Arrival, EventName::Removal] });
    let location = rig.bus.plug_spec("loopback").unwrap();
    let Event::Arrival { device } = client.event() else { panic!("an arrival") };
    assert_eq!((&*device.name, &*device.stable_id), ("usbscan0", "1209:0001:LOOP0001"));
    rig.bus.unplug(&location);
    let removal = Event::Removal { name: "usbscan0".to_owned(), stable_id: "1209:0001:LOOP0001".to_owned() };
    assert_eq!(client.event(), removal);
}

#[test]
fn the_lock_keeps_others_off_the_pipes_and_says_who_has_it() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    one.done(Command::Lock { wait: false, if_unused: false });
    let refused = two.call(Command::Lock { wait: false, if_unused: false });
    assert_eq!(refused.status, Status::Busy);
    let message = refused.message.unwrap();
    assert!(message.contains(&format!("pid {}", std::process::id())), "{message}");
    let read = two.read(512);
    assert_eq!(two.answer(read).status, Status::Busy);
    assert_eq!(
        two.call(Command::WaitEvent { endpoint: None, timeout: Some(0.01) }).status,
        Status::Timeout,
        "events need no lock"
    );
    assert!(status(&mut two).devices[0].sessions.iter().any(|s| s.locked && s.peer.session == one.session));
    one.write_all(b"mine");
    assert_eq!(one.read_all(512), b"mine");
    one.done(Command::Unlock {});
    two.done(Command::Lock { wait: false, if_unused: false });
    assert_eq!(one.call(Command::Unlock {}).status, Status::NotFound);
}

#[test]
fn waiting_for_the_lock_ends_when_it_is_free_or_the_wait_is_cancelled() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two, mut three) = (rig.open(), rig.open(), rig.open());
    one.done(Command::Lock { wait: false, if_unused: false });
    let waiting = two.send(Command::Lock { wait: true, if_unused: false });
    let also = three.send(Command::Lock { wait: true, if_unused: false });
    // An answer to a later command shows that the wait is in line.
    two.done(Command::Version {});
    three.done(Command::Version {});
    three.done(Command::CancelRequest { request: also, session: None });
    assert_eq!(three.answer(also).status, Status::Cancelled);
    assert!(!two.has(waiting));
    drop(one);
    assert_eq!(two.answer(waiting).status, Status::Success, "its holder's end frees it");
}

#[test]
fn a_socket_file_serves_as_any_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let rig = Rig::new(&["loopback"]);
    let (listener, _path) = usbscan_daemon::socket::bind(&path, 0o600, "").unwrap();
    rig.daemon.listen(listener).unwrap();
    let mut client = Client::new(std::os::unix::net::UnixStream::connect(&path).unwrap());
    client.open("usbscan0");
    client.write_all(b"x");
    assert_eq!(client.read_all(1), b"x");
}

//! Models that want to be treated in a way of their own.

use usbscan_daemon::Config;
use usbscan_daemon::quirks::Table;
use usbscan_usb::Bus;
use usbscan_wire::{AbortStep, Command, EsclQuirks, HttpConnection, ListBody, MODEL_LIMIT, Pipe, Status};

use testkit::rig::{Client, HALT, Rig, vendor_out};

/// A loopback device whose entry in the model table says this.
fn rig(lines: &str) -> Rig {
    let folder = tempfile::tempdir().expect("a folder");
    let head = "vendor = \"1209\"\nmanufacturer = \"usbscan\"\n[[model]]\nproduct = \"0001\"\nname = \"Loopback\"\nnotes = \"test\"\n";
    std::fs::write(folder.path().join("test.toml"), format!("{head}{lines}\n")).expect("a file");
    let mut models = Table::built_in();
    models.add_folder(folder.path()).expect("a table");
    Rig::with(Config { models, ..Config::default() }, &["loopback"])
}

fn halted(client: &mut Client, pipe: &str) -> bool {
    let status: usbscan_wire::StatusBody = client.done(Command::Status { device: None }).body().expect("a status");
    status.devices[0].pipes.iter().any(|state| state.pipe == pipe && state.halted)
}

#[test]
fn halts_are_cleared_after_an_error_where_the_model_wants_that() {
    let rig = rig("clear_halt_on_error = true");
    let mut client = rig.open();
    client.done(vendor_out(HALT, 0x81));
    let read = client.read(512);
    assert_eq!(client.answer(read).status, Status::Stall);
    while halted(&mut client, "read") {
        std::thread::yield_now();
    }
    client.write_all(b"without a reset");
    assert_eq!(client.read_all(512), b"without a reset");
}

#[test]
fn halts_are_cleared_at_the_open_where_the_model_wants_that() {
    let rig = rig("clear_halt_on_open = true\nset_alt_before_clear = true");
    let mut client = rig.open();
    client.write_all(b"open");
    assert_eq!(client.read_all(512), b"open");
    client.done(Command::ResetPipe { pipe: Some(Pipe::All), endpoint: None });
    client.write_all(b"cleared");
    assert_eq!(client.read_all(512), b"cleared");
}

#[test]
fn the_alternate_setting_is_chosen_again_before_every_clearing_of_a_halt_where_the_model_wants_that() {
    for (lines, wanted) in [("set_alt_before_clear = true", true), ("", false)] {
        let rig = rig(lines);
        let location = rig.bus.list().expect("the bus lists")[0].location.clone();
        let chosen = || rig.bus.times_chosen(&location).expect("it is plugged in");
        let mut client = rig.open();
        let before = chosen();
        client.done(Command::ResetPipe { pipe: Some(Pipe::Read), endpoint: None });
        let after_reset = chosen();
        assert_eq!(after_reset > before, wanted, "reset-pipe");
        // A step of an abort sequence, and the halt that the sequence finds.
        client.done(Command::ArmAbort {
            steps: vec![AbortStep::ClearHalt { pipe: Some(Pipe::Write), endpoint: None }],
            settle: None,
        });
        client.done(vendor_out(HALT, 0x81));
        let read = client.read(512);
        assert_eq!(client.answer(read).status, Status::Stall);
        client.done(Command::CancelPending { device: None });
        assert_eq!(chosen() >= after_reset + 2, wanted, "cancel-pending");
        client.write_all(b"in step");
        assert_eq!(client.read_all(512), b"in step");
    }
}

#[test]
fn a_model_whose_halts_must_not_be_cleared_keeps_them() {
    let rig = rig("no_clear_halt = true");
    let mut client = rig.open();
    client.done(vendor_out(HALT, 0x81));
    let read = client.read(512);
    assert_eq!(client.answer(read).status, Status::Stall);
    client.done(Command::ResetPipe { pipe: Some(Pipe::Read), endpoint: None });
    let read = client.read(512);
    assert_eq!(client.answer(read).status, Status::Stall, "the device was not told");
}

#[test]
fn a_scanner_that_sane_drives_is_listed_with_its_backend_and_one_from_elsewhere_by_an_entry() {
    let of = |models: Table, spec: &str| {
        let rig = Rig::with(Config { models, ..Config::default() }, &[spec]);
        let list = rig.client().done(Command::List { device: None, descriptors: false });
        let mut devices = list.body::<ListBody>().expect("a body").devices;
        devices.remove(0).protocol
    };
    assert_eq!(of(Table::built_in(), "loopback,id=04a9:2213"), "sane:genesys");
    assert_eq!(of(Table::built_in(), "loopback,id=03f0:222a"), "still-image", "no table has it");
    let folder = tempfile::tempdir().expect("a folder");
    let entry = "vendor = \"03f0\"\nmanufacturer = \"HP\"\n[[model]]\nproduct = \"222a\"\nname = \"M125nw\"\n\
                 protocol = \"sane:hpaio\"\nnotes = \"HPLIP scans with it\"\n";
    std::fs::write(folder.path().join("hplip.toml"), entry).expect("a file");
    let mut models = Table::built_in();
    models.add_folder(folder.path()).expect("a table");
    assert_eq!(of(models, "loopback,id=03f0:222a"), "sane:hpaio");
}

#[test]
fn transfers_are_as_long_as_the_model_takes_them() {
    let rig = rig("max_transfer_bytes = 1024\nqueue_depth = 4");
    let mut client = rig.open();
    let bytes: Vec<u8> = (0..=255).cycle().take(10_240).collect();
    client.write_all(&bytes);
    assert_eq!(client.read_all(10_240), bytes);
}

#[test]
fn a_model_that_speaks_escl_is_looked_up_by_its_usb_strings_and_by_the_name_that_its_driver_says() {
    let folder = tempfile::tempdir().expect("a folder");
    // The loopback's strings: usbscan, Loopback.
    let entries = "[[escl]]\nname = \"usbscan Loop*\"\nnotes = \"test\"\none_interface = true\nmax_resolution = 600\n\
                   [[escl]]\nname = \"*said*\"\nnotes = \"test\"\nmax_resolution = 300\nhttp_connection = \"close\"\n";
    std::fs::write(folder.path().join("test.toml"), entries).expect("a file");
    let mut models = Table::built_in();
    models.add_folder(folder.path()).expect("a table");
    let rig = Rig::with(Config { models, ..Config::default() }, &["loopback"]);
    let ask = |client: &mut Client, model: Option<String>| client.call(Command::EsclQuirks { model });
    let mut client = rig.client();
    assert_eq!(ask(&mut client, None).status, Status::NotFound, "nothing is open");
    let mut client = rig.open();
    let by_usb = EsclQuirks { one_interface: true, max_resolution: Some(600), ..EsclQuirks::default() };
    assert_eq!(ask(&mut client, None).body::<EsclQuirks>().expect("quirks"), by_usb);
    let both = EsclQuirks { max_resolution: Some(300), http_connection: Some(HttpConnection::Close), ..by_usb };
    let said = ask(&mut client, Some("as said here".to_owned()));
    assert_eq!(said.body::<EsclQuirks>().expect("quirks"), both);
    assert_eq!(ask(&mut client, Some("x".repeat(MODEL_LIMIT + 1))).status, Status::InvalidParameter);
}

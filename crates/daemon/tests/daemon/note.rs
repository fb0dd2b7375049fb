//! Notes of drivers: told to whoever opens the scanner next, in this daemon and in the one after it.

use testkit::rig::{Client, Rig, open};
use usbscan_daemon::Config;
use usbscan_wire::{Command, NOTE_LIMIT, OpenBody, Status};

fn note_of(client: &mut Client) -> Option<String> {
    client.done(open("usbscan0")).body::<OpenBody>().expect("a body").note
}

fn set(client: &mut Client, note: &str) -> Status {
    client.call(Command::SetNote { note: note.to_owned() }).status
}

#[test]
fn a_note_is_told_to_whoever_opens_next_until_it_is_taken_back() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two, mut three) = (rig.client(), rig.client(), rig.client());
    assert_eq!(set(&mut one, "x"), Status::NotFound);
    assert_eq!(note_of(&mut one), None);
    assert_eq!(set(&mut one, &"x".repeat(NOTE_LIMIT + 1)), Status::InvalidParameter);
    assert_eq!(set(&mut one, "job 7"), Status::Success);
    drop(one);
    assert_eq!(note_of(&mut two).as_deref(), Some("job 7"));
    assert_eq!(set(&mut two, ""), Status::Success);
    assert_eq!(note_of(&mut three), None);
}

#[test]
fn who_may_not_use_the_scanner_leaves_no_note() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    one.done(Command::Lock { wait: false, if_unused: false });
    assert_eq!(set(&mut two, "job 8"), Status::Busy);
    assert_eq!(note_of(&mut rig.client()), None);
}

#[test]
fn a_note_outlives_the_daemon() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = || Config { notes: Some(folder.path().to_owned()), ..Config::default() };
    let rig = Rig::with(config(), &["loopback"]);
    assert_eq!(set(&mut rig.open(), "job 9"), Status::Success);
    drop(rig);
    let rig = Rig::with(config(), &["loopback"]);
    assert_eq!(note_of(&mut rig.client()).as_deref(), Some("job 9"));
}

//! What `usbscan watch` prints, and that it disturbs no other program.

use rustix::process::Signal;
use serde_json::Value;

use crate::program::Program;
use crate::rig::{Rig, eventually};

/// Whether a request waits on the event pipe: then a packet is received.
fn listens(rig: &Rig) -> bool {
    let status = rig.session().status(None).expect("a status");
    let waiting = |pipe: &usbscan_client::wire::PipeState| pipe.pipe == "event" && !pipe.pending.is_empty();
    status.iter().flat_map(|device| &device.pipes).any(waiting)
}

/// The loopback makes an event packet of this request's data.
fn press(rig: &Rig, packet: &str) {
    rig.done(&["raw", "control", "--direction", "out", "--request", "0x10", "--hex", packet]);
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect()
}

#[test]
fn a_watch_tells_of_scanners_buttons_and_cancels_a_line_each() {
    let rig = Rig::new("loopback");
    let watch = Program::start(&mut rig.usbscan(&["watch"]));
    watch.wait_for_words("usbscan0: present: usbscan Loopback (1209:0001:LOOP0001)\n", 1);
    eventually("the watch listens", || listens(&rig));
    press(&rig, "0102");
    watch.wait_for_words("usbscan0: button 0102\n", 1);
    rig.done(&["cancel"]);
    watch.wait_for_words("usbscan0: all requests cancelled by usbscan (pid ", 1);
    watch.wait_for_words("usbscan0: idle\n", 1);
    // It waited too, and was cancelled; that is no reason to stop.
    eventually("the watch listens again", || listens(&rig));
    press(&rig, "03");
    watch.wait_for_words("usbscan0: button 03\n", 1);
    watch.signal(Signal::INT);
    assert_eq!(watch.end().code, Some(130));
}

#[test]
fn a_watch_in_json_is_one_object_a_line() {
    let rig = Rig::new("loopback");
    let watch = Program::start(&mut rig.usbscan(&["--json", "watch", "1209:"]));
    eventually("the watch listens", || listens(&rig));
    press(&rig, "0102");
    watch.wait_for_words("\"button\":\"0102\"", 1);
    watch.signal(Signal::TERM);
    let ended = watch.end();
    let lines = lines(&ended.stdout);
    assert_eq!(lines[0]["event"], "present");
    assert_eq!(lines[0]["device"]["stable-id"], "1209:0001:LOOP0001");
    let button = serde_json::json!({
        "event": "button", "name": "usbscan0", "stable-id": "1209:0001:LOOP0001", "button": "0102"
    });
    assert_eq!(lines[1], button);
}

#[test]
fn a_watch_without_buttons_opens_no_scanner() {
    let rig = Rig::new("loopback");
    let watch = Program::start(&mut rig.usbscan(&["watch", "--no-buttons"]));
    watch.wait_for_words("present", 1);
    let status = rig.session().status(None).expect("a status");
    assert_eq!(status[0].state, "closed");
    watch.signal(Signal::INT);
    watch.end();
}

#[test]
fn a_watch_of_one_scanner_tells_nothing_of_another() {
    let rig = Rig::with_scanners(&["loopback,serial=ONE", "loopback,serial=TWO"]);
    let watch = Program::start(&mut rig.usbscan(&["watch", "1209:0001:TWO"]));
    eventually("the watch listens", || listens(&rig));
    watch.signal(Signal::INT);
    let ended = watch.end();
    assert!(ended.stdout.contains("TWO") && !ended.stdout.contains("ONE"), "{}", ended.stdout);
}

#[test]
fn a_scan_goes_on_while_a_watch_runs() {
    let rig = Rig::new("esci");
    let watch = Program::start(&mut rig.usbscan(&["watch"]));
    watch.wait_for_words("present", 1);
    // The watch may ask it for its buttons just now; then the scan waits for that moment.
    rig.done(&["scan", "-r", "100", "--area", "0,0,50,50", "-o", "page.png"]);
    watch.signal(Signal::INT);
    watch.end();
}

#[test]
fn a_scanner_without_an_event_pipe_is_asked_for_its_buttons() {
    let rig = Rig::new("esci,button=2@1");
    let watch = Program::start(&mut rig.usbscan(&["watch"]));
    watch.wait_for_words("usbscan0: button 2\n", 1);
    watch.signal(Signal::INT);
    assert_eq!(watch.end().code, Some(130));
}

#[test]
fn a_watch_ends_with_the_daemon_and_says_so() {
    let mut rig = Rig::new("loopback");
    let watch = Program::start(&mut rig.usbscan(&["watch"]));
    eventually("the watch listens", || listens(&rig));
    rig.end_daemon(Signal::TERM);
    let ended = watch.end();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

#[test]
fn a_button_that_the_interrupt_pipe_tells_of_has_its_number() {
    let rig = Rig::new("esci2,button=3@1");
    let watch = Program::start(&mut rig.usbscan(&["watch"]));
    watch.wait_for_words("usbscan0: button 3\n", 1);
    watch.signal(Signal::INT);
    assert_eq!(watch.end().code, Some(130));
}

#[test]
#[ignore = "needs a kernel to plug into: tools/test --only guest-user-vhci"]
fn a_watch_sees_a_scanner_go_and_come_and_hears_its_buttons_again() {
    let mut rig = Rig::new("loopback");
    let watch = Program::start(&mut rig.usbscan(&["watch"]));
    eventually("the watch listens", || listens(&rig));
    rig.unplug();
    watch.wait_for_words("usbscan0: removal", 1);
    rig.replug();
    watch.wait_for_words("usbscan0: arrival", 1);
    eventually("the watch listens again", || listens(&rig));
    press(&rig, "0c");
    watch.wait_for_words("usbscan0: button 0c\n", 1);
    watch.signal(Signal::INT);
    watch.end();
}

//! Commands that buttons run, by `usbscan actions`, as the user who runs it.

use std::path::Path;
use std::process::Command;
use std::{fs, io};

use rustix::process::Signal;

use crate::program::Program;
use crate::rig::{Rig, eventually};

fn me() -> String {
    let output = Command::new("id").args(["-u", "-n"]).output().expect("id");
    String::from_utf8(output.stdout).expect("a name").trim().to_owned()
}

/// Starts `usbscan actions` with these tables, each of which runs a shell's line; it listens when this returns.
fn actions(rig: &Rig, tables: &[(&str, &str)]) -> Program {
    let mut text = String::new();
    for (keys, line) in tables {
        text += &format!("[[action]]\nuser = {:?}\ncommand = [\"/bin/sh\", \"-c\", {line:?}]\n{keys}\n", me());
    }
    fs::write(rig.path("usbscand.toml"), text).expect("a configuration");
    let program = Program::start(&mut rig.usbscan(&["actions", "--config", "usbscand.toml"]));
    eventually("it listens", || {
        let status = rig.session().status(None).expect("a status");
        status.iter().flat_map(|device| &device.pipes).any(|pipe| pipe.pipe == "event" && !pipe.pending.is_empty())
    });
    program
}

fn press(rig: &Rig, packet: &str) {
    rig.done(&["raw", "control", "--direction", "out", "--request", "0x10", "--hex", packet]);
}

fn is_alive(pid: &str) -> bool {
    Path::new("/proc").join(pid.trim()).exists()
}

#[test]
fn a_button_runs_its_command_which_knows_scanner_and_button() {
    let rig = Rig::new("loopback");
    let line = "echo $USBSCAN_SCANNER $USBSCAN_NAME $USBSCAN_EVENT $USBSCAN_BUTTON >said";
    let other = ("button = \"02\"", "echo wrong >wrong");
    let program = actions(&rig, &[("button = \"01\"", line), other]);
    press(&rig, "01");
    program.wait_for_words("usbscan0: /bin/sh succeeded", 1);
    assert_eq!(fs::read_to_string(rig.path("said")).unwrap(), "1209:0001:LOOP0001 usbscan0 button 01\n");
    assert!(!rig.path("wrong").exists());
}

#[test]
fn a_command_that_takes_too_long_is_ended_with_all_that_it_started() {
    let rig = Rig::new("loopback");
    let program = actions(&rig, &[("limit_seconds = 1", "trap '' TERM; sleep 1000 & echo $! >pid; wait; wait")]);
    press(&rig, "01");
    program.wait_for_words("exceeded its time limit of 1 s and was ended", 1);
    let pid = fs::read_to_string(rig.path("pid")).expect("it began");
    eventually("what it started is gone", || !is_alive(&pid));
}

#[test]
fn a_button_pressed_while_its_command_runs_does_not_run_it_twice() {
    let rig = Rig::new("loopback");
    // It goes on when its output is read.
    let fifo = rig.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    let program = actions(&rig, &[("pause_seconds = 0", "echo $USBSCAN_BUTTON >fifo")]);
    press(&rig, "01");
    program.wait_for_words("usbscan0: running /bin/sh", 1);
    press(&rig, "02");
    program.wait_for_words("/bin/sh skipped: already running", 1);
    // The daemon serves everybody meanwhile.
    rig.done(&["list"]);
    assert_eq!(fs::read_to_string(&fifo).unwrap(), "01\n");
    program.wait_for_words("usbscan0: /bin/sh succeeded", 1);
    press(&rig, "03");
    program.wait_for_words("usbscan0: running /bin/sh", 2);
    assert_eq!(fs::read_to_string(&fifo).unwrap(), "03\n");
}

#[test]
fn when_it_ends_so_does_what_it_started() {
    let rig = Rig::new("loopback");
    let program = actions(&rig, &[("", "echo $$ >pid; exec sleep 1000")]);
    press(&rig, "01");
    eventually("it began", || fs::read_to_string(rig.path("pid")).is_ok_and(|pid| pid.ends_with('\n')));
    program.signal(Signal::TERM);
    assert_eq!(program.end().code, Some(143));
    assert!(!is_alive(&fs::read_to_string(rig.path("pid")).unwrap()));
}

#[test]
fn what_is_another_users_or_can_not_start_is_said() {
    let rig = Rig::new("loopback");
    let mut text = "[[action]]\nuser = \"another-user\"\ncommand = [\"/bin/true\"]\n".to_owned();
    text += &format!("[[action]]\nuser = {:?}\nevent = \"button\"\ncommand = [\"/nonexistent\"]\n", me());
    fs::write(rig.path("usbscand.toml"), text).expect("a configuration");
    let program = Program::start(&mut rig.usbscan(&["actions", "--config", "usbscand.toml"]));
    program.wait_for_words("ignoring 1 action of other users", 1);
    eventually("it listens", || {
        let status = rig.session().status(None).expect("a status");
        status.iter().flat_map(|device| &device.pipes).any(|pipe| pipe.pipe == "event" && !pipe.pending.is_empty())
    });
    press(&rig, "01");
    program.wait_for_words("/nonexistent: No such file or directory", 1);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_with_its_line() -> io::Result<()> {
    let rig = Rig::new("loopback");
    fs::write(rig.path("usbscand.toml"), "[[action]]\nuser = \"a\"\ncommand = [\"relative\"]\n")?;
    let ended = rig.run(&["actions", "--config", "usbscand.toml"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("line 3") && ended.stderr.contains("absolute path"), "{}", ended.stderr);
    Ok(())
}

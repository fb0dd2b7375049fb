//! `usbscan run`: which programs it starts and which it refuses, what becomes of signals and exit codes.

use std::process::Command;

use rustix::process::Signal;

use crate::desk::{self, Desk};
use crate::program::Program;
use crate::requirements::{self, SANE_UTILS};
use crate::rig::eventually;

fn desk() -> Desk {
    Desk::new(&["esci"], &["epson2"])
}

/// Compiles a library that is no more than its name.
fn empty_library(desk: &Desk, folder: &str, soname: &str, more: &[&str]) {
    let _ = std::fs::create_dir(desk.path(folder));
    let source = desk.path("empty.c");
    std::fs::write(&source, "const char *libusb_error_name(int code) { (void)code; return \"\"; }\n").expect("a file");
    let mut gcc = Command::new("gcc");
    gcc.args(["-shared", "-fPIC", &format!("-Wl,-soname,{soname}"), "-o"]).arg(desk.path(folder).join(soname));
    let compiled = Program::start(gcc.arg(source).args(more)).end();
    assert_eq!(compiled.code, Some(0), "gcc: {}", compiled.stderr);
}

#[test]
fn a_backend_of_sane_lists_the_daemons_scanner_by_its_bus_and_address() {
    if requirements::are_there("epson2 over the daemon lists", &[&SANE_UTILS]) {
        let listed = desk().done("scanimage", &["-L"]);
        assert!(listed.contains("device `epson2:libusb:200:00"), "{listed}");
    }
}

#[test]
fn our_own_backend_lists_nothing_beside_them() {
    if !requirements::are_there("no double listing under run", &[&SANE_UTILS]) {
        return;
    }
    let desk = Desk::new(&["esci"], &["epson2", "usbscan"]);
    let search = |command: &mut Command| -> String {
        let ended = Program::start(command.env("LD_LIBRARY_PATH", desk.path("backends"))).end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    };
    let listed = search(&mut desk.run("scanimage", &["-L"]));
    assert!(listed.contains("`epson2:") && !listed.contains("`usbscan:"), "{listed}");
    let listed = search(&mut desk.alone("scanimage", &["-L"], &desk.rig.socket()));
    assert!(listed.contains("`usbscan:"), "it was there to be found: {listed}");
}

#[test]
fn the_exit_code_is_the_programs() {
    let desk = desk();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        let ended = desk.ended("sh", &["-c", script]);
        assert_eq!((ended.code, &*ended.stderr), (Some(code), ""), "{script}");
    }
    let ended = desk.ended("no-such-program-anywhere", &[]);
    assert_eq!(ended.code, Some(127), "{}", ended.stderr);
    assert!(ended.stderr.contains("no-such-program-anywhere: no such program"), "{}", ended.stderr);
}

#[test]
fn without_a_daemon_nothing_is_started() {
    let mut desk = desk();
    desk.rig.end_daemon(Signal::TERM);
    let ended = desk.ended("sh", &["-c", "echo started"]);
    assert_eq!((ended.code, &*ended.stdout), (Some(3), ""), "{}", ended.stderr);
}

#[test]
fn a_program_that_can_not_be_helped_is_refused_before_it_starts() {
    let desk = desk();
    let source = "int main(void) { return 0; }\n";
    std::fs::write(desk.path("nothing.c"), source).expect("a file");
    empty_library(&desk, "old", "libusb-0.1.so.4", &[]);
    let gcc = |name: &str, more: &[&str]| {
        let mut gcc = Command::new("gcc");
        gcc.arg("-o").arg(desk.path(name)).arg(desk.path("nothing.c")).args(more).current_dir(desk.path("."));
        let compiled = Program::start(&mut gcc).end();
        assert_eq!(compiled.code, Some(0), "gcc: {}", compiled.stderr);
    };
    gcc("static", &["-static"]);
    gcc("old-libusb", &["-Wl,--no-as-needed", "-Lold", "-l:libusb-0.1.so.4", "-Wl,-rpath,$ORIGIN/old"]);
    for (program, words) in [("./static", "statically linked"), ("./old-libusb", "uses libusb-0.1")] {
        let ended = desk.ended(program, &[]);
        assert_eq!(ended.code, Some(2), "{program}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{program}: {}", ended.stderr);
    }
    // The same interface, as a layer over the new one: Debian's libusb-0.1-4 can be that, or the other.
    let ours = desk.path("lib/libusb-1.0.so.0");
    empty_library(&desk, "old", "libusb-0.1.so.4", &["-Wl,--no-as-needed", ours.to_str().expect("text")]);
    let ended = desk.ended("./old-libusb", &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_program_with_a_libusb_of_its_own_gets_ours() {
    let desk = desk();
    empty_library(&desk, "own", "libusb-1.0.so.0", &[]);
    let own = desk.path("own");
    let own = own.to_str().expect("text");
    let link = ["-L", own, "-l:libusb-1.0.so.0", "-ldl"];
    for tags in ["-Wl,--disable-new-dtags", "-Wl,--enable-new-dtags"] {
        let program = desk.compile("program", &[&link[..], &[tags, &format!("-Wl,-rpath,{own}")]].concat());
        let alone = Program::start(&mut Command::new(&program)).end();
        assert!(alone.stdout.starts_with(own), "{tags}: {alone:?}");
        let under_run = desk.done(&program, &[]);
        assert!(under_run.starts_with(desk.path("lib").to_str().expect("text")), "{tags}: {under_run}");
    }
}

/// Says when it can be signalled, and how often each signal came.
const COUNTS: &str = "n=0; trap 'n=$((n+1)); echo interrupted $n' INT; trap 'echo terminated; exit 5' TERM; \
                      echo ready; while :; do sleep 0.02; done";

#[test]
fn a_signal_to_the_parent_is_passed_on_to_the_program() {
    let desk = desk();
    let run = Program::start(&mut desk.run("sh", &["-c", COUNTS]));
    run.wait_for_words("ready", 1);
    run.signal(Signal::INT);
    run.wait_for_words("interrupted 1", 1);
    run.signal(Signal::TERM);
    let ended = run.end();
    assert_eq!(ended.code, Some(5), "{ended:?}");
}

/// util-linux's script gives a program a terminal. Ended itself, it closes that.
#[test]
fn a_key_of_the_terminal_reaches_the_program_once_and_its_end_ends_the_program() {
    let desk = desk();
    let counts = format!("echo $$ >pid; {COUNTS}");
    let mut command = desk.run("sh", &["-c", &counts]);
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_str().expect("text").replace('\'', r"'\''")))
        .collect();
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &format!("exec {}", words.join(" ")), "/dev/null"]).current_dir(desk.path("."));
    command.stdin(std::process::Stdio::null());
    let mut run = Program::start(&mut script);
    run.wait_for_words("ready", 1);
    run.say("\u{3}");
    run.wait_for_words("interrupted 1", 1);
    run.say("\u{3}");
    run.wait_for_words("interrupted 2", 1);
    let pid = std::fs::read_to_string(desk.path("pid")).expect("it has written its number");
    drop(run);
    let program = std::path::Path::new("/proc").join(pid.trim());
    eventually("the program ends with its terminal", || !program.exists());
}

#[test]
fn what_nohup_ignores_stays_ignored() {
    let desk = desk();
    let command = desk.run("sh", &["-c", "echo ready; read word; echo still here"]);
    let mut nohup = Command::new("nohup");
    nohup.arg(command.get_program()).args(command.get_args()).current_dir(desk.path("."));
    let mut run = Program::start(&mut nohup);
    run.wait_for_words("ready", 1);
    run.signal(Signal::HUP);
    run.say("go on");
    let ended = run.end();
    assert_eq!((ended.code, ended.stdout.contains("still here")), (Some(0), true), "{}", ended.stderr);
}

#[test]
fn what_is_beside_the_program_in_the_build_folder_is_found() {
    let desk = desk();
    let folder = desk.path("build");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::copy(desk::usbscan().get_program(), folder.join("usbscan")).expect("a copy");
    std::fs::copy(desk::built("libusbscan_libusb_dropin.so"), folder.join("libusbscan_libusb_dropin.so"))
        .expect("a copy");
    let ours = desk.path("lib");
    let program = desk.compile("program", &["-L", ours.to_str().expect("text"), "-l:libusb-1.0.so.0", "-ldl"]);
    let mut command = Command::new(folder.join("usbscan"));
    command.arg("--socket").arg(desk.rig.socket()).arg("run").arg(program);
    let ended = Program::start(&mut command).end();
    let built = folder.canonicalize().expect("it is there").join("libusbscan_libusb_dropin.so");
    assert_eq!(ended.stdout.trim_end(), built.to_str().expect("text"), "{}", ended.stderr);
}

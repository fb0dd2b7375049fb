//! Impossible requests: one clear message, the right exit code, and no file changed.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;

use crate::program::Program;
use crate::rig::Rig;

/// Scans with these arguments, which has to fail with this code and these words, and leave the file as it was.
fn refused(rig: &Rig, arguments: &[&str], code: i32, words: &str) {
    let path = rig.path("page.png");
    fs::write(&path, "what was there").expect("a file");
    let before = names(rig);
    let mut all = vec!["scan", "-o", "page.png"];
    all.extend(arguments);
    let ended = rig.run(&all);
    assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
    assert!(ended.stderr.contains(words), "{arguments:?}: {:?} is not in {:?}", words, ended.stderr);
    assert_eq!(fs::read_to_string(&path).expect("a file"), "what was there", "{arguments:?}");
    assert_eq!(names(rig), before, "nothing is left beside it");
}

fn names(rig: &Rig) -> Vec<String> {
    let entries = fs::read_dir(rig.path("")).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_wish_that_the_scanner_can_not_fulfil_is_refused_in_a_sentence() {
    let rig = Rig::new("esci");
    refused(&rig, &["-r", "20000"], 2, "resolution can't be 20000");
    refused(&rig, &["--area", "200,0,100,100"], 2, "outside the scan area, which is 215.9 x 297.2 mm");
    refused(&rig, &["--area", "0,290,100,100"], 2, "outside the scan area");
    refused(&rig, &["--area", "1,2,3"], 2, "--area");
    refused(&rig, &["--mode", "sepia"], 2, "sepia");
    refused(&rig, &["--depth", "12"], 2, "8 or 16");
    refused(&rig, &["--set", "colour=blue"], 2, "no option \"colour\"");
    refused(&rig, &["--set", "threshold=999"], 2, "threshold");
    refused(&rig, &["--mode", "lineart", "--depth", "16"], 2, "depth");
    refused(&rig, &["usbscan7"], 4, "usbscan7");
    // And it scans, after all that.
    rig.done(&["scan", "-r", "50", "-o", "page.png"]);
}

#[test]
fn a_file_that_can_not_be_written_is_found_before_anything_is_scanned() {
    let rig = Rig::new("esci");
    let busy = rig.session();
    busy.open("usbscan0").expect("it opens");
    busy.lock(false).expect("it is free");
    // A program that got as far as the scanner would find it busy.
    for (file, code, words) in [
        ("no/page.png", 8, "can't write no/page.png: No such file or directory"),
        ("page", 2, "unknown file extension"),
        ("page.gif", 2, "unknown file extension"),
    ] {
        let ended = rig.run(&["scan", "-o", file]);
        assert_eq!(ended.code, Some(code), "{file}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{file}: {}", ended.stderr);
    }
    fs::create_dir(rig.path("folder.png")).expect("a folder");
    assert_eq!(rig.run(&["scan", "-o", "folder.png"]).code, Some(2));
    if !rustix::process::geteuid().is_root() {
        fs::create_dir(rig.path("locked")).expect("a folder");
        fs::set_permissions(rig.path("locked"), fs::Permissions::from_mode(0o500)).expect("its bits");
        assert_eq!(rig.run(&["scan", "-o", "locked/page.png"]).code, Some(9));
    }
    let ended = rig.run(&["scan", "-o", "page.png"]);
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    assert!(ended.stderr.contains(&std::process::id().to_string()), "it says who: {}", ended.stderr);
}

#[test]
fn a_disk_that_is_full_is_said_with_the_name_of_the_file() {
    let rig = Rig::new("esci,adf=5");
    for format in ["png", "tiff", "pdf", "jpeg", "pnm"] {
        for source in ["flatbed", "adf"] {
            let scan = ["scan", "--pages", "1", "--source", source, "-r", "75", "--area", "0,0,100,100"];
            let ended = rig.run(&[&scan[..], &["--format", format, "-o", "/dev/full"]].concat());
            assert_eq!(ended.code, Some(8), "{format}: {}", ended.stderr);
            let words = "can't write /dev/full: No space left on device";
            assert!(ended.stderr.contains(words), "{format}: {}", ended.stderr);
        }
    }
}

#[test]
fn a_scanner_that_is_not_there_is_said_so_by_every_command() {
    let rig = Rig::new("esci");
    for command in ["status", "options", "scan -o page.png", "cancel", "wait-event", "reset", "raw read"] {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("nothere");
        let ended = rig.run(&arguments);
        assert_eq!(ended.code, Some(4), "{command}: {}", ended.stderr);
        assert!(ended.stderr.contains("nothere") && ended.stderr.lines().count() == 1, "{command}: {}", ended.stderr);
    }
}

#[test]
fn without_any_scanner_a_list_is_empty_and_a_scan_says_what_to_look_at() {
    let rig = Rig::with_scanners(&[]);
    assert_eq!(rig.done(&["list"]), "No scanners.\n");
    assert_eq!(rig.json(&["list"]), serde_json::json!({ "devices": [] }));
    for arguments in [&["scan", "-o", "page.png"][..], &["cancel"], &["reset"]] {
        let ended = rig.run(arguments);
        assert_eq!(ended.code, Some(4), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("plugged in"), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn a_daemon_that_is_not_there_is_said_so() {
    let rig = Rig::new("esci");
    for arguments in [&["list"][..], &["scan", "-o", "page.png"], &["cancel"], &["wait-event"]] {
        let mut command = rig.usbscan_at(&rig.path("nobody"), arguments);
        let output = command.output().expect("usbscan starts");
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("nobody") && said.lines().count() == 1, "{arguments:?}: {said}");
    }
    assert!(!rig.path("page.png").exists());
}

#[test]
fn what_goes_wrong_is_json_for_programs() {
    let rig = Rig::new("esci");
    let ended = rig.run(&["--json", "scan", "usbscan7", "-o", "page.png"]);
    let said: serde_json::Value = serde_json::from_str(&ended.stderr).expect("JSON");
    assert_eq!(said["error"], "no-scanner");
    assert_eq!(said["exit-code"], 4);
    assert!(said["message"].as_str().is_some_and(|text| text.contains("usbscan7")), "{said}");
}

#[test]
fn nobody_minds_a_closed_standard_output() {
    let rig = Rig::new("esci");
    for arguments in [&["list"][..], &["status"], &["options"], &["--help"], &["scan", "-r", "75", "-o", "-"]] {
        let mut command = rig.usbscan(arguments);
        let (program, stdout) = Program::start_unread(&mut command);
        drop(stdout);
        let ended = program.end();
        assert!(!ended.stderr.contains("panic"), "{arguments:?}: {}", ended.stderr);
        // A quick program has written before the other end closes.
        if arguments[0] == "scan" {
            assert_eq!((ended.code, ended.stderr.as_str()), (Some(141), ""), "{arguments:?}");
        }
    }
    rig.done(&["scan", "-r", "50", "-o", "page.png"]);
}

#[test]
fn a_closed_standard_output_is_refused_before_anything_is_scanned() {
    let rig = Rig::new("esci");
    let run = |arguments: &[&str], redirected: &str| {
        let wrapped = rig.usbscan(arguments);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec \"$0\" \"$@\" {redirected}")]).arg(wrapped.get_program());
        command.args(wrapped.get_args()).current_dir(rig.path("")).env_remove("USBSCAN_SOCKET");
        Program::start(&mut command).end()
    };
    let busy = rig.session();
    busy.open("usbscan0").expect("it opens");
    busy.lock(false).expect("it is free");
    for arguments in [&["scan", "-o", "-"][..], &["scan"], &["capture", "-o", "-"]] {
        let ended = run(arguments, ">&-");
        assert_eq!(ended.code, Some(8), "{arguments:?}: {}", ended.stderr);
        let words = "usbscan: standard output is closed; use -o FILE\n";
        assert_eq!(ended.stderr, words, "{arguments:?}");
    }
    drop(busy);
    let ended = run(&["scan", "-r", "50", "-o", "-"], ">/dev/null");
    assert_eq!(ended.code, Some(0), "who wants nothing of it gets nothing: {}", ended.stderr);
}

#[test]
fn garbage_on_the_socket_harms_nobody() {
    let rig = Rig::new("esci");
    let long = [b'x'; 10_000];
    for garbage in [&b"\n"[..], b"GET / HTTP/1.1\r\n\r\n", b"{}\n", b"{\"id\":1}\n", b"[1,2]\n", b"\xff\xfe\n", &long] {
        let mut stream = UnixStream::connect(rig.socket()).expect("the daemon listens");
        // It may disconnect before it has read everything.
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut said = String::new();
        let _ = std::io::Read::read_to_string(&mut stream, &mut said);
        assert!(said.contains("hello"), "it greets: {said:?}");
    }
    rig.done(&["scan", "-r", "50", "-o", "page.png"]);
}

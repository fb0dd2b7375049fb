//! Where pages go: names, numbers, what is there already, and what programs are told of it.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::Value;

use crate::page::{Page, write_noise};
use crate::program::Program;
use crate::rig::Rig;

const FEEDER: [&str; 8] = ["scan", "--source", "adf", "-r", "75", "--area", "0,0,50,50", "-o"];

/// A user, and a group, who have no account.
const NOBODY: u32 = 12_345;

fn with<'a>(some: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    some.iter().chain(more).copied().collect()
}

/// The names in the rig's folder that begin with this, in order.
fn names(rig: &Rig, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(rig.path("")).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    names
}

#[test]
fn a_file_name_that_is_not_utf8_is_written_and_reported() {
    let rig = Rig::new("esci");
    let name = OsStr::from_bytes(b"caf\xe9.png");
    for arguments in [&["scan", "-r", "50", "-o"][..], &["--json", "scan", "-r", "50", "-o"]] {
        let ended = Program::start(rig.usbscan(arguments).arg(name)).end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stdout.contains("caf\u{fffd}.png"), "{}", ended.stdout);
        fs::remove_file(rig.path("").join(name)).expect("the page is there");
    }
}

#[test]
fn numbered_files_of_an_earlier_batch_are_not_overwritten_unless_asked_for() {
    let rig = Rig::new("esci,adf=2");
    fs::write(rig.path("page-2.png"), "an earlier page").expect("a file");
    let busy = rig.session();
    busy.open("usbscan0").expect("it opens");
    busy.lock(false).expect("it is free");
    // Nothing is scanned: who got as far would find the scanner busy.
    let ended = rig.run(&with(&FEEDER, &["page-%d.png"]));
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("page-2.png exists"), "{}", ended.stderr);
    drop(busy);
    assert_eq!(fs::read_to_string(rig.path("page-2.png")).expect("a file"), "an earlier page");
    rig.done(&with(&FEEDER, &["page-%d.png", "--overwrite"]));
    assert_eq!(names(&rig, "page"), ["page-1.png", "page-2.png"]);
    Page::read_png(&rig.path("page-2.png"));
}

#[test]
fn a_batch_goes_on_after_a_jam_with_start() {
    let rig = Rig::new("esci,adf=2");
    rig.done(&with(&FEEDER, &["page-%d.png"]));
    drop(rig);
    let rig = Rig::new("esci,adf=2");
    fs::write(rig.path("page-2.png"), "the last page before the jam").expect("a file");
    rig.done(&with(&FEEDER, &["page-%d.png", "--start", "3"]));
    assert_eq!(names(&rig, "page"), ["page-2.png", "page-3.png", "page-4.png"]);
}

#[test]
fn fronts_then_backs_are_two_commands() {
    let folder = tempfile::tempdir().expect("a folder");
    // Two sheets: fronts 1 and 3; the stack is turned over, so their backs come as 4, 2.
    let sheets: Vec<_> = (1..=4).map(|number| folder.path().join(format!("{number}.png"))).collect();
    sheets.iter().zip(1..).for_each(|(sheet, seed)| write_noise(sheet, 600, 448, seed));
    let feeder = |pages: [usize; 2]| {
        let names: Vec<_> = pages.iter().map(|page| sheets[page - 1].display().to_string()).collect();
        format!("esci,adf={}", names.join(":"))
    };
    let scan = ["scan", "--source", "adf", "-r", "300", "--mode", "color", "--area", "0,0,50.8,37.93", "-o", "p%d.png"];
    let mut rig = Rig::new(&feeder([1, 3]));
    rig.done(&with(&scan, &["--start", "1", "--increment", "2"]));
    rig.exchange(&feeder([4, 2]));
    rig.done(&with(&scan, &["--start", "4", "--increment", "-2"]));
    assert_eq!(names(&rig, "p"), ["p1.png", "p2.png", "p3.png", "p4.png"]);
    for (number, sheet) in (1..).zip(&sheets) {
        Page::read_png(&rig.path(&format!("p{number}.png"))).assert_shows(&Page::read_png(sheet));
    }
}

#[test]
fn flags_for_numbers_need_a_numbered_name() {
    let rig = Rig::new("esci");
    for flag in [&["--start", "2"][..], &["--increment", "2"], &["--overwrite"]] {
        let ended = rig.run(&with(&["scan", "-o", "page.pdf"], flag));
        assert_eq!(ended.code, Some(2), "{flag:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("%d"), "{flag:?}: {}", ended.stderr);
    }
}

#[test]
fn contradictions_are_refused() {
    let rig = Rig::new("esci,adf=1");
    for (arguments, words) in [
        (&["--mode", "color", "--set", "mode=Gray"][..], "--mode and --set mode="),
        (&["--source", "adf", "--set", "source=Flatbed"], "--source and --set source="),
        (&["--area", "A4", "--set", "br-x=100"], "--area and --set br-x="),
        (&["--resolution", "75", "--set", "resolution=100"], "--resolution and --set resolution="),
        (&["--depth", "8", "--set", "depth=16"], "--depth and --set depth="),
    ] {
        let ended = rig.run(&with(&["scan", "-o", "page.pdf"], arguments));
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn a_mount_point_is_refused_before_anything_is_scanned() {
    let rig = Rig::new("esci");
    fs::write(rig.path("page.png"), "what was there").expect("a file");
    fs::write(rig.path("mounted"), "what was there").expect("a file");
    let usbscan = rig.usbscan(&["scan", "-r", "50", "-o", "page.png"]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount --bind mounted page.png || exit 99; exec \"$0\" \"$@\""]);
    command.arg(usbscan.get_program()).args(usbscan.get_args()).current_dir(rig.path(""));
    let ended = Program::start(&mut command).end();
    if ended.code == Some(99) || ended.stderr.contains("unshare failed") {
        // Needs the right to mount; the guest's tests have it.
        eprintln!("left out, because nothing may be mounted here");
        return;
    }
    assert_eq!(ended.code, Some(8), "{}", ended.stderr);
    assert!(ended.stderr.contains("page.png: it is a mount point"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(rig.path("page.png")).expect("a file"), "what was there");
}

#[test]
fn another_users_file_in_a_sticky_folder_is_refused_before_anything_is_scanned() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out, because only root becomes another user");
        return;
    }
    let rig = Rig::new("esci");
    let folder = rig.path("sticky");
    fs::create_dir(&folder).expect("a folder");
    fs::set_permissions(rig.path(""), Permissions::from_mode(0o755)).expect("its rights");
    fs::set_permissions(rig.socket(), Permissions::from_mode(0o666)).expect("its rights");
    fs::set_permissions(&folder, Permissions::from_mode(0o1777)).expect("its rights");
    fs::write(folder.join("page.png"), "root's").expect("a file");
    fs::set_permissions(folder.join("page.png"), Permissions::from_mode(0o666)).expect("its rights");
    let usbscan = rig.usbscan(&["scan", "-r", "50", "-o", "page.png"]);
    fs::copy(usbscan.get_program(), rig.path("usbscan")).expect("a program that another user may start");
    let scan = |name: &str| {
        let mut command = Command::new(rig.path("usbscan"));
        command.args(usbscan.get_args().map(|argument| if argument == "page.png" { name.as_ref() } else { argument }));
        Program::start(command.current_dir(&folder).uid(NOBODY).gid(NOBODY)).end()
    };
    let refused = scan("page.png");
    assert_eq!(refused.code, Some(9), "permission denied: {}", refused.stderr);
    assert!(refused.stderr.contains("page.png: it is another user's file"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(folder.join("page.png")).expect("a file"), "root's");
    for _ in 0..2 {
        let own = scan("own.png");
        assert_eq!(own.code, Some(0), "one's own is replaced: {}", own.stderr);
    }
}

#[test]
fn a_page_gets_no_rights_that_a_new_file_would_not_get_nor_any_that_the_replaced_one_had_not() {
    let rig = Rig::new("esci");
    for (umask, before, after) in [
        ("077", None, 0o600),
        ("022", None, 0o644),
        ("077", Some(0o666), 0o600),
        ("022", Some(0o666), 0o644),
        ("022", Some(0o600), 0o600),
        ("000", Some(0o640), 0o640),
        ("077", Some(0o777), 0o600),
    ] {
        let page = rig.path("page.png");
        let _ = fs::remove_file(&page);
        if let Some(before) = before {
            fs::write(&page, "what was there").expect("a file");
            fs::set_permissions(&page, Permissions::from_mode(before)).expect("its rights");
        }
        let usbscan = rig.usbscan(&["scan", "-r", "50", "--area", "0,0,10,10", "-o", "page.png"]);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]);
        command.arg(usbscan.get_program()).args(usbscan.get_args()).current_dir(rig.path(""));
        let ended = Program::start(&mut command).end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let mode = fs::metadata(&page).expect("a page").permissions().mode() & 0o7777;
        assert_eq!(mode, after, "umask {umask}, before {before:?}: {mode:o}");
    }
}

#[test]
fn a_page_gives_no_rights_to_a_group_that_the_replaced_file_was_not_of() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out, because only root becomes another user");
        return;
    }
    let rig = Rig::new("esci");
    let folder = rig.path("shared");
    fs::create_dir(&folder).expect("a folder");
    fs::set_permissions(rig.path(""), Permissions::from_mode(0o755)).expect("its rights");
    fs::set_permissions(rig.socket(), Permissions::from_mode(0o666)).expect("its rights");
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("its rights");
    let page = folder.join("page.png");
    fs::write(&page, "what was there").expect("a file");
    // Another group's, that its user is not in.
    std::os::unix::fs::chown(&page, Some(NOBODY), Some(NOBODY + 1)).expect("root may");
    fs::set_permissions(&page, Permissions::from_mode(0o660)).expect("its rights");
    let usbscan = rig.usbscan(&["scan", "-r", "50", "--area", "0,0,10,10", "-o", "page.png"]);
    fs::copy(usbscan.get_program(), rig.path("usbscan")).expect("a program that another user may start");
    let mut command = Command::new("sh");
    command.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(rig.path("usbscan")).args(usbscan.get_args());
    let ended = Program::start(command.current_dir(&folder).uid(NOBODY).gid(NOBODY)).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let found = fs::metadata(&page).expect("a page");
    assert_eq!((found.gid(), found.permissions().mode() & 0o7777), (NOBODY, 0o600));
}

#[test]
fn a_wrong_command_line_is_json_with_json() {
    let rig = Rig::new("esci");
    for arguments in
        [&["--json", "scan", "--depth", "7"][..], &["scan", "--json", "--nonsense"], &["nonsense", "--json"]]
    {
        let ended = rig.run(arguments);
        let error: Value = serde_json::from_str(&ended.stderr).unwrap_or_else(|_| panic!("{:?}", ended.stderr));
        assert_eq!((ended.code, &error["error"], &error["exit-code"]), (Some(2), &"usage".into(), &2.into()));
        assert!(error["message"].as_str().is_some_and(|text| !text.contains('\n') && !text.is_empty()), "{error}");
    }
}

#[test]
fn programs_hear_of_the_progress_inside_a_page() {
    let rig = Rig::new("esci");
    let ended = rig.run(&["--json", "scan", "-r", "150", "--mode", "gray", "-o", "page.png"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines: Vec<Value> =
        ended.stderr.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let scanning: Vec<&Value> =
        lines.iter().map(|line| &line["progress"]).filter(|progress| progress["state"] == "scanning").collect();
    let percents: Vec<u64> = scanning.iter().map(|progress| progress["percent"].as_u64().expect("a number")).collect();
    assert!(percents.is_sorted() && percents.len() <= 21, "{percents:?}");
    let last = scanning.last().expect("there was progress");
    assert_eq!(
        (&last["page"], &last["lines"], &last["percent"]),
        (&1.into(), &last["total"], &100.into()),
        "{lines:?}"
    );
    let report: Value = serde_json::from_str(&ended.stdout).expect("one object");
    assert_eq!(report["height"], last["total"]);
}

#[test]
fn every_paper_size_is_the_size_of_the_page_as_far_as_the_glass_goes() {
    let rig = Rig::new("esci");
    for (area, width, height) in
        [("A5", 148.0, 210.0), ("b5", 182.0, 257.0), ("Executive", 184.15, 266.7), ("MAX", 215.9, 297.2)]
    {
        let report = rig.json(&["scan", "-r", "100", "--mode", "Gray", "--area", area, "-o", "page.png"]);
        let pixels = |millimetres: f64| millimetres / 25.4 * 100.0;
        let near = |value: &Value, expected: f64| (value.as_f64().expect("a number") - expected).abs() <= 8.0;
        assert!(near(&report["width"], pixels(width)) && near(&report["height"], pixels(height)), "{area}: {report}");
    }
    let ended = rig.run(&["scan", "--area", "a3", "-o", "page.png"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
}

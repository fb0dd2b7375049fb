//! All of SANE's USB backends that this machine has, unmodified, over the daemon: each loads with every symbol bound, lists,
//! and ends in order. Then each meets a device with the ids of one of its scanners that answers nothing, or sends back what
//! it gets: whatever the backend makes of that, an interrupt gives control back, and daemon and device serve the next.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::Signal;

use crate::desk::Desk;
use crate::program::Program;
use crate::requirements::{self, LIBSANE_DEV, SANE_UTILS};

/// One scanner of each backend: its ids, as SANE's lists of models have them.
const SCANNERS: [(&str, &str); 45] = [
    ("artec_eplus48u", "05d8:4003"),
    ("avision", "03f0:0701"),
    ("canon630u", "04a9:2204"),
    ("canon_dr", "1083:162c"),
    ("canon_lide70", "04a9:2224"),
    ("cardscan", "0451:6250"),
    ("coolscan2", "04b0:4000"),
    ("coolscan3", "04b0:4000"),
    ("epjitsu", "04c5:10c7"),
    ("epson", "04b8:0101"),
    ("epson2", "04b8:0101"),
    ("epsonds", "04b8:0145"),
    ("fujitsu", "04c5:1041"),
    ("genesys", "03f0:0901"),
    ("gt68xx", "043d:002d"),
    ("hp", "03f0:0101"),
    ("hp3500", "03f0:2005"),
    ("hp3900", "03f0:2305"),
    ("hp4200", "03f0:0105"),
    ("hp5400", "03f0:1005"),
    ("hp5590", "03f0:1205"),
    ("hpljm1005", "03f0:3b17"),
    ("kodakaio", "040a:4025"),
    ("kvs1025", "04da:1006"),
    ("kvs20xx", "04da:1000"),
    ("kvs40xx", "04da:100c"),
    ("lexmark", "043d:0060"),
    ("ma1509", "055f:0010"),
    ("magicolor", "08a6:8056"),
    ("mustek_usb", "055f:0001"),
    ("mustek_usb2", "055f:0409"),
    ("niash", "03f0:0205"),
    ("pieusb", "05e3:0142"),
    ("pixma", "04a9:1709"),
    ("plustek", "03f0:0505"),
    ("ricoh2", "05ca:042c"),
    ("rts8891", "03f0:0705"),
    ("sm3600", "05da:40b3"),
    ("sm3840", "05da:30cf"),
    ("snapscan", "04a5:1a20"),
    ("stv680", "041e:4007"),
    ("u12", "0458:2004"),
    ("umax", "1606:0230"),
    ("umax1220u", "1606:0010"),
    ("xerox_mfp", "04e8:3426"),
];

/// Where a backend may be when nobody can say more of it than that it does not end by itself.
const PATIENCE: Duration = Duration::from_secs(20);
/// How the program ends at a second interrupt.
const ABORTED: i32 = 4;
/// How many are tried at once: they mostly wait.
const AT_ONCE: usize = 4;

/// The backends of this machine that need libusb, by name.
fn backends() -> Vec<(String, PathBuf)> {
    let folders = [format!("/usr/lib/{}-linux-gnu/sane", std::env::consts::ARCH), "/usr/lib64/sane".to_owned()];
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let mut found: Vec<(String, PathBuf)> = files
        .filter_map(|file| {
            let path = file.ok()?.path();
            let name = path.file_name()?.to_str()?.strip_prefix("libsane-")?.strip_suffix(".so.1")?.to_owned();
            let dynamic = Command::new("readelf").args([OsStr::new("-d"), path.as_os_str()]).output().ok()?;
            String::from_utf8_lossy(&dynamic.stdout).contains("[libusb-1.0.so.0]").then_some((name, path))
        })
        .collect();
    found.sort();
    found
}

/// Calls `work` for each, several at a time, and prints a table of what it says.
fn table<T: Sync>(title: &str, rows: &[T], work: impl Fn(&T) -> String + Sync) {
    let (next, said) = (AtomicUsize::new(0), Mutex::new(vec![String::new(); rows.len()]));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((at, row)) =
                    Some(next.fetch_add(1, Ordering::SeqCst)).and_then(|at| Some((at, rows.get(at)?)))
                {
                    let line = work(row);
                    said.lock()[at] = line;
                }
            });
        }
    });
    requirements::say(&format!("{title}\n  {}", said.into_inner().join("\n  ")));
}

#[test]
fn every_backend_loads_with_every_symbol_bound_lists_and_ends_in_order() {
    if !requirements::are_there("SANE's USB backends over the daemon", &[&SANE_UTILS, &LIBSANE_DEV]) {
        return;
    }
    let desk = Desk::new(&["loopback"], &[]);
    let program = desk.compile("backend", &["-ldl"]);
    let backends = backends();
    assert!(backends.len() > 40, "this machine has {backends:?}");
    table(&format!("{} backends that find no scanner of theirs", backends.len()), &backends, |(name, path)| {
        let mut command = desk.alone(&program, &[path.to_str().expect("text"), name], &desk.rig.socket());
        let ended = Program::start(command.env("LD_BIND_NOW", "1")).end();
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
        // Without a device of theirs some say so at once.
        let words = ended.stdout.lines().collect::<Vec<_>>().join(", ");
        assert!(
            words.ends_with("ended") || words.starts_with("init ") && !words.starts_with("init 0"),
            "{name}: {words}"
        );
        format!("{name:<16} {words}")
    });
}

/// Runs a backend with a device of its ids, interrupts it when it waits, and says what it did.
fn meet(program: &std::path::Path, name: &str, path: &std::path::Path, id: &str, fault: &str) -> String {
    let desk = Desk::new(&[&format!("loopback,id={id}{fault}")], &[]);
    let mut command = desk.run(program, &[path.to_str().expect("text"), name, "open"]);
    let mut run = Program::start(&mut command);
    let before = run.ends_within(Duration::from_secs(1));
    if !before {
        run.signal(Signal::INT);
    }
    let ends = before || run.ends_within(PATIENCE);
    if !ends {
        // A backend that waits between its requests, and not in one: nothing can be cancelled there.
        run.signal(Signal::QUIT);
    }
    let ended = run.end();
    let how = match (before, ends, ended.code) {
        (true, _, Some(0)) => "ends by itself",
        (false, true, Some(0)) => "control back after the interrupt",
        (false, true, Some(ABORTED)) => "control back when run insists",
        (_, false, _) => "waits in itself, was ended",
        _ => "crashes",
    };
    // Whatever became of it, the daemon lives, and has the device for the next who asks.
    let listed = desk.rig.json(&["list"]);
    assert_eq!(listed["devices"].as_array().map(Vec::len), Some(1), "{name}: {listed}");
    desk.rig.done(&["cancel"]);
    desk.rig.done(&["raw", "pipes"]);
    let words = ended.stdout.lines().collect::<Vec<_>>().join(", ");
    format!("{name:<16} {how:<33} {words}")
}

fn meet_all(title: &str, fault: &str) {
    if !requirements::are_there(title, &[&SANE_UTILS, &LIBSANE_DEV]) {
        return;
    }
    let compiler = Desk::new(&[], &[]);
    let program = compiler.compile("backend", &["-ldl"]);
    let with_ids = |(name, path)| {
        let id = SCANNERS.iter().find(|row| row.0 == name)?.1;
        Some((name, path, id))
    };
    let rows: Vec<(String, PathBuf, &str)> = backends().into_iter().filter_map(with_ids).collect();
    table(title, &rows, |(name, path, id)| meet(&program, name, path, id, fault));
}

#[test]
fn every_backend_gives_control_back_from_a_device_that_answers_nothing() {
    meet_all("backends with a device that answers nothing", ",fault=silence@0,fault=hang-from@0");
}

#[test]
fn every_backend_gives_control_back_from_a_device_that_answers_nonsense() {
    meet_all("backends with a device that sends back what it gets", "");
}

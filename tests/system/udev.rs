//! Who gets a device's node: `udevadm test` on a device that umockdev makes up, with this machine's other rules.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{are_there, left_out, source};

/// Numbers of groups that no machine has.
const SCANNER: &str = "4901";
const USBSCAN: &str = "4902";
const LP: &str = "4903";

const VENDOR: [u8; 3] = [0xff, 0xff, 0xff];
const CAMERA: [u8; 3] = [6, 1, 1];
const IPP_OVER_USB: [u8; 3] = [7, 1, 4];

const RULES: &str = "udev/60-usbscan.rules";
const PRIVATE: &str = "udev/private-node/72-usbscan-private.rules";

/// As SANE's packages have it.
const SANE_KNOWS_IT: (&str, &str) = ("60-libsane1.rules", "ATTR{idVendor}==\"1209\", ENV{libsane_matched}=\"yes\"\n");
const SANE_GIVES_IT: (&str, &str) =
    ("99-libsane1.rules", "ENV{libsane_matched}==\"yes\", RUN+=\"/bin/setfacl -m g:scanner:rw $env{DEVNAME}\"\n");
/// As a line of the hardware database has it.
const IN_THE_TABLE: (&str, &str) = ("59-table.rules", "ATTR{idVendor}==\"1209\", ENV{USBSCAN_PROTOCOL}=\"esci\"\n");
const A_CAMERA_OF_GPHOTO: (&str, &str) =
    ("59-camera.rules", "ATTR{idVendor}==\"1209\", ENV{ID_GPHOTO2}=\"1\", GROUP=\"lp\"\n");

/// What udev would make of a device.
#[derive(Debug)]
struct Outcome {
    is_scanner: bool,
    group: Option<String>,
    mode: Option<String>,
    starts_daemon: bool,
    /// Programs, in order.
    runs: Vec<String>,
    everything: String,
}

impl Outcome {
    fn of(everything: String) -> Outcome {
        let last = |word: &str| {
            let assigned = everything.lines().filter_map(|line| line.split_once(".rules:")?.1.split_once(word));
            assigned.map(|(_, value)| value.trim().to_owned()).next_back()
        };
        let runs = everything.lines().filter_map(|line| line.strip_prefix("run: "));
        Outcome {
            is_scanner: everything.lines().any(|line| line == "USBSCAN_MATCHED=yes"),
            group: last(" GROUP "),
            mode: last(" MODE "),
            starts_daemon: everything
                .lines()
                .any(|line| line.starts_with("SYSTEMD_WANTS=") && line.contains("usbscand.service")),
            runs: runs.map(|run| run.trim_matches('\'').to_owned()).collect(),
            everything,
        }
    }

    /// How access control lists are changed, in order.
    fn acls(&self) -> Vec<&str> {
        let of_rule = |run: &String| run.contains("setfacl") || run == "uaccess";
        let acls = self.runs.iter().filter(|run| of_rule(run));
        acls.map(|run| run.trim_end_matches("/dev/bus/usb/001/007").trim().rsplit("/setfacl ").next().unwrap_or(run))
            .collect()
    }
}

/// A device with interfaces of these classes, as umockdev is told of it.
fn device(interfaces: &[[u8; 3]]) -> String {
    let length = 9 + (9 + 7) * interfaces.len();
    let mut descriptors = vec![18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, 0x77, 0x77, 0, 1, 0, 0, 0, 1];
    descriptors.extend([9, 2, length as u8, 0, interfaces.len() as u8, 1, 0, 0xc0, 50]);
    for (number, [class, subclass, protocol]) in interfaces.iter().enumerate() {
        descriptors.extend([9, 4, number as u8, 0, 1, *class, *subclass, *protocol, 0]);
        descriptors.extend([7, 5, 0x81 + number as u8, 2, 0, 2, 0]);
    }
    let hex: String = descriptors.iter().map(|byte| format!("{byte:02X}")).collect();
    format!(
        "P: /devices/pci0000:00/0000:00:1d.0/usb1/1-1\nN: bus/usb/001/007\nE: DEVNAME=/dev/bus/usb/001/007\n\
         E: DEVTYPE=usb_device\nE: SUBSYSTEM=usb\nE: MAJOR=189\nE: MINOR=6\nE: BUSNUM=001\nE: DEVNUM=007\n\
         E: PRODUCT=1209/7777/100\nA: bDeviceClass=00\\n\nA: busnum=1\\n\nA: devnum=7\\n\nA: idVendor=1209\\n\n\
         A: idProduct=7777\\n\nA: power/control=auto\\n\nH: descriptors={hex}\n"
    )
}

/// What becomes of it with these rules of ours and others in /etc/udev/rules.d, which stand instead of the machine's own of
/// the same name.
fn outcome(ours: &[&str], others: &[(&str, &str)], interfaces: &[[u8; 3]]) -> Option<Outcome> {
    let claim = "who gets a device's node";
    if !are_there(claim, &["udevadm", "umockdev-run", "unshare", "mount"]) {
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    fs::create_dir(file("rules.d")).expect("a folder");
    for rules in ours {
        let name = Path::new(rules).file_name().expect("a file's name");
        fs::copy(source(rules), file("rules.d").join(name)).expect("a copy");
    }
    for (name, rules) in others {
        fs::write(file("rules.d").join(name), rules).expect("a file");
    }
    let groups = fs::read_to_string("/etc/group").expect("there are groups");
    let is_kept = |line: &&str| !["scanner:", "usbscan:", "lp:"].iter().any(|name| line.starts_with(name));
    let kept: String = groups.lines().filter(is_kept).map(|line| format!("{line}\n")).collect();
    let added = format!("scanner:x:{SCANNER}:\nusbscan:x:{USBSCAN}:\nlp:x:{LP}:\n");
    fs::write(file("group"), kept + &added).expect("a file");
    fs::write(file("device"), device(interfaces)).expect("a file");
    // What udev remembers of devices is not this machine's either.
    let script = "mkdir -p /run/udev /dev/char /etc/udev/rules.d && mount -t tmpfs none /run/udev && mount -t tmpfs none /dev/char && \
                  mount --bind rules.d /etc/udev/rules.d && mount --bind group /etc/group && \
                  exec umockdev-run --device device -- udevadm test --action=add \
                  /sys/devices/pci0000:00/0000:00:1d.0/usb1/1-1";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).current_dir(folder.path()).env("SYSTEMD_LOG_LEVEL", "debug");
    let ended = command.output().expect("unshare starts");
    let said = String::from_utf8_lossy(&ended.stderr) + String::from_utf8_lossy(&ended.stdout);
    if said.contains("unshare failed") || said.contains("permission denied") {
        left_out(claim, "mounts of its own are not allowed here");
        return None;
    }
    assert!(ended.status.success(), "{said}");
    let wrong: Vec<&str> = said.lines().filter(|line| line.contains("usbscan") && is_complaint(line)).collect();
    assert!(wrong.is_empty(), "udev complains: {wrong:#?}");
    Some(Outcome::of(said.into_owned()))
}

fn is_complaint(line: &str) -> bool {
    ["ignoring", "Invalid", "Unknown", "Failed to"].iter().any(|word| line.contains(word))
}

#[test]
fn a_driverless_device_and_a_model_of_the_table_are_scanners_and_a_camera_is_none() {
    let Some(driverless) = outcome(&[RULES], &[], &[VENDOR, IPP_OVER_USB]) else { return };
    assert!(driverless.is_scanner && driverless.starts_daemon, "{}", driverless.everything);
    let of_table = outcome(&[RULES], &[IN_THE_TABLE], &[VENDOR]).expect("as before");
    assert!(of_table.is_scanner && of_table.starts_daemon, "{}", of_table.everything);
    assert_eq!((of_table.group.as_deref(), of_table.mode.as_deref()), (Some(SCANNER), Some("0664")));
    assert!(of_table.acls().is_empty(), "{:?}", of_table.acls());
    for other in [CAMERA, VENDOR, [7, 1, 2]] {
        let none = outcome(&[RULES], &[], &[other]).expect("as before");
        assert!(!none.is_scanner && !none.starts_daemon, "{other:?}: {}", none.everything);
        assert!(none.group.as_deref() != Some(SCANNER) && !none.acls().iter().any(|acl| acl.contains("scanner")));
    }
}

#[test]
fn the_node_of_a_printer_or_a_camera_stays_its_groups_and_the_scanners_come_in_beside_it() {
    let Some(printer) = outcome(&[RULES], &[], &[[7, 1, 2], IPP_OVER_USB]) else { return };
    let camera = outcome(&[RULES], &[IN_THE_TABLE, A_CAMERA_OF_GPHOTO], &[CAMERA]).expect("as before");
    assert_eq!(printer.group.as_deref(), Some(LP), "{}", printer.everything);
    for shared in [printer, camera] {
        // A camera's is what libgphoto2's rules say, where they are.
        assert_ne!(shared.group.as_deref(), Some(SCANNER), "{}", shared.everything);
        assert_eq!(shared.acls().iter().filter(|acl| **acl == "-m g:scanner:rw").count(), 1, "{:?}", shared.acls());
    }
}

#[test]
fn a_private_node_is_the_daemons_alone_whatever_sane_and_logind_gave() {
    let others = [IN_THE_TABLE, SANE_KNOWS_IT, SANE_GIVES_IT];
    let Some(shared) = outcome(&[RULES], &others, &[VENDOR]) else { return };
    assert_eq!(shared.group.as_deref(), Some(SCANNER));
    assert_eq!(shared.acls(), ["uaccess", "-m g:scanner:rw"], "what there is to be taken back");

    let private = outcome(&[RULES, PRIVATE], &others, &[VENDOR]).expect("as before");
    assert!(private.is_scanner && private.starts_daemon, "{}", private.everything);
    assert_eq!((private.group.as_deref(), private.mode.as_deref()), (Some(USBSCAN), Some("0660")));
    assert_eq!(private.acls(), ["-b"], "{}", private.everything);
}

#[test]
fn a_private_node_of_a_printer_stays_its_groups_and_the_daemon_comes_in_beside_it() {
    let Some(private) = outcome(&[RULES, PRIVATE], &[SANE_KNOWS_IT, SANE_GIVES_IT], &[IPP_OVER_USB]) else { return };
    assert_eq!((private.group.as_deref(), private.mode.as_deref()), (Some(LP), Some("0660")), "{}", private.everything);
    assert_eq!(private.acls(), ["-b", "-m g:usbscan:rw"], "{}", private.everything);
    let others = outcome(&[RULES, PRIVATE], &[SANE_KNOWS_IT, SANE_GIVES_IT], &[VENDOR]).expect("as before");
    assert_eq!(others.acls(), ["uaccess", "-m g:scanner:rw"], "what is no scanner of usbscand's is left alone");
}

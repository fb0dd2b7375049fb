//! Every input that is kept for the fuzzer, through its target: what was found once stays mended, on machines without
//! libFuzzer too. The targets are the fuzzer's own files, since its workspace is none that others can depend on.

#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use usbscan_daemon::Config;
use usbscan_daemon::quirks::Table;
use usbscan_virtual::glass::Glass;
use usbscan_wire::{CLIENT_HEADER_LIMIT, DAEMON_HEADER_LIMIT, FromDaemon, Request, read_frame};

fn inside(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

#[test]
fn every_input_that_is_kept_goes_through_its_target() {
    for (name, target) in targets::TARGETS {
        let inputs = inside(&corpus().join(name));
        assert!(!inputs.is_empty(), "{name} has no inputs");
        for input in inputs {
            println!("{}", input.display());
            target(&fs::read(&input).expect("an input"));
        }
    }
}

#[test]
fn every_folder_of_inputs_is_a_targets() {
    let folders = inside(&corpus());
    let folders: BTreeSet<_> = folders.iter().filter_map(|folder| folder.file_name()?.to_str()).collect();
    assert_eq!(folders, targets::TARGETS.iter().map(|target| target.0).collect());
}

/// libFuzzer gives up at a line that it can't read, and a dictionary under another name is never opened.
#[test]
fn every_dictionary_is_a_targets_and_can_be_read() {
    let dictionaries = inside(&corpus().with_file_name("dictionaries"));
    assert!(!dictionaries.is_empty());
    for path in dictionaries {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(targets::TARGETS.iter().any(|target| target.0 == name), "{name} is no target");
        for line in fs::read_to_string(&path).expect("a dictionary").lines().filter(|line| !line.starts_with('#')) {
            let word = line.strip_prefix('"').and_then(|line| line.strip_suffix('"'));
            let word = word.unwrap_or_else(|| panic!("{name}: {line}"));
            let rest =
                word.split("\\x").enumerate().map(|(at, part)| if at == 0 { Some(part) } else { hex_removed(part) });
            for part in rest {
                let part = part.unwrap_or_else(|| panic!("{name}: {line}"));
                assert!(
                    part.bytes().all(|byte| (0x20..0x7f).contains(&byte) && !b"\"\\".contains(&byte)),
                    "{name}: {line}"
                );
            }
        }
    }
}

/// What follows the two digits of an escape.
fn hex_removed(part: &str) -> Option<&str> {
    let (digits, rest) = part.split_at_checked(2)?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(rest)
}

/// What is kept under this name.
fn kept(name: &str) -> Vec<u8> {
    fs::read(corpus().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn text(name: &str) -> String {
    String::from_utf8(kept(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A format may change, and what the fuzzer starts from would be refused at its first byte without anybody's notice.
#[test]
fn what_is_kept_as_a_good_input_is_still_understood() {
    let place = Path::new("kept");
    Config::parse(place, &text("config/full")).unwrap_or_else(|error| panic!("{error}"));
    Table::default().add(place, &text("quirks/epson")).unwrap_or_else(|error| panic!("{error}"));
    for name in ["spec/esci", "spec/loopback"] {
        usbscan_virtual::spec::parse(text(name).trim()).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in ["arm", "cancel", "control", "open", "write"] {
        let frames = kept(&format!("frame/{name}"));
        let mut rest = &frames[..];
        while let Some(frame) = read_frame(&mut rest, CLIENT_HEADER_LIMIT).expect("a frame") {
            Request::from_frame(frame).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
    for name in ["data", "hello", "list"] {
        let frame = read_frame(&mut &kept(&format!("answer/{name}"))[..], DAEMON_HEADER_LIMIT).expect("a frame");
        FromDaemon::from_frame(frame.expect("one")).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    usbscan_usb::DeviceDescriptor::parse(&kept("descriptor/device")).expect("a device");
    usbscan_usb::ConfigurationDescriptor::parse(&kept("descriptor/configuration")).expect("a configuration");
    usbscan_usb::string_descriptor_text(&kept("descriptor/string")).expect("a string");
    for name in ["loopback", "sane-record", "usbmon-pcap", "usbmon-short-headers", "usbpcap"] {
        let file = kept(&format!("replay/{name}"));
        usbscan_virtual::Replay::of_bytes(file, None).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in ["bit", "gray16", "rgb"] {
        Glass::png_bytes(kept(&format!("glass/{name}"))).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in ["esci/fs", "esci/fs-colour-feeder", "esci/esc", "esci/esc-d1-colour"] {
        targets::scan_esci(&kept(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in ["documents/glass", "documents/feeder", "documents/shared"] {
        usbscan_escl::ScannerCapabilities::parse(&kept(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    usbscan_escl::ScannerStatus::parse(&kept("documents/status")).expect("a status");
    usbscan_escl::ScanImageInfo::parse(&kept("documents/size")).expect("a size");
    for name in ["esci2/gray", "esci2/colour-feeder"] {
        targets::scan_esci2(&kept(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

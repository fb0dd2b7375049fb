//! Who has an interface that we could not claim. Reads `/sys` and `/proc`; what may not be read is not known.

use std::fs;
use std::path::Path;

use usbscan_usb::{Holder, InterfaceNumber, Location};

use crate::sysfs;

/// Bytes that Linux gives a program's name, with its end.
const LONGEST_NAME: usize = 16;
/// The kernel's driver for printers.
const USBLP: &str = "usblp";
/// How many of its printers are open, all together: the kernel counts no better.
const OPEN_PRINTERS: &str = "/sys/module/usblp/refcnt";

/// Whether somebody prints by way of this interface, as far as that can be known: its driver would lose the job if it were
/// detached.
pub(crate) fn is_printing(location: &Location, configuration: u8, interface: InterfaceNumber) -> bool {
    let driver = sysfs::driver(location, configuration, interface);
    driver.as_deref() == Some(USBLP) && counts(&fs::read_to_string(OPEN_PRINTERS).unwrap_or_default())
}

fn counts(text: &str) -> bool {
    text.trim().parse::<u32>().is_ok_and(|count| count > 0)
}

/// Who holds an interface: a kernel driver, a program, or an unknown holder.
pub(crate) fn of_interface(location: &Location, configuration: u8, interface: InterfaceNumber) -> Holder {
    match sysfs::driver(location, configuration, interface) {
        Some(driver) if driver != "usbfs" => Holder::KernelDriver(driver),
        _ => program(&sysfs::node(location)),
    }
}

/// A program that has the device node open: another than this one, if there is one. Having it open is
/// not yet a claim, but usbfs tells nobody who claimed, and more than one program is rare.
fn program(node: &Path) -> Holder {
    let own = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else { return Holder::Unknown };
    let processes = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let other = processes.filter(|pid| *pid != own).find(|pid| times_open(*pid, node) > 0);
    // We have it open ourselves, once, by asking; twice means that we are also the holder.
    let holder = other.or_else(|| (times_open(own, node) > 1).then_some(own));
    holder.map_or(Holder::Unknown, |pid| Holder::Program { pid, name: name(pid) })
}

/// How many descriptors of a process are this node; 0 where that may not be known.
fn times_open(pid: u32, node: &Path) -> usize {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    descriptors.flatten().filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == node)).count()
}

fn name(pid: u32) -> String {
    cleaned(&fs::read(format!("/proc/{pid}/comm")).unwrap_or_default())
}

/// A program may call itself anything, and this is for logs and terminals: what is no plain character is replaced.
fn cleaned(name: &[u8]) -> String {
    let plain = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => char::REPLACEMENT_CHARACTER,
    };
    let name: String = name.trim_ascii().iter().take(LONGEST_NAME).map(plain).collect();
    if name.is_empty() { "a program".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_printer_is_in_use_where_the_drivers_count_says_so() {
        for (text, is_open) in [("0\n", false), ("1\n", true), ("12", true), ("-1", false), ("", false)] {
            assert_eq!(counts(text), is_open, "{text:?}");
        }
    }

    #[test]
    fn a_program_that_has_the_node_open_twice_is_itself_the_holder() {
        let path = std::env::current_exe().expect("a test has a file");
        let path = path.canonicalize().expect("it is there");
        let first = File::open(&path).expect("it can be read");
        assert_eq!(program(&path), Holder::Unknown, "once is only our own asking");
        let second = File::open(&path).expect("it can be read");
        match program(&path) {
            Holder::Program { pid, name } => {
                assert_eq!(pid, std::process::id());
                assert!(!name.is_empty());
            }
            other => panic!("{other:?}"),
        }
        drop((first, second));
    }

    #[test]
    fn a_holders_name_forges_no_lines_and_commands_no_terminal() {
        assert_eq!(cleaned(b"scanimage\n"), "scanimage");
        assert_eq!(cleaned(b"a\nb\x1b[2J\x07\n"), "a\u{fffd}b\u{fffd}[2J\u{fffd}");
        assert_eq!(cleaned("\u{202e}".as_bytes()), "\u{fffd}".repeat(3));
        assert_eq!(cleaned(&[b'x'; 99]).len(), LONGEST_NAME);
        assert_eq!((cleaned(b""), cleaned(b" \n")), ("a program".to_owned(), "a program".to_owned()));
    }

    #[test]
    fn another_program_that_has_the_node_open_is_found_and_named() {
        let folder = std::env::temp_dir().join(format!("usbscan-holder-{}", std::process::id()));
        let path = folder.as_path();
        std::fs::write(path, "as a node").expect("a file");
        let script = "exec 3<\"$0\"; printf 'a\\033\\nERR' >/proc/$$/comm; echo; read end";
        let mut holding = std::process::Command::new("sh")
            .args(["-c", script])
            .arg(path)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut ready = [0];
        std::io::Read::read_exact(holding.stdout.as_mut().expect("piped"), &mut ready).expect("it has it open");
        let found = program(path);
        drop(holding.stdin.take());
        holding.wait().expect("it ends");
        std::fs::remove_file(path).expect("it is ours");
        assert_eq!(found, Holder::Program { pid: holding.id(), name: "a\u{fffd}\u{fffd}ERR".to_owned() });
        assert_eq!(
            usbscan_usb::ErrorKind::Busy(found).to_string(),
            format!("in use by {} (pid {})", "a\u{fffd}\u{fffd}ERR", holding.id())
        );
    }
}

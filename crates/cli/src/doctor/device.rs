//! Checks the USB devices that are or may be scanners, from sysfs and udev.

use usbscan_daemon::quirks::{Backend, Protocol};
use usbscan_wire::DeviceEntry;

use super::finding::Finding;
use super::holder::Holder;
use super::host::Host;
use super::ipp_usb;
use super::sane;
use super::user;

const DEVICES: &str = "/sys/bus/usb/devices";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Port path: `1-2.4`.
    pub port: String,
    /// `04b8:0151`.
    pub id: String,
    /// Manufacturer and product strings; the id where the device has none.
    pub label: String,
    /// What ipp-usb calls it.
    pub model: String,
    /// Bus number and device address: `001/007`.
    pub address: String,
    /// Mbit/s, as in sysfs: `480`.
    pub speed: String,
    /// `bcdUSB` in hundredths: 200 for 2.00.
    pub usb_version: u32,
    /// `power/control`: `on` or `auto`.
    pub power: String,
    pub interfaces: Vec<Interface>,
    /// Whether the udev rules have matched it.
    pub matched: bool,
    /// What it speaks, as udev has it from the model table.
    pub protocol: Option<Protocol>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// `bInterfaceNumber`.
    pub number: u8,
    /// Class, subclass and protocol: `060101`.
    pub class: String,
    /// The kernel driver bound to it.
    pub driver: Option<String>,
}

impl Interface {
    /// IPP over USB (7/1/4).
    fn is_driverless(&self) -> bool {
        self.class == "070104"
    }

    /// That, or Still Image (6/1/1), which is the class of cameras too.
    fn may_be_a_scanner(&self) -> bool {
        self.is_driverless() || self.class == "060101"
    }

    fn is_vendor_specific(&self) -> bool {
        self.class.starts_with("ff")
    }

    /// `0 (ff/ff/ff): usbfs`.
    fn describe(&self) -> String {
        let triple: Vec<&str> = [0..2, 2..4, 4..6].into_iter().filter_map(|two| self.class.get(two)).collect();
        format!("{} ({}): {}", self.number, triple.join("/"), self.driver.as_deref().unwrap_or("no driver"))
    }
}

impl Device {
    pub fn node(&self) -> String {
        format!("/dev/bus/usb/{}", self.address)
    }

    fn is_candidate(&self, daemons: &[DeviceEntry]) -> bool {
        self.matched || self.entry(daemons).is_some() || self.interfaces.iter().any(Interface::is_driverless)
    }

    /// The backend of SANE's that drives it where no driver of ours does: as the daemon says, or where it doesn't answer, udev.
    fn backend(&self, daemons: &[DeviceEntry]) -> Option<Backend> {
        let of_word = |word: &str| match word.parse() {
            Ok(Protocol::Sane(backend)) => Some(backend),
            _ => None,
        };
        match self.entry(daemons) {
            Some(entry) if entry.drivers.is_empty() => of_word(&entry.protocol),
            Some(entry) => {
                let backends: Option<Vec<Backend>> = entry.drivers.iter().map(|way| of_word(&way.driver)).collect();
                backends?.first().copied()
            }
            None if self.interfaces.iter().any(Interface::is_driverless) => None,
            None => of_word(&self.protocol?.to_string()),
        }
    }

    /// The daemon's entry of it.
    fn entry<'a>(&self, daemons: &'a [DeviceEntry]) -> Option<&'a DeviceEntry> {
        let address = self.address.replace('/', ":");
        daemons.iter().find(|entry| entry.bus != "virtual" && entry.address == address)
    }
}

/// All devices except hubs, by port.
pub fn devices(host: &Host) -> Vec<Device> {
    let names = host.names(DEVICES);
    let devices = names.iter().filter(|name| !name.contains(':') && !name.starts_with("usb"));
    devices.filter_map(|name| device(host, name, &names)).collect()
}

fn device(host: &Host, port: &str, names: &[String]) -> Option<Device> {
    let of = |file: &str| host.read(format!("{DEVICES}/{port}/{file}"));
    if of("bDeviceClass")? == "09" {
        return None;
    }
    let id = format!("{}:{}", of("idVendor")?, of("idProduct")?);
    let (bus, number): (u32, u32) = (of("busnum")?.parse().ok()?, of("devnum")?.parse().ok()?);
    let words: Vec<String> = [of("manufacturer"), of("product")].into_iter().flatten().collect();
    let model = ipp_usb::model(&of("manufacturer").unwrap_or_default(), &of("product").unwrap_or_default());
    let label = if words.is_empty() { id.clone() } else { words.join(" ") };
    // usbfs nodes have major 189, and 128 minors per bus.
    let minor = bus.checked_sub(1)?.checked_mul(128)?.checked_add(number.checked_sub(1)?)?;
    let recorded = host.read(format!("/run/udev/data/c189:{minor}")).unwrap_or_default();
    Some(Device {
        port: port.to_owned(),
        id,
        label,
        model,
        address: format!("{bus:03}/{number:03}"),
        speed: of("speed").unwrap_or_default(),
        usb_version: hundredths(&of("version").unwrap_or_default()),
        power: of("power/control").unwrap_or_default(),
        interfaces: names.iter().filter_map(|name| interface(host, port, name)).collect(),
        matched: recorded.lines().any(|line| line == "E:USBSCAN_MATCHED=yes"),
        protocol: recorded.lines().find_map(|line| line.strip_prefix("E:USBSCAN_PROTOCOL=")?.parse().ok()),
    })
}

fn hundredths(version: &str) -> u32 {
    version.replace('.', "").trim().parse().unwrap_or(0)
}

/// `1-2:1.0` is an interface of `1-2`.
fn interface(host: &Host, port: &str, name: &str) -> Option<Interface> {
    name.strip_prefix(port)?.strip_prefix(':')?;
    let of = |file: &str| host.read(format!("{DEVICES}/{name}/{file}"));
    Some(Interface {
        number: u8::from_str_radix(&of("bInterfaceNumber")?, 16).ok()?,
        class: format!("{}{}{}", of("bInterfaceClass")?, of("bInterfaceSubClass")?, of("bInterfaceProtocol")?),
        driver: host.link_name(format!("{DEVICES}/{name}/driver")),
    })
}

/// `daemons`: the daemon's list, if it answered. `holders`: the processes that have a device's node open.
pub fn findings(
    host: &Host,
    devices: &[Device],
    daemons: Option<&[DeviceEntry]>,
    holders: impl Fn(&Device) -> Vec<Holder>,
) -> Vec<Finding> {
    let listed = daemons.unwrap_or_default();
    let candidates: Vec<&Device> = devices.iter().filter(|device| device.is_candidate(listed)).collect();
    if candidates.is_empty() {
        let text = match devices.len() {
            0 => "no USB devices except hubs: plug the scanner in, switch it on, and try another cable or port"
                .to_owned(),
            count => format!(
                "none of the {count} USB devices is a known scanner; to add a model, see MODELS in usbscand.toml(5)"
            ),
        };
        return vec![Finding::problem("devices", text).with_details("lsusb")];
    }
    let of_each = candidates.into_iter().flat_map(|device| {
        let mut found = vec![of_link(device)];
        found.extend(daemons.and_then(|listed| of_daemon(host, device, device.entry(listed))));
        found.extend(of_interfaces(device));
        found.extend(of_holders(device, &holders(device)));
        found.extend(of_power(device));
        found.extend(device.backend(listed).map(|backend| sane::of_backend(host, &check(device), backend)));
        if host.path(ipp_usb::file(&device.id)).exists() {
            found.push(ipp_usb::leaves_it(&check(device), &device.id));
        }
        found
    });
    of_each.collect()
}

fn check(device: &Device) -> String {
    format!("device {}", device.port)
}

fn of_link(device: &Device) -> Finding {
    let Device { label, id, speed, .. } = device;
    let slow = device.usb_version >= 200 && ["1.5", "12"].contains(&speed.as_str());
    let text = format!("{label} ({id}) at {speed} Mbit/s");
    match slow {
        true => Finding::note(&check(device), format!("{text}, although it supports USB 2: try another port or cable")),
        false => Finding::ok(&check(device), text),
    }
}

fn of_daemon(host: &Host, device: &Device, entry: Option<&DeviceEntry>) -> Option<Finding> {
    let check = check(device);
    let reload = "sudo udevadm trigger --action=change --subsystem-match=usb";
    match entry {
        None => Some(
            Finding::problem(&check, "usbscand does not list it; see its log")
                .with_fix("sudo systemctl restart usbscand.service"),
        ),
        Some(entry) if entry.unresponsive => {
            let why = entry.problem.clone().unwrap_or_else(|| "the scanner does not respond".to_owned());
            Some(Finding::problem(&check, why))
        }
        Some(entry) if entry.accessible => None,
        Some(entry) => {
            let why = entry.problem.clone().unwrap_or_else(|| "usbscand may not open it".to_owned());
            let rights = host.rights(device.node());
            let rights =
                rights.map(|found| format!(" ({:04o}, group {})", found.mode, user::group_name(host, found.group)));
            let text = format!("{}{}: {why}", device.node(), rights.unwrap_or_default());
            Some(Finding::problem(&check, text).with_fix(reload))
        }
    }
}

/// The kernel driver of each interface, and a note where one is bound to a scanner interface. The printer interface of an
/// all-in-one may have its driver.
fn of_interfaces(device: &Device) -> Vec<Finding> {
    let words: Vec<String> = device.interfaces.iter().map(Interface::describe).collect();
    let all = Finding::ok(&check(device), format!("kernel drivers by interface: {}", words.join(", ")));
    let scanner = |interface: &&Interface| {
        device.interfaces.len() == 1 || interface.may_be_a_scanner() || interface.is_vendor_specific()
    };
    let taken = device.interfaces.iter().filter(scanner).filter_map(|interface| {
        let driver = interface.driver.as_deref().filter(|driver| *driver != "usbfs")?;
        let text = format!(
            "kernel driver {driver} is bound to interface {}; usbscand detaches it while the scanner is in use",
            interface.number
        );
        Some(Finding::note(&check(device), text))
    });
    std::iter::once(all).chain(taken).collect()
}

fn of_holders(device: &Device, holders: &[Holder]) -> Vec<Finding> {
    let others: Vec<&Holder> = holders.iter().filter(|holder| holder.program != "usbscand").collect();
    let check = check(device);
    if let Some(holder) = others.iter().find(|holder| holder.program == ipp_usb::PROGRAM) {
        return ipp_usb::has_it(&check, holder, &device.id, &device.model);
    }
    if let Some(Holder { pid, program }) = others.first() {
        let text = format!("{program} (pid {pid}) has the device open; usbscand can use it when that program ends");
        return vec![Finding::problem(&check, text).with_fix(format!("kill {pid}"))];
    }
    let claimed = device.interfaces.iter().any(|interface| interface.driver.as_deref() == Some("usbfs"));
    if claimed && holders.is_empty() {
        let text = "a process of another user has claimed it, perhaps usbscand; root can see which";
        return vec![Finding::note(&check, text).with_details("sudo usbscan doctor")];
    }
    Vec::new()
}

fn of_power(device: &Device) -> Option<Finding> {
    (device.power == "auto").then(|| {
        let text = "autosuspend is enabled, and many scanners lose their state when suspended";
        let command = format!("echo on | sudo tee {DEVICES}/{}/power/control", device.port);
        Finding::note(&check(device), text).with_fix(command)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::super::finding::Level;
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    /// A machine with a hub, and an Epson scanner at 1-1 with one interface of this class.
    fn machine(class: [&str; 3]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "/sys/bus/usb/devices/1-2/bDeviceClass", "09");
        let files = [
            ("bDeviceClass", "00"),
            ("idVendor", "04b8"),
            ("idProduct", "0151"),
            ("busnum", "1"),
            ("devnum", "7"),
            ("product", "GT-X980"),
            ("speed", "480"),
            ("version", " 2.00"),
            ("power/control", "on"),
        ];
        for (name, text) in files {
            put(root.path(), &format!("{DEVICES}/1-1/{name}"), text);
        }
        put_interface(root.path(), "00", class);
        root
    }

    fn put_interface(root: &Path, number: &str, class: [&str; 3]) {
        let names = ["bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol"];
        for (name, text) in names.into_iter().zip(class).chain([("bInterfaceNumber", number)]) {
            put(root, &format!("{DEVICES}/1-1:1.{}/{name}", number.parse::<u8>().unwrap()), text);
        }
    }

    fn bind(root: &Path, driver: &str, interface: u8) {
        let link = root.join(format!("sys/bus/usb/devices/1-1:1.{interface}/driver"));
        symlink(format!("../drivers/{driver}"), link).unwrap();
    }

    fn found(root: &Path, daemons: Option<&[DeviceEntry]>, holders: Vec<Holder>) -> Vec<Finding> {
        let host = Host::at(root);
        findings(&host, &devices(&host), daemons, |_| holders.clone())
    }

    #[test]
    fn a_device_is_read_with_its_interfaces_and_a_hub_is_skipped() {
        let root = machine(["07", "01", "04"]);
        let all = devices(&Host::at(root.path()));
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].id.as_str(), all[0].address.as_str(), all[0].usb_version), ("04b8:0151", "001/007", 200));
        assert_eq!(all[0].interfaces[0].class, "070104");
        assert_eq!(all[0].node(), "/dev/bus/usb/001/007");
    }

    #[test]
    fn a_vendor_specific_device_is_a_scanner_only_if_the_udev_rules_match() {
        let root = machine(["ff", "ff", "ff"]);
        assert_eq!(found(root.path(), None, vec![])[0].check, "devices");
        put(root.path(), "/run/udev/data/c189:6", "I:123\nE:USBSCAN_MATCHED=yes");
        let findings = found(root.path(), None, vec![]);
        assert_eq!((findings[0].check.as_str(), findings[0].level), ("device 1-1", Level::Ok));
    }

    #[test]
    fn the_process_that_has_it_open_is_named_with_the_command_that_ends_it() {
        let root = machine(["07", "01", "04"]);
        let findings = found(root.path(), None, vec![Holder { pid: 42, program: "scanimage".to_owned() }]);
        let holder = findings.iter().find(|finding| finding.level == Level::Problem).unwrap();
        assert!(holder.text.contains("scanimage (pid 42)"), "{holder:?}");
        assert_eq!(holder.fix.as_deref(), Some("kill 42"));
        let ours = found(root.path(), None, vec![Holder { pid: 7, program: "usbscand".to_owned() }]);
        assert!(ours.iter().all(|finding| finding.level == Level::Ok), "{ours:?}");
    }

    #[test]
    fn a_device_that_ipp_usb_has_is_left_to_us_by_a_file_of_its_own_and_given_back_by_its_removal() {
        let root = machine(["07", "01", "04"]);
        put(root.path(), &format!("{DEVICES}/1-1/manufacturer"), "Acme");
        let holder = Holder { pid: 42, program: "ipp-usb".to_owned() };
        let findings = found(root.path(), None, vec![holder]);
        let problem = findings.iter().find(|finding| finding.level == Level::Problem).unwrap();
        let fix = problem.fix.as_deref().unwrap();
        assert!(fix.contains("'Acme GT-X980' | sudo tee /etc/ipp-usb/quirks/usbscan-04b8-0151.conf"), "{fix}");
        assert!(!fix.contains("kill"));
        let undo = "sudo rm /etc/ipp-usb/quirks/usbscan-04b8-0151.conf && sudo systemctl restart ipp-usb";
        assert!(findings.iter().any(|finding| finding.details.as_deref() == Some(undo)));
        put(root.path(), "/etc/ipp-usb/quirks/usbscan-04b8-0151.conf", "[Acme GT-X980]");
        let free = found(root.path(), None, vec![]);
        assert!(free.iter().any(|finding| finding.details.as_deref() == Some(undo)), "{free:?}");
    }

    #[test]
    fn a_kernel_driver_is_named() {
        let root = machine(["07", "01", "04"]);
        bind(root.path(), "usblp", 0);
        let findings = found(root.path(), None, vec![]);
        assert!(findings.iter().any(|finding| finding.text.contains("usblp")), "{findings:?}");
    }

    #[test]
    fn every_interface_is_shown_with_its_driver_and_a_printer_driver_is_no_problem() {
        let root = machine(["ff", "ff", "ff"]);
        put_interface(root.path(), "01", ["07", "01", "02"]);
        put(root.path(), "/run/udev/data/c189:6", "E:USBSCAN_MATCHED=yes");
        bind(root.path(), "usblp", 1);
        let found_with_usblp = found(root.path(), None, vec![]);
        let text = "kernel drivers by interface: 0 (ff/ff/ff): no driver, 1 (07/01/02): usblp";
        assert!(found_with_usblp.iter().any(|finding| finding.text == text), "{found_with_usblp:?}");
        assert!(found_with_usblp.iter().all(|finding| finding.level == Level::Ok), "{found_with_usblp:?}");
        bind(root.path(), "usbserial_generic", 0);
        let notes = found(root.path(), None, vec![]).into_iter().filter(|finding| finding.level == Level::Note);
        let texts: Vec<String> = notes.map(|finding| finding.text).collect();
        assert!(texts.len() == 1 && texts[0].contains("usbserial_generic is bound to interface 0"), "{texts:?}");
    }

    #[test]
    fn a_scanner_that_only_sane_drives_is_told_from_one_with_a_driver_of_ours() {
        let root = machine(["ff", "ff", "ff"]);
        put(root.path(), "/run/udev/data/c189:6", "E:USBSCAN_PROTOCOL=sane:genesys\nE:USBSCAN_MATCHED=yes");
        let about = |daemons: Option<&[DeviceEntry]>| {
            let findings = found(root.path(), daemons, vec![]);
            findings.into_iter().find(|finding| finding.text.starts_with("SANE drives it")).map(|finding| finding.text)
        };
        assert!(about(None).unwrap().contains("genesys"), "udev says so");
        let entry = |protocol: &str, drivers: &[&str]| -> [DeviceEntry; 1] {
            let ways: Vec<_> =
                drivers.iter().map(|driver| serde_json::json!({"driver": driver, "interface": 0})).collect();
            let entry = serde_json::json!({
                "name": "usbscan0", "stable-id": "usb-1", "vendor-id": 1, "product-id": 2, "port": "1-1",
                "address": "001:007", "speed": "480 Mbit/s", "interface": 0, "bus": "libusb", "protocol": protocol,
                "drivers": ways, "accessible": true,
            });
            [serde_json::from_value(entry).unwrap()]
        };
        assert!(about(Some(&entry("sane:pixma", &[]))).unwrap().contains("pixma"), "the daemon knows better");
        assert_eq!(about(Some(&entry("esci", &[]))), None);
        assert_eq!(about(Some(&entry("sane:pixma", &["escl", "sane:pixma"]))), None, "eSCL is ours");
    }

    #[test]
    fn a_scanner_that_the_daemon_does_not_list_is_a_problem() {
        let root = machine(["07", "01", "04"]);
        assert!(found(root.path(), Some(&[]), vec![]).iter().any(|finding| finding.level == Level::Problem));
    }

    #[test]
    fn a_slow_link_and_autosuspend_are_noted() {
        let root = machine(["07", "01", "04"]);
        put(root.path(), &format!("{DEVICES}/1-1/speed"), "12");
        put(root.path(), &format!("{DEVICES}/1-1/power/control"), "auto");
        let notes = found(root.path(), None, vec![]).into_iter().filter(|finding| finding.level == Level::Note);
        assert_eq!(notes.count(), 2);
    }

    #[test]
    fn a_camera_is_no_scanner_unless_the_udev_rules_say_so() {
        let root = machine(["06", "01", "01"]);
        assert_eq!(found(root.path(), None, vec![])[0].check, "devices");
        put(root.path(), "/run/udev/data/c189:6", "I:123\nE:USBSCAN_MATCHED=yes");
        assert_eq!(found(root.path(), None, vec![])[0].check, "device 1-1");
    }
}

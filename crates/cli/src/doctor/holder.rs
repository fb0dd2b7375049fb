//! Finds the processes that have a device node open, in /proc. Only root sees those of other users.

use std::path::Path;

use super::host::Host;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    pub program: String,
}

/// Processes that have `node` open, as far as this user may see them.
pub fn holders(host: &Host, node: &str) -> Vec<Holder> {
    let processes = host.names("/proc").into_iter().filter_map(|name| name.parse::<u32>().ok());
    let open = processes.filter(|pid| has_open(host, *pid, Path::new(node)));
    open.map(|pid| Holder { pid, program: program(host, pid) }).collect()
}

fn has_open(host: &Host, pid: u32, node: &Path) -> bool {
    let folder = format!("/proc/{pid}/fd");
    host.names(&folder).iter().any(|name| host.link(format!("{folder}/{name}")).is_some_and(|target| target == node))
}

fn program(host: &Host, pid: u32) -> String {
    let name = host.read(format!("/proc/{pid}/comm")).unwrap_or_default();
    // Any program may call itself anything, and this goes to a terminal.
    let name = usbscan_wire::printable(&name, 16);
    if name.is_empty() { "a program".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_process_with_the_node_open_is_found_by_name() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("proc/42/fd");
        fs::create_dir_all(&folder).unwrap();
        symlink("/dev/bus/usb/001/007", folder.join("5")).unwrap();
        fs::write(root.path().join("proc/42/comm"), "scanimage\n").unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        let host = Host::at(root.path());
        assert_eq!(holders(&host, "/dev/bus/usb/001/007"), [Holder { pid: 42, program: "scanimage".to_owned() }]);
        assert_eq!(holders(&host, "/dev/bus/usb/001/008"), []);
    }
}

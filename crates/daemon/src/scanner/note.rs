//! What a driver leaves for whoever opens the scanner next: the name of a job that may outlive its program. Kept in a file as well,
//! where the daemon has a folder for that, so that it outlives the daemon too. The text is the driver's; nobody here reads it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use usbscan_usb::DeviceInfo;

/// More than any note takes, all of it escaped.
const LONGEST_FILE: u64 = 16 * 1024;

/// Changes whenever the machine is booted. Where it may not be read, a folder in memory does as well.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A scanner's.
#[derive(Debug, Default)]
pub(crate) struct Note {
    text: Mutex<String>,
    folder: Option<PathBuf>,
}

/// A note, and whose it is. With another scanner, at another address or in another boot it is void.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    stable_id: String,
    bus: u8,
    address: u8,
    boot: String,
    note: String,
}

impl Stored {
    fn new(info: &DeviceInfo, stable_id: &str, note: &str) -> Stored {
        Stored {
            stable_id: stable_id.to_owned(),
            bus: info.location.bus,
            address: info.location.address,
            boot: fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned(),
            note: note.to_owned(),
        }
    }
}

impl Note {
    /// With what a daemon before this one has kept in that folder for this scanner.
    pub fn load(folder: Option<PathBuf>, info: &DeviceInfo, stable_id: &str) -> Note {
        let stored = folder.as_deref().and_then(|folder| read(&path(folder, stable_id)));
        let own = Stored::new(info, stable_id, "");
        let kept = stored.filter(|stored| Stored { note: String::new(), ..stored.clone() } == own);
        Note { text: Mutex::new(kept.map(|stored| stored.note).unwrap_or_default()), folder }
    }

    /// What there is.
    pub fn text(&self) -> Option<String> {
        Some(self.text.lock().clone()).filter(|text| !text.is_empty())
    }

    /// Another one, or none.
    pub fn set(&self, note: String, info: &DeviceInfo, stable_id: &str) {
        // Held until the file says the same: of two sessions the last one counts in both places.
        let mut text = self.text.lock();
        if let Some(folder) = self.folder.as_deref().filter(|_| *text != note) {
            let path = path(folder, stable_id);
            let kept = if note.is_empty() { remove(&path) } else { write(&path, &Stored::new(info, stable_id, &note)) };
            if let Err(error) = kept {
                log::warn!("{}: {error}", path.display());
            }
        }
        *text = note;
    }
}

fn path(folder: &Path, stable_id: &str) -> PathBuf {
    let name: String = stable_id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    folder.join(format!("{name}.note"))
}

fn read(path: &Path) -> Option<Stored> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(LONGEST_FILE).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// All of it or nothing: the daemon may die at any moment.
fn write(path: &Path, stored: &Stored) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec(stored)?)?;
    fs::rename(new, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use usbscan_usb::Bus;

    use super::*;

    fn device() -> DeviceInfo {
        let bus = usbscan_virtual::VirtualBus::new();
        bus.plug_spec("loopback").expect("a model");
        bus.list().expect("a list").remove(0)
    }

    #[test]
    fn a_note_outlives_the_daemon_for_the_same_scanner_at_the_same_address_only() {
        let folder = tempfile::tempdir().unwrap();
        let load = |info: &DeviceInfo, id: &str| Note::load(Some(folder.path().to_owned()), info, id).text();
        let info = device();
        let note = Note::load(Some(folder.path().to_owned()), &info, "1209:0001/a b");
        assert_eq!(note.text(), None);
        note.set("job 7".to_owned(), &info, "1209:0001/a b");
        assert_eq!(load(&info, "1209:0001/a b").as_deref(), Some("job 7"));
        assert_eq!(load(&info, "1209:0001/a_b"), None, "of the same file");
        let mut moved = info.clone();
        moved.location.address += 1;
        assert_eq!(load(&moved, "1209:0001/a b"), None);
        note.set(String::new(), &info, "1209:0001/a b");
        assert_eq!((load(&info, "1209:0001/a b"), fs::read_dir(folder.path()).unwrap().count()), (None, 0));
    }

    #[test]
    fn a_file_that_is_none_is_no_note() {
        let folder = tempfile::tempdir().unwrap();
        let info = device();
        for bytes in [&b"{"[..], b"", b"null", &[0xff; 40_000]] {
            fs::write(path(folder.path(), "x"), bytes).unwrap();
            assert_eq!(Note::load(Some(folder.path().to_owned()), &info, "x").text(), None);
        }
    }
}

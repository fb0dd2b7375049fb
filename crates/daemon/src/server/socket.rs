//! Makes the socket with its final rights: there is no moment at which another user could connect. Before any thread.
//!
//! Beside the socket lies a lock file, held for as long as the daemon lives: of daemons that start at the same time one gets
//! the path, and none removes another's socket. The file stays when the daemon ends, since to remove it would let two hold a
//! lock of that name.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// What went wrong, and with which path.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A daemon listens there.
    #[error("{}: another usbscand listens there", path.display())]
    InUse { path: PathBuf },
    /// Something else is there.
    #[error("{}: something is there that is no socket", path.display())]
    NoSocket { path: PathBuf },
    /// The system said no.
    #[error("{tried} {}: {error}", path.display())]
    System { tried: &'static str, path: PathBuf, error: io::Error },
}

/// The right to have a socket at a path. Dropping it removes the socket, and lets the next daemon have the path.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    _lock: File,
}

impl SocketPath {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        // Ours: nobody else had the lock. Nobody can connect any more; a next daemon replaces it anyway.
        let _ = fs::remove_file(&self.path);
    }
}

/// Listens at `path`, with these permission bits and this group, if one of that name exists.
///
/// The socket is made in a folder that only this user can enter and is moved to its place when its rights are right;
/// so the process's umask, which all its threads share, is left alone.
///
/// # Errors
/// See [`SocketError`]. A socket on which nobody listens is replaced.
pub fn bind(path: &Path, mode: u32, group: &str) -> Result<(UnixListener, SocketPath), SocketError> {
    let system = |tried| move |error| SocketError::System { tried, path: path.to_owned(), error };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(system("make the folder of"))?;
    let lock = lock(path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => SocketError::InUse { path: path.to_owned() },
        _ => system("lock")(error),
    })?;
    make_way(path)?;
    let private = beside(path, ".new");
    // What a daemon left that was killed just here; nobody else uses that name while we have the lock.
    let _ = fs::remove_file(private.join("socket"));
    let _ = fs::remove_dir(&private);
    DirBuilder::new().mode(0o700).create(&private).map_err(system("make a private folder beside"))?;
    let made = private.join("socket");
    let bound = bind_with_rights(&made, mode, group).and_then(|listener| {
        fs::rename(&made, path)?;
        Ok(listener)
    });
    // What is left of a failure.
    let _ = fs::remove_file(&made);
    let _ = fs::remove_dir(&private);
    Ok((bound.map_err(system("listen at"))?, SocketPath { path: path.to_owned(), _lock: lock }))
}

/// `.NAME` with this ending, in the folder of the file with that name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(ending);
    path.with_file_name(name)
}

/// The system lets it go when this process ends, however that is.
fn lock(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(beside(path, ".lock"))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

fn bind_with_rights(path: &Path, mode: u32, group: &str) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    if let Some(group) = group_id(group) {
        if let Err(error) = chown(path, None, Some(group)) {
            log::warn!("the socket's group stays this program's own: {error}");
        }
    }
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(listener)
}

/// A socket that a daemon left behind is in nobody's way; one on which something listens is, though it holds no lock.
fn make_way(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => Err(SocketError::NoSocket { path: path.to_owned() }),
        Ok(_) if UnixStream::connect(path).is_ok() => Err(SocketError::InUse { path: path.to_owned() }),
        _ => Ok(()),
    }
}

/// The number of a group, from /etc/group.
fn group_id(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_its_final_rights_and_only_its_lock_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/socket");
        let _bound = bind(&path, 0o660, "no-such-group").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let mut names: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".socket.lock", "socket"]);
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        // As one that was killed leaves it, half-made folder included.
        drop(UnixListener::bind(&path).unwrap());
        fs::create_dir(folder.path().join(".socket.new")).unwrap();
        drop(UnixListener::bind(folder.path().join(".socket.new/socket")).unwrap());
        let _bound = bind(&path, 0o600, "").unwrap();
        assert!(matches!(bind(&path, 0o600, ""), Err(SocketError::InUse { .. })));
    }

    #[test]
    fn what_listens_there_without_a_lock_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        assert!(matches!(bind(&path, 0o600, ""), Err(SocketError::InUse { .. })));
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn of_many_that_start_at_once_one_has_the_path_and_the_others_end_leaves_it_alone() {
        for _ in 0..40 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("socket");
            let tries: Vec<_> = std::thread::scope(|scope| {
                let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| bind(&path, 0o600, ""))).collect();
                tries.into_iter().map(|one| one.join().unwrap()).collect()
            });
            let (bound, refused): (Vec<_>, Vec<_>) = tries.into_iter().partition(Result::is_ok);
            assert_eq!(bound.len(), 1);
            assert!(refused.iter().all(|one| matches!(one, Err(SocketError::InUse { .. }))), "{refused:?}");
            drop(refused);
            assert!(UnixStream::connect(&path).is_ok());
            drop(bound);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_file_in_its_place_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(bind(&path, 0o600, ""), Err(SocketError::NoSocket { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}

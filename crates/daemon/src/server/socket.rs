//! Makes the socket with its final rights: there is no moment at which somebody else could connect. Before any thread.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

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

/// Listens at `path`, with these permission bits and this group, if one of that name exists.
///
/// The socket is made in a folder that only this user can enter and is moved to its place when its rights are right;
/// so the process's umask, which all its threads share, is left alone.
///
/// # Errors
/// See [`SocketError`]. A socket on which nobody listens is replaced.
pub fn bind(path: &Path, mode: u32, group: &str) -> Result<UnixListener, SocketError> {
    let system = |tried| move |error| SocketError::System { tried, path: path.to_owned(), error };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(system("make the folder of"))?;
    make_way(path)?;
    let private = folder.join(format!(".usbscand-{}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&private).map_err(system("make a private folder beside"))?;
    let made = private.join("socket");
    let bound = bind_with_rights(&made, mode, group).and_then(|listener| {
        fs::rename(&made, path)?;
        Ok(listener)
    });
    // What is left of a failure.
    let _ = fs::remove_file(&made);
    let _ = fs::remove_dir(&private);
    bound.map_err(system("listen at"))
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

/// A socket that a daemon left behind is in nobody's way; one on which a daemon listens is.
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
    fn a_socket_has_its_final_rights_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/socket");
        let _listener = bind(&path, 0o660, "no-such-group").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(bind(&path, 0o600, "").unwrap());
        let _listener = bind(&path, 0o600, "").unwrap();
        assert!(matches!(bind(&path, 0o600, ""), Err(SocketError::InUse { .. })));
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

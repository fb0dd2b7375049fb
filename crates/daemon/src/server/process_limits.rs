//! What the system lets this process have, beside what `[limits]` of the configuration may want: descriptors and threads.
//! Checked at the start, in words; a connection for which there is no thread would hang in silence.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Limits;

/// A connection's socket, three times (who reads, who writes, who looks whether it hung up), and its shared memory.
const DESCRIPTORS_OF_A_CONNECTION: u64 = 4;
/// A connection's reader and writer.
const THREADS_OF_A_CONNECTION: u64 = 2;
/// What the daemon needs besides: its sockets, and some scanners with their pipes.
const OTHERS: u64 = 128;

/// The process can't hold what the configuration allows.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProcessLimitError {
    #[error(
        "limits.connections = {connections} takes {needed} descriptors, and this process may have {there}: lower it, or raise \
         LimitNOFILE= (ulimit -Hn)"
    )]
    Descriptors { connections: usize, needed: u64, there: u64 },
    #[error(
        "limits.connections = {connections} takes {needed} threads, and {} allows {there}: lower it, or raise TasksMax=",
        place.display()
    )]
    Threads { connections: usize, needed: u64, there: u64, place: PathBuf },
}

/// Raises the limit of descriptors as far as it has to be and may be, and looks whether what is left is enough.
///
/// # Errors
/// See [`ProcessLimitError`].
pub fn check(limits: &Limits) -> Result<(), ProcessLimitError> {
    let connections = limits.connections;
    let needed = connections as u64 * DESCRIPTORS_OF_A_CONNECTION + OTHERS;
    raise_descriptors(needed);
    match getrlimit(Resource::Nofile).current {
        Some(there) if there < needed => return Err(ProcessLimitError::Descriptors { connections, needed, there }),
        _ => {}
    }
    let needed = connections as u64 * THREADS_OF_A_CONNECTION + OTHERS;
    match fewest_tasks() {
        Some((there, place)) if there < needed => Err(ProcessLimitError::Threads { connections, needed, there, place }),
        _ => Ok(()),
    }
}

fn raise_descriptors(needed: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < needed) {
        let wanted = maximum.map_or(needed, |maximum| maximum.min(needed));
        // What is not allowed shows when the limit is read again.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

/// The smallest `pids.max` of this process's control group and those above it, and where it stands.
fn fewest_tasks() -> Option<(u64, PathBuf)> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let folders = Path::new(group).ancestors().map(|folder| root.join(folder));
    let limits = folders.filter_map(|folder| {
        let place = folder.join("pids.max");
        Some((fs::read_to_string(&place).ok()?.trim().parse().ok()?, place))
    });
    limits.min_by_key(|(most, _)| *most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_fits_and_more_than_the_system_allows_is_refused_in_words() {
        assert_eq!(check(&Limits::default()), Ok(()));
        let error = check(&Limits { connections: usize::MAX / 8, ..Limits::default() }).unwrap_err().to_string();
        assert!(error.contains("limits.connections = ") && error.contains("LimitNOFILE"), "{error}");
    }
}

//! The configuration: /etc/usbscan/usbscand.toml and the command line, understood and checked before anything starts.
//! Everything that can grow has its number here, with the reason.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub mod action;
pub mod check;
mod escl;
pub mod file;
pub mod models;
pub mod protocol;

use parking_lot::RwLock;
use serde::Deserialize;
use usbscan_wire::{CLIENT_HEADER_LIMIT, MAX_SETTLE_MS, PAYLOAD_LIMIT, Peer};

use crate::config::action::{Action, Actions};
use crate::config::file::FileError;
use crate::config::models::{QuirkError, ResetPolicy, Table};

/// Where the configuration is, unless the command line says otherwise.
pub const FILE: &str = "/etc/usbscan/usbscand.toml";
/// Where the socket is, unless the configuration says otherwise.
pub const SOCKET: &str = "/run/usbscan/usbscand.sock";
/// Where the administrator's model tables are.
pub const MODELS: &str = "/etc/usbscan/quirks.d";

/// The most that there may be of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Requests that have no answer on the socket yet.
    pub requests: u32,
    /// Their bytes: of payloads that came, and of those that were asked for; and of shared memory.
    pub bytes: u64,
}

/// The most connections that there may be, but for the reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    pub all: usize,
    pub per_user: usize,
}

/// When scanners are claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// From the first session until some time after the last: whoever uses the scanner directly can go on doing so.
    #[default]
    OnUse,
    /// From arrival on, as usbscan.sys does.
    Always,
}

/// Whose requests and jobs a client's cancels and resets may end, besides its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CancelPolicy {
    /// Anybody's, as usbscan.sys has it: whoever stands at a scanner can stop it.
    #[default]
    Anyone,
    /// Those of its own user. Root may end anybody's.
    SameUser,
}

impl CancelPolicy {
    /// Whether a client may end what another has under way. One whose user is unknown is another user to everybody.
    pub(crate) fn allows(self, by: &Peer, of: &Peer) -> bool {
        self == CancelPolicy::Anyone || by.session == of.session || by.uid == Some(0) || by.is_same_user(of)
    }
}

/// Everything that can grow. See the reasons at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time. Each costs two threads; a machine has few scanners and few who use them.
    pub connections: usize,
    /// Those of one user, and never more than half of them, so that nobody has them all. Beyond these and those there is a
    /// reserve of eight for looking and cancelling.
    pub connections_per_user: usize,
    /// Requests outstanding on one connection. A driver reads some blocks ahead; hundreds are a flood.
    pub requests: u32,
    /// Bytes that one connection's outstanding requests may hold: eight of the longest.
    pub bytes: u64,
    /// Requests outstanding on all connections together: an eighth of what their own limits would add up to. Half of
    /// them belong to the connections in equal shares, so that greedy ones leave the others theirs.
    pub all_requests: u32,
    /// Bytes that they may hold: the daemon's memory is bounded by it. Shared out like the requests.
    pub all_bytes: u64,
    /// Captures at a time. Few debug scanners, and each may hold as much memory as the next says.
    pub captures: usize,
    /// Bytes that a capture holds which its client has not read yet; what comes then is counted, and not recorded.
    pub capture_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 64,
            connections_per_user: 32,
            requests: 256,
            bytes: 8 << 20,
            all_requests: 2048,
            all_bytes: 64 << 20,
            captures: 4,
            capture_bytes: 16 << 20,
        }
    }
}

/// What the daemon does. `Config::default()` is what an empty file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub socket: PathBuf,
    pub mode: u32,
    /// Its group; when none of that name exists, the daemon's own.
    pub group: String,
    /// When scanners are claimed.
    pub claim: Claim,
    /// Who may cancel what.
    pub cancel: CancelPolicy,
    /// When a recovery may reset a scanner's port, where its model says nothing.
    pub reset: ResetPolicy,
    /// How long recoveries may take.
    pub recovery: RecoveryTimes,
    /// How long a scanner stays claimed after the last session left it.
    pub idle: Duration,
    /// Transfers in flight at once on a pipe. With 1 the bus stands still from each one's end until two threads have woken
    /// up; with 4 it does not, however busy the machine (docs/performance.md).
    pub queue_depth: usize,
    /// Bytes of the longest transfer: by default those of the longest request, since the transfers of one request go one after
    /// another. The kernel's memory for transfers is 16 MiB for all programs together; where it is used up, shorter ones are
    /// tried.
    pub max_transfer_bytes: usize,
    /// A client whose socket is full for so long counts as dead.
    pub stall: Duration,
    /// How long a scanner must be unused before a program that only polls it gets the lock: longer than somebody takes between
    /// two commands that he types.
    pub unused: Duration,
    /// A connection of the reserve that asks for nothing for so long is ended: others may need its place.
    pub reserve_idle: Duration,
    /// How long the orderly end may take.
    pub stop: Duration,
    /// A daemon that systemd started for a client ends when nobody was connected for so long; `None`: never.
    pub exit_idle: Option<Duration>,
    pub models: Table,
    /// Where the notes of drivers are kept beyond this daemon: a folder that is empty after a boot. `None`: nowhere.
    pub notes: Option<PathBuf>,
    /// Commands for buttons, which `usbscan actions` runs.
    pub actions: Vec<Action>,
    /// Everything that can grow.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            socket: SOCKET.into(),
            mode: 0o660,
            group: "scanner".to_owned(),
            claim: Claim::OnUse,
            cancel: CancelPolicy::Anyone,
            idle: Duration::from_secs(5),
            queue_depth: 4,
            max_transfer_bytes: 1 << 20,
            stall: Duration::from_secs(60),
            unused: Duration::from_secs(5),
            reserve_idle: Duration::from_secs(30),
            reset: ResetPolicy::default(),
            recovery: RecoveryTimes::default(),
            stop: Duration::from_secs(15),
            exit_idle: None,
            models: Table::built_in(),
            notes: None,
            actions: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// How the scanner's pipes work unless its model says otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PipeDefaults {
    /// Transfers in flight at once on bulk-in.
    pub queue_depth: usize,
    /// Bytes of the longest transfer.
    pub max_transfer_bytes: usize,
}

/// How long recoveries may take (docs/architecture.md, "Recovery"). All of them count from the last byte that the scanner sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryTimes {
    /// Silence that counts against a scanner, where neither driver nor model say otherwise. A scanner that works answers
    /// a question in some milliseconds; what takes longer is a mechanism, and its driver knows.
    pub settle: Duration,
    /// The longest silence that a driver may ask for: a carriage has come home, a lamp is warm.
    pub longest_settle: Duration,
    /// What the whole may take after the settle time. `recovery_seconds` in the configuration.
    pub total: Duration,
    /// Silence that ends a drain; scanners send without longer pauses while they have something.
    pub drain_quiet: Duration,
    /// The longest that a drain goes on while bytes keep coming: a page at the highest resolution that a scanner sends out.
    pub longest_drain: Duration,
    /// A port reset that has not returned after so long never will.
    pub port_reset: Duration,
    /// So long may firmware say nothing after a port reset, where that is longer than the settle time; it is asked again meanwhile.
    pub start_up: Duration,
    /// A device that was reset has so long to be back at its port. Hubs debounce for 0.1 s, and firmware boots in seconds.
    pub return_to_port: Duration,
    /// What `open` may spend to find out whether an unresponsive scanner answers again.
    pub verify_at_open: Duration,
}

impl Default for RecoveryTimes {
    fn default() -> RecoveryTimes {
        RecoveryTimes {
            settle: Duration::from_secs(1),
            longest_settle: Duration::from_millis(MAX_SETTLE_MS as u64),
            total: Duration::from_secs(10),
            drain_quiet: Duration::from_millis(200),
            longest_drain: Duration::from_secs(180),
            port_reset: Duration::from_secs(5),
            start_up: Duration::from_secs(2),
            return_to_port: Duration::from_secs(10),
            verify_at_open: Duration::from_secs(1),
        }
    }
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A value that makes no sense.
    #[error("{}: {key} must be {expected}", path.display())]
    Value {
        path: PathBuf,
        key: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    #[error(transparent)]
    Models(#[from] QuirkError),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    socket: Option<PathBuf>,
    mode: Option<String>,
    group: Option<String>,
    claim: Option<Claim>,
    #[serde(default)]
    cancel: CancelPolicy,
    idle_seconds: Option<u64>,
    queue_depth: Option<usize>,
    max_transfer_bytes: Option<usize>,
    stall_seconds: Option<u64>,
    stop_seconds: Option<u64>,
    exit_idle_seconds: Option<u64>,
    recovery_seconds: Option<u64>,
    #[serde(default)]
    reset: ResetPolicy,
    models: Option<PathBuf>,
    #[serde(default)]
    action: Actions,
    #[serde(default)]
    limits: LimitsTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsTable {
    connections: Option<usize>,
    connections_per_user: Option<usize>,
    requests: Option<u32>,
    bytes: Option<u64>,
    all_requests: Option<u32>,
    all_bytes: Option<u64>,
    captures: Option<usize>,
    capture_bytes: Option<usize>,
}

impl Config {
    /// Reads the file, and the administrator's model tables. A missing file is an empty one, unless it was named.
    ///
    /// # Errors
    /// In words, with the file and what it should say.
    pub fn read(named: Option<&Path>) -> Result<Config, ConfigError> {
        let path = named.unwrap_or(Path::new(FILE));
        let text = match file::read(path) {
            Err(error) if named.is_none() && error.is_not_found() => String::new(),
            text => text?,
        };
        Config::parse(path, &text)
    }

    /// Understands what a file says, and reads the administrator's model tables. `path` is for what is said of it.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
        let file: File = file::parse(path, text)?;
        let mut config = Config::default();
        let models = file.models.clone();
        understand(file, &mut config).map_err(|(key, expected)| ConfigError::Value {
            path: path.to_owned(),
            key,
            expected,
        })?;
        config.models.add_folder(models.as_deref().unwrap_or(Path::new(MODELS)))?;
        Ok(config)
    }

    pub(crate) fn pipes(&self) -> PipeDefaults {
        PipeDefaults { queue_depth: self.queue_depth, max_transfer_bytes: self.max_transfer_bytes }
    }

    /// How long a scanner is kept after the last session left; `None`: for ever, and from arrival on.
    pub(crate) fn kept(&self) -> Option<Duration> {
        (self.claim == Claim::OnUse).then_some(self.idle)
    }

    pub(crate) fn each(&self) -> Amount {
        Amount { requests: self.limits.requests, bytes: self.limits.bytes }
    }

    pub(crate) fn all(&self) -> Amount {
        Amount { requests: self.limits.all_requests, bytes: self.limits.all_bytes }
    }

    pub(crate) fn connections(&self) -> ConnectionLimits {
        let all = self.limits.connections;
        ConnectionLimits { all, per_user: self.limits.connections_per_user.min((all / 2).max(1)) }
    }

    pub(crate) fn hello(&self) -> usbscan_wire::Limits {
        usbscan_wire::Limits {
            header: CLIENT_HEADER_LIMIT as u32,
            payload: PAYLOAD_LIMIT as u32,
            requests: self.limits.requests,
            bytes: self.limits.bytes,
        }
    }
}

/// What is configured now. A reload replaces it; whoever needs a part of it takes it when it begins something.
#[derive(Debug)]
pub(crate) struct Configured {
    now: RwLock<Arc<Config>>,
}

impl Configured {
    /// With what holds at the start.
    pub fn new(config: Config) -> Arc<Configured> {
        Arc::new(Configured { now: RwLock::new(Arc::new(config)) })
    }

    pub fn now(&self) -> Arc<Config> {
        self.now.read().clone()
    }

    /// What holds from now on.
    pub fn replace(&self, config: Config) {
        *self.now.write() = Arc::new(config);
    }
}

/// The key that makes no sense, and what it may be.
type Wrong = (&'static str, &'static str);

fn understand(file: File, config: &mut Config) -> Result<(), Wrong> {
    let seconds = |value: Option<u64>, key, most: u64, default: Duration| match value {
        None => Ok(default),
        Some(value) if (1..=most).contains(&value) => Ok(Duration::from_secs(value)),
        Some(_) => Err((key, "a number of seconds, from 1 to 3600")),
    };
    config.idle = seconds(file.idle_seconds, "idle_seconds", 3600, config.idle)?;
    config.stall = seconds(file.stall_seconds, "stall_seconds", 3600, config.stall)?;
    config.stop = seconds(file.stop_seconds, "stop_seconds", 3600, config.stop)?;
    config.recovery.total = seconds(file.recovery_seconds, "recovery_seconds", 60, config.recovery.total)
        .map_err(|(key, _)| (key, "a number of seconds, from 1 to 60"))?;
    config.reset = file.reset;
    config.exit_idle = match file.exit_idle_seconds {
        None | Some(0) => None,
        Some(value @ 1..=86_400) => Some(Duration::from_secs(value)),
        Some(_) => return Err(("exit_idle_seconds", "a number of seconds, from 0 (never) to 86400")),
    };
    config.socket = file.socket.unwrap_or(std::mem::take(&mut config.socket));
    config.group = file.group.unwrap_or(std::mem::take(&mut config.group));
    config.claim = file.claim.unwrap_or(config.claim);
    config.cancel = file.cancel;
    if let Some(mode) = file.mode {
        let octal = u32::from_str_radix(&mode, 8).ok().filter(|mode| *mode <= 0o777);
        config.mode = octal.ok_or(("mode", "permission bits in octal, such as \"0660\""))?;
    }
    config.actions = file.action.0;
    config.queue_depth = within(file.queue_depth, "queue_depth", 1..=16, "from 1 to 16", config.queue_depth)?;
    config.max_transfer_bytes = within(
        file.max_transfer_bytes,
        "max_transfer_bytes",
        16 << 10..=1 << 20,
        "from 16384 to 1048576 bytes",
        config.max_transfer_bytes,
    )?;
    let (table, limits) = (file.limits, &mut config.limits);
    limits.connections =
        within(table.connections, "limits.connections", 1..=4096, "from 1 to 4096", limits.connections)?;
    let per_user = table.connections_per_user;
    limits.connections_per_user =
        within(per_user, "limits.connections_per_user", 1..=4096, "from 1 to 4096", limits.connections_per_user)?;
    limits.requests = within(table.requests, "limits.requests", 1..=65536, "from 1 to 65536", limits.requests)?;
    let bytes = "from 1048576 (one whole payload) to 1099511627776";
    limits.bytes = within(table.bytes, "limits.bytes", 1 << 20..=1 << 40, bytes, limits.bytes)?;
    limits.all_requests =
        within(table.all_requests, "limits.all_requests", 1..=1 << 20, "from 1 to 1048576", limits.all_requests)?;
    limits.all_bytes = within(table.all_bytes, "limits.all_bytes", 1 << 20..=1 << 40, bytes, limits.all_bytes)?;
    limits.captures = within(table.captures, "limits.captures", 0..=64, "from 0 (none) to 64", limits.captures)?;
    let bytes = "from 65536 to 1073741824";
    limits.capture_bytes =
        within(table.capture_bytes, "limits.capture_bytes", 1 << 16..=1 << 30, bytes, limits.capture_bytes)?;
    Ok(())
}

fn within<T: PartialOrd>(
    value: Option<T>,
    key: &'static str,
    range: std::ops::RangeInclusive<T>,
    expected: &'static str,
    default: T,
) -> Result<T, Wrong> {
    match value {
        None => Ok(default),
        Some(value) if range.contains(&value) => Ok(value),
        Some(_) => Err((key, expected)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("test.toml"), &format!("models = \"/nonexistent\"\n{text}"))
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(parse("").unwrap(), Config::default());
    }

    #[test]
    fn every_key_is_understood() {
        let config = parse(
            "socket = \"/x\"\nmode = \"0600\"\ngroup = \"lp\"\nclaim = \"always\"\ncancel = \"same-user\"\nidle_seconds = 9\n\
             queue_depth = 4\nmax_transfer_bytes = 65536\nstall_seconds = 2\nstop_seconds = 3\n\
             exit_idle_seconds = 60\n[limits]\nconnections = 2\nconnections_per_user = 1\nrequests = 3\n\
             bytes = 2097152\nall_requests = 5\nall_bytes = 3145728\ncaptures = 6\ncapture_bytes = 65536",
        )
        .unwrap();
        assert_eq!((config.mode, config.claim, config.queue_depth), (0o600, Claim::Always, 4));
        assert_eq!((config.exit_idle, config.cancel), (Some(Duration::from_secs(60)), CancelPolicy::SameUser));
        let limits = Limits {
            connections: 2,
            connections_per_user: 1,
            requests: 3,
            bytes: 2 << 20,
            all_requests: 5,
            all_bytes: 3 << 20,
            captures: 6,
            capture_bytes: 65536,
        };
        assert_eq!(config.limits, limits);
    }

    #[test]
    fn with_same_user_only_that_user_and_root_may_cancel_and_nobody_who_is_unknown() {
        let peer = |session, uid| Peer { session, pid: None, uid, program: String::new() };
        let alice = peer(1, Some(1000));
        for (by, allowed) in [
            (peer(1, Some(1000)), true),
            (peer(2, Some(1000)), true),
            (peer(3, Some(1001)), false),
            (peer(4, None), false),
            (peer(5, Some(0)), true),
        ] {
            assert_eq!(CancelPolicy::SameUser.allows(&by, &alice), allowed, "{by:?}");
            assert!(CancelPolicy::Anyone.allows(&by, &alice));
        }
        assert!(!CancelPolicy::SameUser.allows(&peer(6, None), &peer(7, None)), "two unknown ones are not one user");
        assert!(CancelPolicy::SameUser.allows(&peer(6, None), &peer(6, None)), "but each is itself");
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = parse("sokcet = \"/x\"").unwrap_err().to_string();
        assert!(error.contains("test.toml") && error.contains("line 2") && error.contains("sokcet"), "{error}");
    }

    #[test]
    fn values_that_make_no_sense_are_refused_with_what_they_may_be() {
        for (text, part) in [
            ("mode = \"rw\"", "octal"),
            ("queue_depth = 0", "from 1 to 16"),
            ("max_transfer_bytes = 1", "16384"),
            ("idle_seconds = 0", "seconds"),
            ("exit_idle_seconds = 100000", "86400"),
            ("[limits]\nbytes = 5", "limits.bytes must be from 1048576"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        assert!(matches!(
            Config::read(Some(Path::new("/nonexistent"))),
            Err(ConfigError::File(FileError::Read { .. }))
        ));
    }
}

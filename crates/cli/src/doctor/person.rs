//! Who asks, and which groups they are in: by this session, and by the machine's table of groups.

use super::host::Host;

/// The group that may scan.
pub const GROUP: &str = "scanner";

/// Who runs `usbscan doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Name, or the number where there is none.
    pub name: String,
    /// Whether they may do anything.
    pub root: bool,
    /// How they stand to the group.
    pub membership: Membership,
}

/// How a person stands to group [`GROUP`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// There is no such group.
    NoGroup,
    /// Not in it.
    Outside,
    /// In it, but this session began before that.
    FromNextLogin,
    /// In it.
    Inside,
}

/// Looks the caller up.
pub fn person(host: &Host) -> Person {
    let user = rustix::process::geteuid();
    let mut groups: Vec<u32> =
        rustix::process::getgroups().unwrap_or_default().into_iter().map(rustix::process::Gid::as_raw).collect();
    groups.push(rustix::process::getegid().as_raw());
    let passwords = host.read("/etc/passwd").unwrap_or_default();
    let name = user_name(&passwords, user.as_raw()).unwrap_or_else(|| user.as_raw().to_string());
    let membership = membership(&host.read("/etc/group").unwrap_or_default(), &name, &groups);
    Person { name, root: user.is_root(), membership }
}

/// The number of group [`GROUP`].
pub fn group_id(host: &Host) -> Option<u32> {
    find_group(&host.read("/etc/group")?).map(|(id, _)| id)
}

/// The name of a group; its number where it has none.
pub fn group_name(host: &Host, id: u32) -> String {
    let table = host.read("/etc/group").unwrap_or_default();
    let line = table.lines().find(|line| line.split(':').nth(2) == Some(&id.to_string()));
    line.and_then(|line| line.split(':').next()).map_or_else(|| id.to_string(), str::to_owned)
}

fn user_name(passwords: &str, id: u32) -> Option<String> {
    let line = passwords.lines().find(|line| line.split(':').nth(2) == Some(&id.to_string()))?;
    Some(line.split(':').next()?.to_owned())
}

/// The group's number and its members.
fn find_group(table: &str) -> Option<(u32, Vec<&str>)> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id = fields.nth(1)?.parse().ok()?;
        (name == GROUP).then(|| (id, fields.next().unwrap_or_default().split(',').collect()))
    })
}

fn membership(table: &str, name: &str, session: &[u32]) -> Membership {
    match find_group(table) {
        None => Membership::NoGroup,
        Some((id, _)) if session.contains(&id) => Membership::Inside,
        Some((_, members)) if members.contains(&name) => Membership::FromNextLogin,
        Some(_) => Membership::Outside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "root:x:0:\nlp:x:7:alice\nscanner:x:111:saned,alice\nbroken";

    #[test]
    fn the_session_counts_and_the_table_says_whether_a_new_one_would() {
        assert_eq!(membership(TABLE, "alice", &[1000, 111]), Membership::Inside);
        assert_eq!(membership(TABLE, "alice", &[1000]), Membership::FromNextLogin);
        assert_eq!(membership(TABLE, "bob", &[1001, 7]), Membership::Outside);
        assert_eq!(membership("root:x:0:", "alice", &[1000]), Membership::NoGroup);
    }

    #[test]
    fn a_user_is_found_by_number() {
        assert_eq!(user_name("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000", 1000), Some("alice".to_owned()));
        assert_eq!(user_name("", 1000), None);
    }
}

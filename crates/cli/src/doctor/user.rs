//! The current user and their membership in the group: of this process, and in /etc/group.

use super::host::Host;

/// The group that may scan.
pub const GROUP: &str = "scanner";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Name, or the uid if it has none.
    pub name: String,
    pub root: bool,
    pub membership: Membership,
}

/// Membership in group [`GROUP`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// The group does not exist.
    NoGroup,
    NotMember,
    /// A member, but this login session is older than that.
    AfterNextLogin,
    Member,
}

pub fn user(host: &Host) -> User {
    let user = rustix::process::geteuid();
    let mut groups: Vec<u32> =
        rustix::process::getgroups().unwrap_or_default().into_iter().map(rustix::process::Gid::as_raw).collect();
    groups.push(rustix::process::getegid().as_raw());
    let passwords = host.read("/etc/passwd").unwrap_or_default();
    let name = user_name(&passwords, user.as_raw()).unwrap_or_else(|| user.as_raw().to_string());
    let membership = membership(&host.read("/etc/group").unwrap_or_default(), &name, &groups);
    User { name, root: user.is_root(), membership }
}

/// The gid of group [`GROUP`].
pub fn group_id(host: &Host) -> Option<u32> {
    find_group(&host.read("/etc/group")?).map(|(id, _)| id)
}

/// A group's name, or its gid if it has none.
pub fn group_name(host: &Host, id: u32) -> String {
    let table = host.read("/etc/group").unwrap_or_default();
    let line = table.lines().find(|line| line.split(':').nth(2) == Some(&id.to_string()));
    line.and_then(|line| line.split(':').next()).map_or_else(|| id.to_string(), str::to_owned)
}

fn user_name(passwords: &str, id: u32) -> Option<String> {
    let line = passwords.lines().find(|line| line.split(':').nth(2) == Some(&id.to_string()))?;
    Some(line.split(':').next()?.to_owned())
}

/// The gid and the members of group [`GROUP`].
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
        Some((id, _)) if session.contains(&id) => Membership::Member,
        Some((_, members)) if members.contains(&name) => Membership::AfterNextLogin,
        Some(_) => Membership::NotMember,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "root:x:0:\nlp:x:7:alice\nscanner:x:111:saned,alice\nbroken";

    #[test]
    fn membership_is_that_of_the_session_or_of_the_next_login() {
        assert_eq!(membership(TABLE, "alice", &[1000, 111]), Membership::Member);
        assert_eq!(membership(TABLE, "alice", &[1000]), Membership::AfterNextLogin);
        assert_eq!(membership(TABLE, "bob", &[1001, 7]), Membership::NotMember);
        assert_eq!(membership("root:x:0:", "alice", &[1000]), Membership::NoGroup);
    }

    #[test]
    fn a_user_is_found_by_uid() {
        assert_eq!(user_name("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000", 1000), Some("alice".to_owned()));
        assert_eq!(user_name("", 1000), None);
    }
}

//! The part of the model table that knows scanners by the name that they say and not by their USB ids: what single models that
//! speak eSCL do differently. The device's class says that they are scanners.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use usbscan_wire::{EsclQuirks, HttpConnection};

/// An entry: a pattern, and what models do whose name is like it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EsclModel {
    entry: EsclEntry,
    /// The file that says so, for the log.
    source: PathBuf,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EsclProblem {
    #[error("name is 1 to 128 characters, where * stands for any")]
    Name,
    #[error("notes says nothing: who saw what, on which scanner?")]
    NoNotes,
    #[error("max_resolution is 50 to 19200 dpi")]
    Resolution,
}

/// A table `[[escl]]` of a file. What is not said is as an earlier entry for the same scanner says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EsclEntry {
    name: String,
    notes: String,
    pause_between_pages: Option<bool>,
    no_page_is_not_yet: Option<bool>,
    no_delete_after_page: Option<bool>,
    one_interface: Option<bool>,
    port_in_host: Option<bool>,
    http_connection: Option<HttpConnection>,
    max_resolution: Option<u32>,
}

impl EsclEntry {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Adds it to those before it; one for the same name it replaces.
    pub(super) fn add_to(&self, all: &mut Vec<EsclModel>, path: &Path) -> Result<(), EsclProblem> {
        if !(1..=128).contains(&self.name.chars().count()) {
            return Err(EsclProblem::Name);
        }
        if self.notes.trim().is_empty() {
            return Err(EsclProblem::NoNotes);
        }
        if self.max_resolution.is_some_and(|dpi| !(50..=19_200).contains(&dpi)) {
            return Err(EsclProblem::Resolution);
        }
        all.retain(|other| other.entry.name != self.name);
        all.push(EsclModel { entry: self.clone(), source: path.to_owned() });
        Ok(())
    }

    fn apply(&self, quirks: &mut EsclQuirks) {
        let set = |all: &mut bool, own: Option<bool>| *all = own.unwrap_or(*all);
        set(&mut quirks.pause_between_pages, self.pause_between_pages);
        set(&mut quirks.no_page_is_not_yet, self.no_page_is_not_yet);
        set(&mut quirks.no_delete_after_page, self.no_delete_after_page);
        set(&mut quirks.one_interface, self.one_interface);
        set(&mut quirks.port_in_host, self.port_in_host);
        quirks.http_connection = self.http_connection.or(quirks.http_connection);
        quirks.max_resolution = self.max_resolution.or(quirks.max_resolution);
    }
}

/// What a scanner with one of these names does differently: of all entries that are like it, where the later ones win. `heed` is
/// told of each by its file, its name and its notes.
pub(super) fn find(all: &[EsclModel], names: &[&str], heed: &mut dyn FnMut(&Path, &str, &str)) -> EsclQuirks {
    let mut quirks = EsclQuirks::default();
    for EsclModel { entry, source } in all {
        if names.iter().any(|name| is_like(&entry.name, name)) {
            heed(source, &entry.name, &entry.notes);
            entry.apply(&mut quirks);
        }
    }
    quirks
}

/// Whether a name is this pattern, in which `*` stands for any characters.
fn is_like(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let (parts, last) = rest.rsplit_once('*').map_or((None, rest), |(parts, last)| (Some(parts), last));
    for part in parts.into_iter().flat_map(|parts| parts.split('*')) {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, is) in [
            ("Brother*", "Brother MFC-L8690CDW series", true),
            ("Brother*", "A Brother", false),
            ("*Xerox*B205*", "Xerox(R) B205 MFP", true),
            ("*Xerox*B205*", "Fuji Xerox B205", true),
            ("*Xerox*B205*", "B205 Xerox", false),
            ("HP 1", "HP 1", true),
            ("HP 1", "HP 10", false),
            ("HP*0", "HP 10", true),
            ("ab*ba", "aba", false),
            ("a*b*c", "abbc", true),
            ("*", "", true),
            ("**", "any", true),
            ("", "any", false),
        ] {
            assert_eq!(is_like(pattern, name), is, "{pattern} {name}");
        }
    }
}

//! What single models do differently, by the name that they say. From the tables of sane-airscan and ipp-usb, as facts; see
//! docs/escl.md.

use std::time::Duration;

/// What a model does differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Oddities {
    /// Asked for the next page right behind one, its feeder says that there is none.
    pub pause_between_pages: bool,
    /// 404 and 410 before the first page mean "not yet".
    pub no_page_is_not_yet: bool,
    /// A job that has given its page must not be deleted: the scanner would be busy for long.
    pub no_delete_after_page: bool,
}

/// The beginning of the name, or a part of it behind a `*`.
const MODELS: &[(&str, Oddities)] = &[
    ("Brother", Oddities { pause_between_pages: true, no_page_is_not_yet: false, no_delete_after_page: false }),
    ("*Xerox*B205", Oddities { pause_between_pages: false, no_page_is_not_yet: true, no_delete_after_page: true }),
    ("*Xerox*B215", Oddities { pause_between_pages: false, no_page_is_not_yet: true, no_delete_after_page: true }),
    (
        "*Xerox*VersaLink*B405",
        Oddities { pause_between_pages: false, no_page_is_not_yet: false, no_delete_after_page: true },
    ),
];

impl Oddities {
    pub(super) fn of(model: &str) -> Oddities {
        let found = MODELS.iter().find(|(pattern, _)| is_like(pattern, model));
        found.map(|(_, oddities)| *oddities).unwrap_or_default()
    }

    /// How long to wait behind a page that took so long to come.
    pub(super) fn pause(self, load: Duration) -> Duration {
        if self.pause_between_pages { (load / 2).min(Duration::from_secs(1)) } else { Duration::ZERO }
    }
}

/// Whether the parts between `*` stand in the name one behind the other; the first at its beginning.
fn is_like(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_known_by_its_name() {
        assert!(Oddities::of("Brother MFC-L8690CDW series").pause_between_pages);
        assert!(Oddities::of("Xerox(R) B205 MFP").no_page_is_not_yet);
        assert!(Oddities::of("Fuji Xerox VersaLink B405 DN").no_delete_after_page);
        assert_eq!(Oddities::of("A Brother"), Oddities::default());
        assert_eq!(Oddities::of("Brother DCP").pause(Duration::from_secs(9)), Duration::from_secs(1));
        assert_eq!(Oddities::of("HP").pause(Duration::from_secs(9)), Duration::ZERO);
    }
}

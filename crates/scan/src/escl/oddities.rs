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
    /// It hangs when two connections are in use.
    pub one_interface: bool,
    /// The field `Connection` that it needs in requests.
    pub connection: Option<&'static str>,
    /// It says more resolutions than it scans with.
    pub most_dpi: Option<u32>,
}

/// The beginning of the name, or a part of it behind a `*`. All that fit count.
const MODELS: &[(&str, Oddities)] = &[
    ("Brother", Oddities { pause_between_pages: true, ..NONE }),
    ("Brother QL-810W", Oddities { one_interface: true, ..NONE }),
    ("HP ScanJet Pro 4500 fn1", Oddities { one_interface: true, ..NONE }),
    ("HP LaserJet MFP M28", Oddities { connection: Some("keep-alive"), ..NONE }),
    ("HP LaserJet MFP M29", Oddities { connection: Some("keep-alive"), ..NONE }),
    ("HP LaserJet MFP M30w", Oddities { connection: Some("keep-alive"), ..NONE }),
    ("HP LaserJet MFP M31w", Oddities { connection: Some("keep-alive"), ..NONE }),
    ("HP OfficeJet Pro 8730", Oddities { connection: Some("close"), ..NONE }),
    ("Canon iR2625/2630", Oddities { most_dpi: Some(300), ..NONE }),
    ("*Xerox*B205", Oddities { no_page_is_not_yet: true, no_delete_after_page: true, ..NONE }),
    ("*Xerox*B215", Oddities { no_page_is_not_yet: true, no_delete_after_page: true, ..NONE }),
    ("*Xerox*VersaLink*B405", Oddities { no_delete_after_page: true, ..NONE }),
];

const NONE: Oddities = Oddities {
    pause_between_pages: false,
    no_page_is_not_yet: false,
    no_delete_after_page: false,
    one_interface: false,
    connection: None,
    most_dpi: None,
};

impl Oddities {
    pub(super) fn of(model: &str) -> Oddities {
        let found = MODELS.iter().filter(|(pattern, _)| is_like(pattern, model));
        found.fold(NONE, |all, (_, one)| Oddities {
            pause_between_pages: all.pause_between_pages || one.pause_between_pages,
            no_page_is_not_yet: all.no_page_is_not_yet || one.no_page_is_not_yet,
            no_delete_after_page: all.no_delete_after_page || one.no_delete_after_page,
            one_interface: all.one_interface || one.one_interface,
            connection: all.connection.or(one.connection),
            most_dpi: all.most_dpi.or(one.most_dpi),
        })
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
        let label_printer = Oddities::of("Brother QL-810W");
        assert!(label_printer.one_interface && label_printer.pause_between_pages);
        assert_eq!(Oddities::of("HP OfficeJet Pro 8730").connection, Some("close"));
        assert_eq!(Oddities::of("Canon iR2625/2630 (series)").most_dpi, Some(300));
        assert_eq!(Oddities::of("Brother DCP").pause(Duration::from_secs(9)), Duration::from_secs(1));
        assert_eq!(Oddities::of("HP").pause(Duration::from_secs(9)), Duration::ZERO);
    }
}

//! `docs/scanners.md`: which scanners usbscan knows, from the model table.

use std::collections::BTreeMap;
use std::fmt::Write;

use usbscan_daemon::quirks::{Backend, Evidence, Model, Protocol, Table};

/// A line of text is no longer than this, where its words allow it.
const COLUMNS: usize = 120;

const HEAD: &str = "\
# Scanners

<!-- Made from quirks/*.toml by tools/generate. To add a model: CONTRIBUTING.md, \"Adding a scanner\". -->

Every USB scanner whose interface says that it is one (class 7/1/4, IPP over USB; or 6/1/1, still image, where somebody
has given the daemon its node, since cameras have that class too) is listed, can be used through the socket, and can be
cancelled. Pages come from those that speak a protocol for which usbscan has a driver, and, through SANE's programs,
from those that SANE has a backend for. A model that is not here needs an entry in `/etc/usbscan/quirks.d`, see
usbscand.toml(5).

**No model has been tried with usbscan yet**: the drivers are tested against virtual scanners and other drivers. How
sure it is that a model speaks its protocol differs, so each protocol of ours has up to four lists:

- *described*: the entry was made by hand, and its notes in `quirks/` say from what;
- *replies published*: an owner, or another driver's test data, has published what the model replies;
- *listed*: the list of a driver that speaks only this protocol names it as working;
- *assumed*: in the list of a driver that speaks several protocols, in two lists that disagree, or untested there too.

Each name stands before its USB ids, which `lsusb` shows.

## What works with each protocol

As far as the scanner has it, with every protocol: the glass; color, grayscale and lineart; any area and resolution; the
document feeder, one side and both; and after a cancel, Ctrl-C, `kill -9` or unplugging the next page is right. Besides:

- ESC/I: transparency unit and negatives; 16 bits per sample; gamma, brightness, sharpness, color matrix and focus;
  buttons.
- ESC/I-2: JPEG from the scanner; threshold; gamma; buttons, with an interrupt pipe; 16 bits per sample, where the
  scanner lists them.
- eSCL: JPEG from the scanner. It drives any all-in-one that is driverless (AirPrint, Mopria) and has interfaces of
  class 7/1/4; docs/escl.md says what is confirmed, and by what.
";

const SANE: &str = "
## Driven by SANE

usbscan has no driver of its own for these; SANE has a backend. `usbscan list` calls them `sane:` and the backend's
name, and `usbscan run scanimage`, or any other program of SANE's, scans with them over usbscand: such a scan can be
cancelled from anywhere, the scanner is idle before the next one begins, and no program needs rights to the device node.
`usbscan doctor` says which package has the backend where it is missing.

Ids and status are SANE's own, from its lists of July 2025: *complete*, *good*, *basic*, *minimal*, or *untested*, which
is of scanners that a backend knows and nobody has reported. What of that is shown with usbscan, by tests without
hardware (`tests/dropin`): every backend of Debian's loads, lists, and gives control back from a scanner that hangs;
epson2, epsonds and xerox_mfp scan whole pages from virtual scanners, which are right, and the next page after a cancel
or a `kill -9` is right too.

A scanner that a backend from elsewhere drives (hpaio of HPLIP, epkowa, utsushi, scangearmp2 and others) becomes one by
an entry in `/etc/usbscan/quirks.d` with `protocol = \"sane:NAME\"`: usbscand.toml(5) has an example.
";

/// SANE's words, the best first.
const STATUS: [(Evidence, &str); 5] = [
    (Evidence::Complete, "complete"),
    (Evidence::Good, "good"),
    (Evidence::Basic, "basic"),
    (Evidence::Minimal, "minimal"),
    (Evidence::Untested, "untested"),
];

/// The order of the lists, and their headings.
const LISTS: [(Option<Evidence>, &str); 4] = [
    (None, "described"),
    (Some(Evidence::Replies), "replies published"),
    (Some(Evidence::Listed), "listed"),
    (Some(Evidence::Assumed), "assumed"),
];

pub fn render() -> String {
    let table = Table::built_in();
    let mut page = HEAD.to_owned();
    for (protocol, heading) in [(Protocol::Esci, "ESC/I"), (Protocol::Esci2, "ESC/I-2"), (Protocol::Escl, "eSCL")] {
        let of_protocol = |model: &&Model| model.protocol == Some(protocol);
        if !table.models().any(|model| of_protocol(&model)) {
            continue;
        }
        let _ = write!(page, "\n## {heading}\n");
        for (evidence, heading) in LISTS {
            let models = table.models().filter(of_protocol).filter(|model| model.evidence == evidence);
            list(&mut page, heading, models);
        }
    }
    sane(&mut page, &table);
    let others: Vec<&Model> = table.models().filter(|model| model.protocol.is_none()).collect();
    if !others.is_empty() {
        page += "\n## Treated specially\n\nThese need to be opened or cancelled in a way of their own; usbscan has no driver for them.\n\n";
        for model in others {
            paragraph(&mut page, &format!("- {} {}: {}", model.manufacturer, entry(model), model.notes));
        }
    }
    page
}

/// What SANE drives: a paragraph for each manufacturer, backend and status.
fn sane(page: &mut String, table: &Table) {
    let mut lists: BTreeMap<(&str, Backend, Option<usize>), Vec<String>> = BTreeMap::new();
    for model in table.models() {
        let Some(Protocol::Sane(backend)) = model.protocol else { continue };
        let status = STATUS.iter().position(|(evidence, _)| Some(*evidence) == model.evidence);
        lists.entry((&model.manufacturer, backend, status)).or_default().push(entry(model));
    }
    *page += SANE;
    for ((manufacturer, backend, status), mut entries) in lists {
        entries.sort();
        let status = status.map_or("described", |at| STATUS[at].1);
        let (count, entries) = (entries.len(), entries.join("; "));
        page.push('\n');
        paragraph(page, &format!("**{manufacturer}, {backend}, {status}** ({count}): {entries}."));
    }
}

/// One list: a paragraph for each manufacturer.
fn list<'a>(page: &mut String, heading: &str, models: impl Iterator<Item = &'a Model>) {
    let mut by_manufacturer: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for model in models {
        by_manufacturer.entry(&model.manufacturer).or_default().push(entry(model));
    }
    for (manufacturer, mut entries) in by_manufacturer {
        entries.sort();
        let (count, entries) = (entries.len(), entries.join("; "));
        page.push('\n');
        paragraph(page, &format!("**{manufacturer}, {heading}** ({count}): {entries}."));
    }
}

/// `Perfection V850 Photo 04b8:0151`, which keeps together where lines end.
fn entry(model: &Model) -> String {
    format!("{} `{:04x}:{:04x}`", model.name, model.vendor.0, model.product.0)
}

/// Text in lines of at most [`COLUMNS`]; those behind a list's mark are indented.
fn paragraph(page: &mut String, text: &str) {
    let indent = if text.starts_with("- ") { "  " } else { "" };
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            let _ = writeln!(page, "{line}");
            line = indent.to_owned();
        } else if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    let _ = writeln!(page, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_stands_on_the_page_once() {
        let page = render();
        for model in Table::built_in().models() {
            let id = format!("`{:04x}:{:04x}`", model.vendor.0, model.product.0);
            assert_eq!(page.matches(&id).count(), 1, "{} {id}", model.name);
        }
    }

    #[test]
    fn no_line_is_longer_than_an_editor_is_wide() {
        let long: Vec<_> =
            render().lines().filter(|line| line.chars().count() > COLUMNS + 4).map(str::to_owned).collect();
        assert!(long.is_empty(), "{long:?}");
    }
}

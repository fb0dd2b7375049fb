//! Options as most scanners have them, described once.

use super::alignment::Alignment;
use crate::options::{names, sources};
use crate::{
    Area, AreaError, Constraint, Dependence, Dpi, MM_PER_INCH, MaxArea, OptionDescriptor, Options, PixelArea, Unit,
    Value, Variant,
};

/// The words of `mode`.
pub(crate) mod modes {
    pub(crate) const COLOR: &str = "Color";
    pub(crate) const GRAY: &str = "Gray";
    pub(crate) const LINEART: &str = "Lineart";
}

/// One of these words.
pub(crate) fn one_of(words: &[&str]) -> Constraint {
    Constraint::List(words.iter().map(|word| Value::from(*word)).collect())
}

/// While another option is one of these words.
pub(crate) fn while_one_of(on: &'static str, words: &[&str]) -> Dependence {
    Dependence { on, values: words.iter().map(|word| Value::from(*word)).collect() }
}

/// The four edges of the area, on the largest of the places.
pub(crate) fn edges(MaxArea { width, height }: MaxArea) -> [OptionDescriptor; 4] {
    let edge = |name, title, description, max: f64, default: f64| OptionDescriptor {
        unit: Unit::Mm,
        ..OptionDescriptor::new(name, title, description, Constraint::FixedRange { min: 0.0, max }, default.into())
    };
    [
        edge(names::TL_X, "Left edge", "Where the area begins, from the left edge of the scan area.", width, 0.0),
        edge(names::TL_Y, "Upper edge", "Where the area begins, from the upper edge of the scan area.", height, 0.0),
        edge(names::BR_X, "Right edge", "Where the area ends, from the left edge of the scan area.", width, width),
        edge(names::BR_Y, "Lower edge", "Where the area ends, from the upper edge of the scan area.", height, height),
    ]
}

/// What the edges may be with one source.
pub(crate) fn edges_of(source: &'static str, MaxArea { width, height }: MaxArea) -> [Variant; 4] {
    let edge = |option, max: f64, default: f64| Variant {
        option,
        when: while_one_of(names::SOURCE, &[source]),
        constraint: Constraint::FixedRange { min: 0.0, max },
        default: default.into(),
    };
    [
        edge(names::TL_X, width, 0.0),
        edge(names::TL_Y, height, 0.0),
        edge(names::BR_X, width, width),
        edge(names::BR_Y, height, height),
    ]
}

/// The width of the sheet, for feeders that hold it in the middle or at the right: `max_area` is that of the widest.
pub(crate) fn page_width(max_area: MaxArea) -> OptionDescriptor {
    let description =
        "Width of the sheet in the feeder, from whose left edge the area is counted; 0: up to the area's right edge.";
    let range = Constraint::FixedRange { min: 0.0, max: max_area.width };
    OptionDescriptor {
        unit: Unit::Mm,
        active_when: Some(while_one_of(names::SOURCE, &[sources::FEEDER, sources::FEEDER_DUPLEX])),
        ..OptionDescriptor::new(names::PAGE_WIDTH, "Page width", description, range, 0.0.into())
    }
}

/// The pixels of the area that is chosen, as the scanner counts them: from the edge of what it can scan, of which `most` are the
/// pixels.
pub(crate) fn chosen_pixels(
    options: &Options,
    alignment: Alignment,
    max_area: MaxArea,
    dpi: (Dpi, Dpi),
    most: (u32, u32),
) -> Result<PixelArea, AreaError> {
    let edge = |name| options.fixed(name).unwrap_or(0.0);
    let mut right = edge(names::BR_X);
    let sheet = match edge(names::PAGE_WIDTH) {
        width if width > 0.0 => {
            // Beside the sheet there is nothing to scan.
            right = right.min(width);
            width
        }
        _ => right,
    };
    let area = Area::between(edge(names::TL_X), edge(names::TL_Y), right, edge(names::BR_Y));
    // First the pixels and then their place, so that a page is as wide as on the flatbed.
    let mut pixels = area.pixels(dpi, max_area, most)?;
    let offset = alignment.offset(max_area, sheet) / MM_PER_INCH * f64::from(dpi.0.0);
    // Not below 0, and at most all that there is.
    pixels.x = (pixels.x + offset.round() as u32).min(most.0.saturating_sub(pixels.width));
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: MaxArea = MaxArea { width: 300.0, height: 400.0 };

    /// The first pixel across and how many there are, at one a millimetre.
    fn across(alignment: Alignment, values: &[(&str, &str)]) -> (u32, u32) {
        let source = one_of(&[sources::FLATBED, sources::FEEDER]);
        let mut all = vec![OptionDescriptor::new(names::SOURCE, "", "", source, sources::FEEDER.into())];
        all.extend(edges(MAX));
        all.push(page_width(MAX));
        let mut options = Options::new(all);
        options.set_all(values.iter().copied()).expect("good options");
        let pixels = chosen_pixels(&options, alignment, MAX, (Dpi(254), Dpi(254)), (3000, 4000)).expect("an area");
        (pixels.x, pixels.width)
    }

    #[test]
    fn the_area_counts_from_the_left_edge_of_the_sheet() {
        let a4 = [("br-x", "210"), ("br-y", "297")];
        assert_eq!(across(Alignment::Left, &a4), (0, 2100));
        assert_eq!(across(Alignment::Center, &a4), (450, 2100));
        assert_eq!(across(Alignment::Right, &a4), (900, 2100));
        assert_eq!(across(Alignment::Center, &[]), (0, 3000));
    }

    #[test]
    fn a_part_of_a_sheet_is_where_it_is_on_the_sheet_once_its_width_is_said() {
        let part = [("tl-x", "10"), ("br-x", "110"), ("page-width", "210")];
        assert_eq!(across(Alignment::Center, &part), (550, 1000));
        assert_eq!(across(Alignment::Right, &part), (1000, 1000));
        assert_eq!(across(Alignment::Center, &[("page-width", "210")]), (450, 2100));
    }
}

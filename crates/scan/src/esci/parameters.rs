//! A plan as bytes: the 64 of FS W, or the commands of the plain dialect one by one.

use super::abilities::{Abilities, Dialect};
use super::codes::{
    AREA, BLOCK_LINES, BRIGHTNESS, COLOR, COLOR_CORRECTION, Code, DEPTH, FILM, FS_PARAMETERS, GAMMA, GAMMA_BILEVEL,
    GAMMA_DOWNLOADED, GAMMA_MULTILEVEL, GAMMA_TABLE, HALFTONE, MONOCHROME, NO_HALFTONE, NO_UNIT, OPTION_UNIT, POSITIVE,
    RESOLUTION, RGB_PIXELS, THRESHOLD,
};
use super::plan::{Gamma, Plan};

/// One parameter on its way to the scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    pub code: Code,
    pub bytes: Vec<u8>,
    /// What it is, with its value, should it be refused.
    pub says: String,
}

/// All parameters of a plan, in the order in which they are to be set: colour before resolution, resolution
/// before area. ESC @ has come before, so what is not named here has its default.
pub(super) fn parameters(abilities: &Abilities, plan: &Plan) -> Vec<Parameter> {
    let mut all = match abilities.dialect {
        Dialect::Fs => Vec::new(),
        Dialect::Esc => plain(abilities, plan),
    };
    all.extend(gamma_tables(plan));
    match abilities.dialect {
        // Last: it sets everything at once.
        Dialect::Fs => all.push(extended(plan)),
        // Last: it is forgotten after every ESC G.
        Dialect::Esc => all.push(block_lines(plan)),
    }
    all
}

fn one(code: Code, value: u8, says: String) -> Parameter {
    Parameter { code, bytes: vec![value], says }
}

fn color(plan: &Plan) -> u8 {
    if plan.is_color() { RGB_PIXELS } else { MONOCHROME }
}

fn gamma(plan: &Plan) -> u8 {
    match (plan.gamma, plan.depth()) {
        (_, 1) => GAMMA_BILEVEL,
        (Gamma::BuiltIn, _) => GAMMA_MULTILEVEL,
        (Gamma::Linear, _) => GAMMA_DOWNLOADED,
    }
}

fn describe(plan: &Plan) -> String {
    let kind = match (plan.is_color(), plan.depth()) {
        (_, 1) => "lineart",
        (true, _) => "color",
        (false, _) => "gray",
    };
    format!("{kind} with {} bits", plan.depth())
}

fn describe_area(plan: &Plan) -> String {
    let area = plan.area;
    format!("the area {} x {} at {}, {} pixels", area.width, area.height, area.x, area.y)
}

/// The commands of the plain dialect but for those at the end. Numbers were held against what they must fit by [`Plan::new`];
/// what does not fit nevertheless becomes the largest there is, and is refused by the scanner.
fn plain(abilities: &Abilities, plan: &Plan) -> Vec<Parameter> {
    let word = |value: u32| u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes();
    let words = |values: &[u32]| values.iter().flat_map(|value| word(*value)).collect::<Vec<u8>>();
    let (across, down) = plan.page.dpi;
    let mut all = Vec::new();
    if plan.source.unit() != NO_UNIT {
        // Before all others: it resets some of them.
        all.push(one(OPTION_UNIT, plan.source.unit(), format!("the source {}", plan.source.word())));
    }
    all.extend([one(COLOR, color(plan), describe(plan)), one(DEPTH, plan.depth(), describe(plan))]);
    if plan.film != POSITIVE && abilities.has_film_type() {
        all.push(one(FILM, plan.film, "negative film".to_owned()));
    }
    if plan.depth() == 1 {
        all.push(one(HALFTONE, NO_HALFTONE, "lineart without halftone".to_owned()));
        if let Some(threshold) = plan.threshold.filter(|_| abilities.has_threshold()) {
            all.push(one(THRESHOLD, threshold, format!("the threshold {threshold}")));
        }
    }
    if plan.brightness != 0 {
        all.push(one(BRIGHTNESS, plan.brightness as u8, format!("the brightness {}", plan.brightness)));
    }
    all.push(one(GAMMA, gamma(plan), "the gamma curve".to_owned()));
    if plan.is_color() {
        all.push(one(COLOR_CORRECTION, plan.correction, "the colour correction".to_owned()));
    }
    all.push(Parameter {
        code: RESOLUTION,
        bytes: words(&[across.0, down.0]),
        says: format!("the resolution {across}"),
    });
    let area = plan.area;
    all.push(Parameter {
        code: AREA,
        bytes: words(&[area.x, area.y, area.width, area.height]),
        says: describe_area(plan),
    });
    all
}

fn block_lines(plan: &Plan) -> Parameter {
    // At most 255, see plan.rs.
    let lines = plan.asked.block_lines as u8;
    one(BLOCK_LINES, lines, format!("blocks of {lines} lines"))
}

/// Straight lines, for those who want light as numbers.
fn gamma_tables(plan: &Plan) -> Vec<Parameter> {
    if gamma(plan) != GAMMA_DOWNLOADED {
        return Vec::new();
    }
    let letters: &[u8] = if plan.is_color() { b"RGB" } else { b"M" };
    let table = |letter: &u8| Parameter {
        code: GAMMA_TABLE,
        bytes: std::iter::once(*letter).chain(0..=u8::MAX).collect(),
        says: "a linear gamma curve".to_owned(),
    };
    letters.iter().map(table).collect()
}

/// FS W, 64 bytes.
fn extended(plan: &Plan) -> Parameter {
    let area = plan.area;
    let (across, down) = plan.page.dpi;
    let mut bytes = Vec::with_capacity(64);
    for number in [across.0, down.0, area.x, area.y, area.width, area.height] {
        bytes.extend(number.to_le_bytes());
    }
    let normal_speed = 0;
    bytes.extend([color(plan), plan.depth(), plan.source.unit(), normal_speed, plan.asked.block_lines as u8]);
    bytes.extend([gamma(plan), plan.brightness as u8, plan.correction, NO_HALFTONE, plan.threshold.unwrap_or(0x80)]);
    let (segmentation, sharpness, mirror) = (0, 0, 0);
    bytes.extend([segmentation, sharpness, mirror, plan.film]);
    bytes.resize(64, 0);
    let from = match plan.source.unit() {
        NO_UNIT => String::new(),
        _ => format!(", from the source {}", plan.source.word()),
    };
    let (look, area, lines) = (describe(plan), describe_area(plan), plan.asked.block_lines);
    let says = format!("{across}, {look}, {area}{from}, in blocks of {lines} lines");
    Parameter { code: FS_PARAMETERS, bytes, says }
}

/// The longest parameter of these: what a scanner may still be waiting for when its host dies.
pub(super) fn longest(parameters: &[Parameter]) -> usize {
    parameters.iter().map(|parameter| parameter.bytes.len()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::abilities::tests::{plain as plain_scanner, v850};
    use super::*;

    fn bytes(abilities: &Abilities, values: &[(&str, &str)]) -> Vec<Parameter> {
        let mut options = abilities.options();
        options.set_all(values.iter().copied()).expect("good options");
        parameters(abilities, &Plan::new(abilities, &options).expect("a plan"))
    }

    #[test]
    fn fs_w_says_it_all_at_once() {
        let all = bytes(&v850(), &[("resolution", "75"), ("br-x", "48.768"), ("br-y", "39.963"), ("brightness", "-2")]);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].bytes.len(), 64);
        let expected = [
            0x4b, 0, 0, 0, 0x4b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x90, 0, 0, 0, 0x76, 0, 0, 0, 0x13, 8, 0, 0, 0xfe, 2,
            0xfe, 0, 1, 0x80,
        ];
        assert_eq!(all[0].bytes[..34], expected);
    }

    #[test]
    fn the_plain_dialect_says_one_thing_after_the_other() {
        let scanner = plain_scanner(b"B7").expect("supported");
        let all = bytes(&scanner, &[("mode", "lineart"), ("threshold", "90"), ("br-x", "100"), ("br-y", "100")]);
        let said: Vec<(&str, &[u8])> = all.iter().map(|p| (p.code.name, &p.bytes[..])).collect();
        let expected: [(&str, &[u8]); 8] = [
            ("ESC C", &[0]),
            ("ESC D", &[1]),
            ("ESC B", &[1]),
            ("ESC t", &[90]),
            ("ESC Z", &[1]),
            ("ESC R", &[0x2c, 1, 0x2c, 1]),
            ("ESC A", &[0, 0, 0, 0, 0xa0, 0x04, 0x9d, 0x04]),
            ("ESC d", &[254]),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn an_older_level_hears_of_no_threshold() {
        let scanner = plain_scanner(b"B4").expect("supported");
        assert!(bytes(&scanner, &[("mode", "lineart")]).iter().all(|p| p.code != THRESHOLD));
    }

    #[test]
    fn a_linear_curve_is_downloaded_for_each_color() {
        let all = bytes(&v850(), &[("gamma", "linear")]);
        assert_eq!(all.iter().map(|p| p.code.name).collect::<Vec<_>>(), ["ESC z", "ESC z", "ESC z", "FS W"]);
        assert_eq!((all[0].bytes[0], all[0].bytes[256], all[3].bytes[29]), (b'R', 255, 3));
        assert_eq!(longest(&all), 257);
        assert_eq!(longest(&bytes(&v850(), &[])), 64);
    }
}

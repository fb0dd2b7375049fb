//! A plan as bytes: the 64 of FS W, or the commands of the plain dialect one by one.

use super::capabilities::{Capabilities, Dialect};
use super::codes::{
    AREA, BLOCK_LINES, BRIGHTNESS, COLOR, COLOR_CORRECTION, COLOR_MATRIX, Code, DEPTH, DOWNLOADED_CORRECTION, FILM,
    FOCUS, FS_PARAMETERS, GAMMA, GAMMA_BILEVEL, GAMMA_DOWNLOADED, GAMMA_MULTILEVEL, GAMMA_ON_BASE, GAMMA_TABLE,
    HALFTONE, MONOCHROME, NO_HALFTONE, NO_UNIT, OPTION_UNIT, POSITIVE, RESOLUTION, RGB_PIXELS, SHARPNESS, THRESHOLD,
};
use super::plan::Plan;
use crate::support::gamma::Gamma;

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
pub(super) fn parameters(capabilities: &Capabilities, plan: &Plan) -> Vec<Parameter> {
    let mut all = match capabilities.dialect {
        Dialect::Fs => Vec::new(),
        Dialect::Esc => plain(capabilities, plan),
    };
    all.extend(gamma_tables(capabilities, plan));
    all.extend(plan.matrix.as_ref().filter(|_| plan.correction == DOWNLOADED_CORRECTION).map(color_matrix));
    if let Some(focus) = plan.focus {
        // It stays where it is, whatever is reset.
        all.push(one(FOCUS, focus, "the focus".to_owned()));
    }
    match capabilities.dialect {
        // Last: it sets everything at once.
        Dialect::Fs => all.push(extended(capabilities, plan)),
        // Last: it is forgotten after every ESC G.
        Dialect::Esc if capabilities.has(b'd') => all.push(block_lines(plan)),
        Dialect::Esc => {}
    }
    all
}

fn one(code: Code, value: u8, says: String) -> Parameter {
    Parameter { code, bytes: vec![value], says }
}

fn color(plan: &Plan) -> u8 {
    if plan.is_color() { RGB_PIXELS } else { MONOCHROME }
}

fn gamma(capabilities: &Capabilities, plan: &Plan) -> u8 {
    match (&plan.gamma, plan.depth()) {
        (_, 1) => GAMMA_BILEVEL,
        (Gamma::BuiltIn, _) if capabilities.lacks_color_processing() => GAMMA_ON_BASE,
        (Gamma::BuiltIn, _) => GAMMA_MULTILEVEL,
        (Gamma::Linear | Gamma::Exponent(_) | Gamma::Table(_), _) => GAMMA_DOWNLOADED,
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
fn plain(capabilities: &Capabilities, plan: &Plan) -> Vec<Parameter> {
    let word = |value: u32| u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes();
    let words = |values: &[u32]| values.iter().flat_map(|value| word(*value)).collect::<Vec<u8>>();
    let (across, down) = plan.page.dpi;
    let mut all = Vec::new();
    if plan.source.unit() != NO_UNIT {
        // Before all others: it resets some of them.
        all.push(one(OPTION_UNIT, plan.source.unit(), format!("the source {}", plan.source.word())));
    }
    if capabilities.has(b'C') {
        all.push(one(COLOR, color(plan), describe(plan)));
    }
    all.push(one(DEPTH, plan.depth(), describe(plan)));
    if plan.film != POSITIVE && capabilities.has(b'N') {
        all.push(one(FILM, plan.film, "negative film".to_owned()));
    }
    if plan.depth() == 1 {
        if capabilities.has(b'B') {
            all.push(one(HALFTONE, NO_HALFTONE, "lineart without halftone".to_owned()));
        }
        if let Some(threshold) = plan.threshold {
            all.push(one(THRESHOLD, threshold, format!("the threshold {threshold}")));
        }
    }
    if plan.brightness != 0 {
        all.push(one(BRIGHTNESS, plan.brightness as u8, format!("the brightness {}", plan.brightness)));
    }
    if plan.sharpness != 0 {
        all.push(one(SHARPNESS, plan.sharpness as u8, format!("the sharpness {}", plan.sharpness)));
    }
    all.push(one(GAMMA, gamma(capabilities, plan), "the gamma curve".to_owned()));
    if plan.is_color() && capabilities.has(b'M') {
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

/// The curve as tables, where it is not the scanner's own; a D level scanner has none, but a base for them.
fn gamma_tables(capabilities: &Capabilities, plan: &Plan) -> Vec<Parameter> {
    if !matches!(gamma(capabilities, plan), GAMMA_DOWNLOADED | GAMMA_ON_BASE) {
        return Vec::new();
    }
    let curve = plan.gamma.table();
    let says = match &plan.gamma {
        Gamma::Table(_) => "the gamma table".to_owned(),
        Gamma::Exponent(exponent) => format!("the gamma curve of {exponent}"),
        Gamma::BuiltIn | Gamma::Linear => "a linear gamma curve".to_owned(),
    };
    let letters: &[u8] = if plan.is_color() { b"RGB" } else { b"M" };
    let table = |letter: &u8| Parameter {
        code: GAMMA_TABLE,
        bytes: std::iter::once(*letter).chain(curve).collect(),
        says: says.clone(),
    };
    letters.iter().map(table).collect()
}

/// Nine numbers in 1/32, the sign in the highest bit, in the scanner's order: what green, red and blue get of green, of
/// red, of blue.
fn color_matrix(rows: &[f64; 9]) -> Parameter {
    let [rr, rg, rb, gr, gg, gb, br, bg, bb] = *rows;
    let number = |value: f64| {
        // The option's range is that of seven bits.
        let size = (value.abs() * 32.0).round().min(127.0) as u8;
        if value < 0.0 && size > 0 { size | 0x80 } else { size }
    };
    let bytes = [gg, rg, bg, gr, rr, br, gb, rb, bb].map(number).to_vec();
    Parameter { code: COLOR_MATRIX, bytes, says: "the colour matrix".to_owned() }
}

/// Bytes of FS W's parameters and of FS S.
pub(super) const FS_PARAMETERS_BYTES: usize = 64;

/// The height in the 64 bytes of FS S: after EOT the lines that were scanned.
pub(super) fn height_in_force(bytes: &[u8]) -> Option<u32> {
    bytes.get(20..24)?.try_into().ok().map(u32::from_le_bytes)
}

/// FS W, 64 bytes.
fn extended(capabilities: &Capabilities, plan: &Plan) -> Parameter {
    let area = plan.area;
    let (across, down) = plan.page.dpi;
    let mut bytes = Vec::with_capacity(FS_PARAMETERS_BYTES);
    for number in [across.0, down.0, area.x, area.y, area.width, area.height] {
        bytes.extend(number.to_le_bytes());
    }
    let normal_speed = 0;
    bytes.extend([color(plan), plan.depth(), plan.source.unit(), normal_speed, plan.asked.block_lines as u8]);
    bytes.extend([
        gamma(capabilities, plan),
        plan.brightness as u8,
        plan.correction,
        NO_HALFTONE,
        plan.threshold.unwrap_or(0x80),
    ]);
    let (segmentation, mirror, lamp) = (0, 0, 0);
    bytes.extend([segmentation, plan.sharpness as u8, mirror, plan.film, lamp, plan.double_feed]);
    bytes.resize(FS_PARAMETERS_BYTES, 0);
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
    use super::super::capabilities::tests::{plain as plain_scanner, v850};
    use super::*;

    fn bytes(capabilities: &Capabilities, values: &[(&str, &str)]) -> Vec<Parameter> {
        let mut options = capabilities.options();
        options.set_all(values.iter().copied()).expect("good options");
        parameters(capabilities, &Plan::new(capabilities, &options).expect("a plan"))
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
    fn a_curve_of_ones_own_is_downloaded() {
        let all = bytes(&v850(), &[("gamma", "custom"), ("gamma-value", "2"), ("mode", "gray")]);
        assert_eq!((all[0].bytes[0], all[0].bytes[65], all[1].bytes[29]), (b'M', 128, 3));
    }

    #[test]
    fn a_d_level_hears_nothing_of_brightness_correction_and_halftones() {
        let d1 = plain_scanner(b"D1").expect("supported");
        for mode in ["color", "lineart"] {
            let names: Vec<&str> = bytes(&d1, &[("mode", mode)]).iter().map(|p| p.code.name).collect();
            assert!(!names.iter().any(|name| ["ESC L", "ESC M", "ESC B", "ESC Q"].contains(name)), "{names:?}");
        }
        let all = bytes(&d1, &[]);
        assert!(all.iter().any(|p| p.code == GAMMA && p.bytes == [GAMMA_ON_BASE]));
    }

    #[test]
    fn sharpness_is_said_when_it_is_not_the_usual() {
        let b7 = plain_scanner(b"B7").expect("supported");
        assert!(bytes(&b7, &[("sharpness", "-2")]).iter().any(|p| p.code == SHARPNESS && p.bytes == [0xfe]));
        assert!(bytes(&b7, &[]).iter().all(|p| p.code != SHARPNESS));
        assert_eq!(bytes(&v850(), &[("sharpness", "2")])[0].bytes[35], 2);
    }

    #[test]
    fn a_matrix_goes_in_the_order_of_the_scanner() {
        let matrix = "1.5,-0.25,-0.25, -0.1875,1.21875,-0.03125, 0,-0.46875,1.46875";
        let all = bytes(&v850(), &[("color-correction", "matrix"), ("color-matrix", matrix)]);
        assert_eq!(all[0].code, COLOR_MATRIX);
        assert_eq!(all[0].bytes, [39, 0x88, 0x8f, 0x86, 48, 0, 0x81, 0x88, 47]);
        assert_eq!(all[1].bytes[31], 1);
        assert_eq!(bytes(&v850(), &[]).len(), 1);
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

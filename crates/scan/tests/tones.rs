//! What a scanner does to colours when it is told to: curves, a matrix, sharpness, focus.

mod support;

use support::{Page, bench, expected, open, scan};
use usbscan_virtual::glass::Glass;

/// Both dialects, and a scanner without curves of its own.
const SCANNERS: [&str; 4] = ["esci", "esci,dialect=esc", "esci,dialect=esc,level=B4", "esci,dialect=esc,level=D8"];

fn page(description: &str, options: &[(&str, &str)]) -> Page {
    // 400 pixels: every dialect has them all.
    let mut all = vec![("resolution", "50"), ("br-x", "203.2"), ("br-y", "200")];
    all.extend(options);
    scan(&mut *open(&bench(description)).expect("it opens"), &all).expect("a page")
}

fn glass(page: &Page) -> Vec<u8> {
    expected(&Glass::chart(), &page.format.expect("a page"), 0, 0, 128)
}

#[test]
fn a_gamma_value_is_the_root_of_what_lies_on_the_glass() {
    for scanner in SCANNERS {
        for (mode, value) in [("color", "2.2"), ("gray", "1.8"), ("gray", "0.5")] {
            let page = page(scanner, &[("mode", mode), ("gamma", "custom"), ("gamma-value", value)]);
            let exponent = 1.0 / value.parse::<f64>().expect("a number");
            let curve = |light: u8| ((f64::from(light) / 255.0).powf(exponent) * 255.0).round() as u8;
            let curved: Vec<u8> = glass(&page).into_iter().map(curve).collect();
            assert!(page.bytes == curved, "{scanner} {mode} {value}");
        }
    }
}

#[test]
fn a_gamma_table_says_what_every_shade_becomes() {
    let negative: Vec<String> = (0..256).map(|shade| (255 - shade).to_string()).collect();
    for scanner in SCANNERS {
        for mode in ["color", "gray"] {
            let page = page(scanner, &[("mode", mode), ("gamma", "table"), ("gamma-table", &negative.join(","))]);
            assert!(page.bytes.iter().zip(glass(&page)).all(|(got, had)| *got == 255 - had), "{scanner} {mode}");
        }
    }
}

#[test]
fn a_color_matrix_mixes_the_colors_of_every_pixel() {
    let matrix = [[1.5, -0.25, -0.25], [0.0, 0.75, 0.25], [-0.46875, 0.0, 1.46875]];
    let text = matrix.as_flattened().iter().map(f64::to_string).collect::<Vec<_>>().join(",");
    for scanner in ["esci,matrix=yes", "esci,dialect=esc,matrix=yes", "esci,dialect=esc,level=B3,matrix=yes"] {
        for depth in ["8", "16"] {
            if depth == "16" && scanner.contains("B3") {
                continue;
            }
            let options = [("depth", depth), ("color-correction", "matrix"), ("color-matrix", &text)];
            let page = page(scanner, &options);
            let wide = depth == "16";
            let most = if wide { 65_535.0 } else { 255.0 };
            let samples = |bytes: &[u8]| -> Vec<f64> {
                let two = |pair: &[u8]| f64::from(u16::from_be_bytes([pair[0], pair[1]]));
                if wide { bytes.chunks(2).map(two).collect() } else { bytes.iter().map(|v| f64::from(*v)).collect() }
            };
            let (got, had) = (samples(&page.bytes), samples(&glass(&page)));
            for (got, had) in got.chunks(3).zip(had.chunks(3)) {
                for (row, got) in matrix.iter().zip(got) {
                    let mixed: f64 = row.iter().zip(had).map(|(part, had)| part * had).sum();
                    // Halves go up.
                    assert_eq!(*got, (mixed + 0.5).floor().clamp(0.0, most), "{scanner} {depth} {had:?}");
                }
            }
        }
    }
}

#[test]
fn a_curve_is_forgotten_by_the_next_page() {
    for scanner in SCANNERS {
        let bench = bench(scanner);
        let mut scanner = open(&bench).expect("it opens");
        let small = [("resolution", "50"), ("br-x", "203.2"), ("br-y", "100"), ("gamma", "custom")];
        let curved = scan(&mut *scanner, &small).expect("a page");
        assert!(curved.bytes != glass(&curved));
        for gamma in ["linear", "built-in"] {
            let plain = scan(&mut *scanner, &[("gamma", gamma)]).expect("a page");
            assert!(plain.bytes == glass(&plain), "{gamma}");
        }
    }
}

#[test]
fn sharpness_and_focus_are_told_to_the_scanner() {
    let said = |description: &str, options: &[(&str, &str)]| -> Vec<Vec<u8>> {
        let bench = bench(description);
        let all = [&[("resolution", "50"), ("br-y", "10")], options].concat();
        scan(&mut *open(&bench).expect("it opens"), &all).expect("a page");
        bench.lock().written.clone()
    };
    let has = |written: &[Vec<u8>], command: &[u8], parameter: &[u8]| {
        written.windows(2).any(|pair| pair[0] == command && pair[1] == parameter)
    };
    let plain = said("esci,dialect=esc,level=B8", &[("sharpness", "-1"), ("focus-position", "2.5 mm above the glass")]);
    assert!(has(&plain, b"\x1bQ", &[0xff]) && has(&plain, b"\x1bp", &[0x59]));
    let extended = said("esci", &[("sharpness", "2"), ("focus-position", "automatic")]);
    assert!(has(&extended, b"\x1bp", &[0xff]));
    assert!(extended.windows(2).any(|pair| pair[0] == b"\x1cW" && pair[1][35] == 2));
    assert!(has(&said("esci", &[]), b"\x1bp", &[0x40]), "the focus stays where another left it, so it is always said");
    assert!(open(&bench("esci,dialect=esc")).expect("it opens").options().get("focus-position").is_err());
}

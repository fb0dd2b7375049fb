//! A page comes out as it lies on the glass, whatever it is scanned as.

use usbscan_virtual::glass::{Glass, View};

use crate::page::{Page, PixelFormat, write_noise};
use crate::rig::Rig;

/// The whole glass of the scanner at 75 dpi.
const WHOLE_AT_75: View = View { dpi: (75, 75), left: 0, top: 0, width: 637, height: 877 };

fn scan(rig: &Rig, arguments: &[&str]) -> Page {
    let path = rig.path("page.png");
    let mut all = vec!["scan", "-o", path.to_str().expect("a plain path")];
    all.extend(arguments);
    rig.done(&all);
    Page::read_png(&path)
}

fn every_kind_shows_the_glass(dialect: &str) {
    let rig = Rig::new(&format!("esci,dialect={dialect}"));
    for kind in PixelFormat::ALL {
        let mut arguments = vec!["-r", "75"];
        arguments.extend(kind.arguments());
        let page = scan(&rig, &arguments);
        let view = View { width: page.width, height: page.height, ..WHOLE_AT_75 };
        assert!(WHOLE_AT_75.width - page.width < 8 && WHOLE_AT_75.height - page.height < 8, "{:?}", view);
        // The scanner leaves out pixels at the glass's edge that do not fill its last word of a line; those are white.
        page.assert_shows_but_for_a_white_edge(&Page::on_glass(&Glass::chart(), view, kind), 7);
    }
}

#[test]
fn every_kind_of_page_shows_the_glass_in_the_fs_dialect() {
    every_kind_shows_the_glass("fs");
}

#[test]
fn every_kind_of_page_shows_the_glass_in_the_esc_dialect() {
    every_kind_shows_the_glass("esc");
}

#[test]
fn an_all_in_one_scans_on_the_interface_that_is_its_scanner() {
    if Rig::left_out_with_a_gadget("a second interface") {
        return;
    }
    let rig = Rig::new("esci,printer=yes");
    let page = scan(&rig, &["-r", "75", "--mode", "gray", "--depth", "8"]);
    page.assert_shows(&Page::on_glass(&Glass::chart(), WHOLE_AT_75, PixelFormat::Gray8));
    let devices = rig.json(&["list"]);
    assert_eq!(devices["devices"][0]["interface"], 0, "{devices}");
}

#[test]
fn a_png_on_the_glass_comes_back_pixel_for_pixel() {
    let folder = tempfile::tempdir().expect("a folder");
    let glass = folder.path().join("glass.png");
    write_noise(&glass, 600, 448, 1);
    let rig = Rig::new(&format!("esci,glass={}", glass.display()));
    // 600 by 448 pixels at 300 dpi.
    let page = scan(&rig, &["-r", "300", "--mode", "color", "--area", "0,0,50.8,37.93"]);
    let lies = Page::read_png(&glass);
    page.assert_shows(&lies);
    assert_eq!(page.density, Some((11811, 11811)), "300 dpi, in pixels a metre");
}

#[test]
fn an_area_is_what_lies_there() {
    let rig = Rig::new("esci");
    for (dpi, left) in [(300, 240), (600, 480)] {
        let dpi_text = dpi.to_string();
        let page = scan(&rig, &["-r", &dpi_text, "--mode", "color", "--area", "20.32,40.64,50.8,25.4"]);
        let view = View { dpi: (dpi, dpi), left, top: left * 2, width: dpi * 2, height: dpi };
        page.assert_shows(&Page::on_glass(&Glass::chart(), view, PixelFormat::Color8));
    }
}

#[test]
fn a4_has_the_pixels_that_everyone_knows() {
    let rig = Rig::new("esci");
    let page = scan(&rig, &["-r", "150", "--mode", "gray", "--area", "A4"]);
    assert_eq!((page.width / 8 * 8, page.height), (1240, 1754));
}

#[test]
fn standard_output_gets_the_same_page_as_a_file_in_either_format() {
    let rig = Rig::new("esci");
    let area = ["-r", "100", "--area", "0,0,101.6,50.8"];
    for kind in PixelFormat::ALL {
        let mut arguments = area.to_vec();
        arguments.extend(kind.arguments());
        let file = scan(&rig, &arguments);
        for format in ["png", "pnm"] {
            let mut command = rig.usbscan(&["scan", "-o", "-", "--format", format]);
            let output = command.args(&arguments).output().expect("usbscan starts");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(output.stderr.is_empty(), "nothing is said in a pipe: {:?}", output.stderr);
            let page = if format == "png" { Page::from_png(&output.stdout) } else { Page::from_pnm(&output.stdout) };
            page.assert_shows(&file);
        }
    }
}

#[test]
fn the_programs_that_read_json_learn_what_was_scanned() {
    let rig = Rig::new("esci");
    let report = rig.json(&["scan", "-r", "75", "--mode", "gray", "-o", "page.pgm"]);
    let page = Page::from_pnm(&std::fs::read(rig.path("page.pgm")).expect("a page"));
    assert_eq!(report["device"], "usbscan0");
    assert_eq!(report["file"], "page.pgm");
    assert_eq!(report["width"], page.width);
    assert_eq!(report["height"], page.height);
    assert_eq!(report["pixels"], "gray8");
    assert_eq!(report["dpi"], serde_json::json!([75, 75]));
}

#[test]
fn list_status_and_options_tell_what_there_is() {
    let rig = Rig::new("esci");
    let list = rig.done(&["list"]);
    assert!(list.contains("usbscan0") && list.contains("04b8:0151"), "{list}");
    let listed = rig.json(&["list"]);
    assert_eq!(listed["devices"][0]["protocol"], "esci");
    let status = rig.done(&["status"]);
    assert!(status.starts_with("usbscan0"), "{status}");
    assert_eq!(rig.json(&["status"])["devices"][0]["sessions"], serde_json::json!([]));
    let options = rig.done(&["options"]);
    for word in ["mode = ", "Lineart", "resolution = 300 dpi", "12800", "br-x = ", "215.9"] {
        assert!(options.contains(word), "{word} in {options}");
    }
    let options = rig.json(&["options", "usbscan0"]);
    assert!(options["options"].as_array().is_some_and(|all| all.len() > 5), "{options}");
}

#[test]
fn a_scanner_is_named_by_its_name_or_its_whole_id() {
    let rig = Rig::with_scanners(&["esci,serial=LEFT", "esci,serial=RIGHT"]);
    let ended = rig.run(&["scan", "-o", "page.png"]);
    assert_eq!(ended.code, Some(2), "which one?");
    assert!(ended.stderr.contains("usbscan0") && ended.stderr.contains("usbscan1"), "{}", ended.stderr);
    assert_eq!(rig.run(&["scan", "04b8:0151:RI", "-o", "page.png"]).code, Some(4), "a whole id of another scanner");
    for name in ["usbscan1", "04b8:0151:RIGHT"] {
        let report = rig.json(&["scan", name, "-r", "50", "--area", "0,0,20,20", "-o", "page.png"]);
        assert!(report["device"] == "usbscan0" || report["device"] == "usbscan1", "{report}");
    }
    assert_eq!(rig.run(&["scan", "usbscan", "-o", "page.png"]).code, Some(2), "an ambiguous beginning");
}

#[test]
fn everything_works_in_one_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let mut command = crate::rig::program("usbscan");
        crate::program::Program::start(command.args(arguments).current_dir(folder.path())).end()
    };
    let ended = run(&["--virtual", "scan", "-r", "75", "-o", "page.png"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let page = Page::read_png(&folder.path().join("page.png"));
    let view = View { width: page.width, height: page.height, ..WHOLE_AT_75 };
    page.assert_shows(&Page::on_glass(&Glass::chart(), view, PixelFormat::Color8));
    let ended = run(&["list", "--virtual=esci,serial=A", "--virtual=loopback"]);
    assert!(ended.stdout.contains("usbscan1"), "{}{}", ended.stdout, ended.stderr);
    let ended = run(&["--virtual=copier", "list"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("copier") && ended.stderr.contains("esci"), "{}", ended.stderr);
}

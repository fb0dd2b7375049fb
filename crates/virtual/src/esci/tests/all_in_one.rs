//! An all-in-one of level D7, and sheets that end before the area does. The dialogues are those of published captures
//! (github.com/mtheuma/epson2paperless, tools/pcap-extract/captures), with smaller areas.

use super::*;
use crate::glass::Paper;

fn d7(feeder: Option<FeederSetup>) -> Host {
    Host::new(EsciSetup { level: Level::D7, feeder, ..EsciSetup::default() })
}

/// FS W as a WF-3620 was sent it: 8 lines a block, gamma 04, matrix.
fn fs_w(host: &mut Host, dpi: u32, area: [u32; 4], option: u8) {
    let mut bytes = FsW { dpi, area, colour: 0x13, depth: 8, block: 8 }.bytes();
    (bytes[26], bytes[29], bytes[31], bytes[33]) = (option, 4, 1, 0);
    host.exchange(&[FS, b'W'], &[ACK]);
    host.exchange(&bytes, &[ACK]);
}

/// The first bytes of FS F.
fn status(host: &mut Host) -> [u8; 4] {
    host.say(&[FS, b'F']);
    let bytes = host.receive();
    assert_eq!(bytes.len(), 16);
    assert!(bytes[4..].iter().all(|byte| *byte == 0));
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

/// FS G and a whole page of 75 dpi, 64 x 20: blocks of 8, 8 and 4 lines.
fn page(host: &mut Host) -> Vec<u8> {
    host.exchange(&[FS, b'G'], &[2, 2, 0, 6, 0, 0, 2, 0, 0, 0, 0, 3, 0, 0]);
    let mut page = Vec::new();
    for lines in [8, 8, 4] {
        let block = host.read(lines * 192 + 1);
        assert_eq!(block[lines * 192], 0);
        page.extend(&block[..lines * 192]);
        if lines == 8 {
            host.say(&[ACK]);
        }
    }
    page
}

#[test]
fn sheets_from_the_feeder_go_as_a_wf_3620_was_captured() {
    let mut host = d7(Some(FeederSetup { sheets: Sheet::numbered(2), duplex: true, ..FeederSetup::default() }));
    host.exchange(&[ESC, b'@'], &[ACK]);
    assert_eq!(status(&mut host), [0x01, 0x80, 0, 0xc0]);
    host.set(b'e', &[1]);
    assert_eq!(status(&mut host), [0x01, 0xc0, 0, 0xc0], "loaded");
    host.exchange(&[ESC, b'('], &[0x80]);
    let mut pages = Vec::new();
    for last in [false, true] {
        fs_w(&mut host, 75, [8, 8, 64, 20], 1);
        pages.push(page(&mut host));
        host.exchange(&[FF], &[ACK]);
        let empty = if last { [0x81, 0xe8, 0, 0xc0] } else { [0x01, 0xc0, 0, 0xc0] };
        assert_eq!(status(&mut host), empty);
    }
    assert_eq!(pages.len(), 2);
    host.exchange(&[ESC, b')'], &[0x80]);
}

#[test]
fn a_sheet_is_turned_by_ff_and_empty_is_told_behind_the_back() {
    let mut host = d7(Some(FeederSetup { sheets: Sheet::numbered(1), duplex: true, ..FeederSetup::default() }));
    host.set(b'e', &[2]);
    assert_eq!(status(&mut host), [0x01, 0xc1, 0, 0xc0]);
    fs_w(&mut host, 75, [0, 0, 64, 20], 2);
    page(&mut host);
    host.exchange(&[FF], &[ACK]);
    assert_eq!(status(&mut host), [0x01, 0xc1, 0, 0xc0], "the back is to come");
    page(&mut host);
    host.exchange(&[FF], &[ACK]);
    assert_eq!(status(&mut host), [0x81, 0xe9, 0, 0xc0]);
}

#[test]
fn a_page_that_was_not_put_out_keeps_the_next_from_beginning() {
    let mut host = d7(Some(FeederSetup { sheets: Sheet::numbered(2), ..FeederSetup::default() }));
    fs_w(&mut host, 75, [0, 0, 64, 20], 1);
    page(&mut host);
    host.say(&[FS, b'G']);
    assert_eq!(host.receive()[1] & 0x80, 0x80);
    host.exchange(&[FF], &[ACK]);
    page(&mut host);
}

#[test]
fn only_resolutions_of_its_hardware_are_taken() {
    let mut host = d7(None);
    for (dpi, answer) in [(100, NAK), (75, ACK), (150, ACK), (1200, ACK), (2400, NAK)] {
        host.exchange(&[FS, b'W'], &[ACK]);
        let mut settings = FsW { dpi, area: [0, 0, 64, 20], colour: 0, depth: 8, block: 8 }.bytes();
        settings[29] = 4;
        host.exchange(&settings, &[answer]);
    }
}

#[test]
fn an_answer_for_which_something_moves_comes_late() {
    let late = Duration::from_secs(3);
    let feeder = Some(FeederSetup { sheets: Sheet::numbered(1), ..FeederSetup::default() });
    let conditions = Conditions { late, ..Conditions::default() };
    let mut host = Host::new(EsciSetup { level: Level::D7, feeder, conditions, ..EsciSetup::default() });
    fs_w(&mut host, 75, [0, 0, 64, 20], 1);
    host.say(&[FS, b'G']);
    let mut buffer = [0; 512];
    assert_eq!(host.scanner.bulk_in(host.now, IN, &mut buffer), In::NakUntil(host.now + late));
    host.now += late;
    assert_eq!(host.scanner.bulk_in(host.now, IN, &mut buffer), In::Data(14));
}

/// A sheet of 10 mm in an area of 75 dpi: 30 lines of it there.
fn with_a_card() -> Host {
    let paper = Some(Paper { width: 20_000, height: 10_000 });
    let feeder = FeederSetup { sheets: Sheet::numbered(1), paper, ..FeederSetup::default() };
    Host::new(EsciSetup { feeder: Some(feeder), ..EsciSetup::default() })
}

#[test]
fn a_sheet_that_ends_is_told_in_the_error_byte_and_eot_ends_the_page() {
    let mut host = with_a_card();
    host.say(&[FS, b'I']);
    assert_eq!(host.receive()[45] & 1, 1, "it notices the end of a page");
    let mut settings = FsW { dpi: 75, area: [0, 0, 16, 100], colour: 0, depth: 8, block: 20 }.bytes();
    settings[26] = 1;
    host.exchange(&[FS, b'W'], &[ACK]);
    host.exchange(&settings, &[ACK]);
    host.exchange(&[0x19], &[ACK]);
    host.say(&[FS, b'G']);
    host.receive();
    assert_eq!(host.read(20 * 16 + 1)[320], 0);
    host.exchange(&[EOT], &[NAK]);
    host.say(&[ACK]);
    let block = host.read(20 * 16 + 1);
    assert_eq!(block[320], 0x20);
    assert!(block[10 * 16..320].iter().all(|byte| *byte == crate::glass::BACKDROP), "below the sheet");
    host.exchange(&[EOT], &[ACK]);
    host.say(&[FS, b'S']);
    assert_eq!(host.receive()[20..24], [40, 0, 0, 0], "the lines that went");
    host.exchange(&[ESC, b'F'], &[STX, 0x92, 0, 0]);
}

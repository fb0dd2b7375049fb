//! Scans that come out right, in both dialects.

use super::*;

#[test]
fn a_block_mode_scan_brings_the_chart_and_ends_without_an_ack() {
    for (mut host, fs) in [(Host::esc(Level::B7), 0x00), (Host::fs(), 0x02)] {
        set_up_colour(&mut host, [88, 116, 144, 50], Some(20));
        host.say(&[ESC, b'G']);
        let mut image = Vec::new();
        for (status, lines) in [(0x08, 20), (0x08, 20), (0x28, 10)] {
            assert_eq!(host.receive(), [STX, status | fs, 0xb0, 0x01, lines, 0]);
            image.extend(host.read(usize::from(lines) * 432));
            host.assert_silent();
            if lines == 20 {
                host.say(&[ACK]);
            }
        }
        assert!(image == bytes_of(&chart(100, [88, 116, 144, 50], Mode::Color, Bits::Eight)));
        host.exchange(&[ESC, b'F'], &[STX, fs, 0, 0]);
        host.exchange(&[ESC, b'S'], &[STX, fs, 45, 0]);
        assert_eq!(host.receive()[40], 0, "ESC d fell back to line mode");
    }
}

#[test]
fn a_line_mode_scan_has_a_header_of_four_bytes_a_line() {
    let mut host = Host::esc(Level::B5);
    set_up_colour(&mut host, [0, 0, 16, 3], None);
    host.say(&[ESC, b'G']);
    for (status, last) in [(0x08, false), (0x08, false), (0x28, true)] {
        assert_eq!(host.receive(), [STX, status, 48, 0]);
        host.read(48);
        if !last {
            host.say(&[ACK]);
        }
    }
    host.exchange(&[ESC, b'@'], &[ACK]);
}

#[test]
fn line_and_page_sequence_name_the_colour_of_each_line() {
    let run = |colour: u8| {
        let mut host = Host::esc(Level::B7);
        set_up_colour(&mut host, [0, 0, 8, 2], None);
        host.set(b'C', &[colour]);
        host.say(&[ESC, b'G']);
        let mut statuses = Vec::new();
        for line in 0..6 {
            statuses.push(host.receive()[1]);
            host.read(8);
            if line < 5 {
                host.say(&[ACK]);
            }
        }
        host.exchange(&[ESC, b'F'], &[STX, 0, 0, 0]);
        statuses
    };
    assert_eq!(run(0x12), [0x08, 0x04, 0x0c, 0x08, 0x04, 0x2c]);
    assert_eq!(run(0x02), [0x04, 0x08, 0x0c, 0x04, 0x08, 0x2c]);
    assert_eq!(run(0x11), [0x08, 0x28, 0x04, 0x24, 0x0c, 0x2c]);
}

#[test]
fn an_extended_scan_has_one_header_and_an_error_byte_a_block() {
    let mut host = Host::fs();
    let area = [88, 116, 145, 50];
    host.fs_w(&FsW { dpi: 99, area, colour: 0x13, depth: 8, block: 20 });
    host.exchange(&[FS, b'G'], &[STX, 0x02, 0xfc, 0x21, 0, 0, 2, 0, 0, 0, 0xfe, 0x10, 0, 0]);
    let mut image = Vec::new();
    for (lines, last) in [(20, false), (20, false), (10, true)] {
        let mut block = host.read(lines * 435 + 1);
        assert_eq!(block.pop(), Some(0), "the error byte");
        image.extend(block);
        host.assert_silent();
        if !last {
            host.say(&[ACK]);
        }
    }
    assert!(image == bytes_of(&chart(99, area, Mode::Color, Bits::Eight)));
    host.exchange(&[ESC, b'@'], &[ACK]);
}

#[test]
fn a_scan_that_divides_evenly_still_has_an_extra_block() {
    let mut host = Host::fs();
    host.fs_w(&FsW { dpi: 100, area: [0, 0, 8, 40], colour: 0, depth: 8, block: 20 });
    host.exchange(&[FS, b'G'], &[STX, 2, 160, 0, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0]);
}

#[test]
fn gray_lineart_and_16_bits_are_those_of_the_glass() {
    let area = [88, 116, 144, 50];
    let mut host = Host::fs();
    let mut scan = |colour, depth| {
        host.fs_w(&FsW { dpi: 100, area, colour, depth, block: 255 });
        host.say(&[FS, b'G']);
        let header = host.receive();
        let length = u32::from_le_bytes([header[10], header[11], header[12], header[13]]) as usize;
        let mut block = host.read(length + 1);
        block.pop();
        block
    };
    assert!(scan(0x00, 8) == bytes_of(&chart(100, area, Mode::Gray, Bits::Eight)));
    let wide: Vec<u8> = chart(100, area, Mode::Color, Bits::Sixteen).iter().flat_map(|v| v.to_le_bytes()).collect();
    assert!(scan(0x13, 16) == wide);
    let bits: Vec<u8> = scan(0x00, 1).iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    assert!(bits == bytes_of(&chart(100, area, Mode::Lineart { threshold: 128 }, Bits::Eight)));
}

#[test]
fn a_downloaded_gamma_table_is_applied_when_it_is_chosen() {
    let mut host = Host::fs();
    let mut inverse = vec![b'M'];
    inverse.extend((0..=255u8).rev());
    host.set(b'z', &inverse);
    let mut settings = FsW { dpi: 100, area: [0, 0, 16, 1], colour: 0, depth: 8, block: 1 }.bytes();
    settings[29] = 0x03;
    host.exchange(&[FS, b'W'], &[ACK]);
    host.exchange(&settings, &[ACK]);
    host.say(&[FS, b'G']);
    host.receive();
    let inverted: Vec<u8> = chart(100, [0, 0, 16, 1], Mode::Gray, Bits::Eight).iter().map(|v| 255 - *v as u8).collect();
    assert_eq!(host.read(17)[..16], inverted);
}

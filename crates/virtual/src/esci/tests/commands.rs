//! Identity, settings, and bytes that mean nothing.

use super::*;

#[test]
fn a_scanner_identifies_itself_as_the_fact_sheet_says() {
    let mut host = Host::fs();
    host.exchange(&[ESC, b'@'], &[ACK]);
    host.exchange(&[ESC, b'I'], &[STX, 0x02, 106, 0]);
    assert_eq!(host.receive().len(), 106);
    host.exchange(&[ESC, b'F'], &[STX, 0x02, 0, 0]);
    host.exchange(&[ESC, b'f'], &[STX, 0x02, 42, 0]);
    let status = host.receive();
    assert_eq!((status[0], &status[12..16], &status[26..33]), (1, &[0x40, 0x6a, 0x40, 0x92][..], &b"GT-X980"[..]));
    host.say(&[FS, b'I']);
    assert_eq!(host.receive().len(), 80);
    host.exchange(&[FS, b'F'], &[0; 16]);
    host.exchange(&[ESC, b'q'], &[STX, 0x02, 2, 0]);
    assert_eq!(host.receive(), [0, 0x40]);
    host.exchange(&[ESC, b'!'], &[STX, 0x02, 1, 0]);
    assert_eq!(host.receive(), [0]);
    host.exchange(&[ESC, b'S'], &[STX, 0x02, 45, 0]);
    assert_eq!(host.receive().len(), 45);
    host.assert_silent();
}

#[test]
fn a_plain_scanner_has_no_fs_commands() {
    let mut host = Host::esc(Level::B7);
    for code in *b"IFSWG" {
        host.exchange(&[FS, code], &[NAK]);
    }
    host.exchange(&[ESC, b'('], &[NAK]);
    host.exchange(&[ESC, b'F'], &[STX, 0x00, 0, 0]);
    host.exchange(&[ESC, b'I'], &[STX, 0x00, 106, 0]);
    assert_eq!(host.receive()[..2], *b"B7");
}

#[test]
fn each_level_has_its_commands() {
    let knows = |level: Level, code: u8| {
        let mut host = Host::esc(level);
        host.say(&[ESC, code]);
        host.receive() != [NAK]
    };
    assert_eq!([Level::B4, Level::B5, Level::B7, Level::B8].map(|l| knows(l, b'K')), [false, true, true, true]);
    assert_eq!([Level::B4, Level::B5, Level::B7, Level::B8].map(|l| knows(l, b't')), [false, false, true, true]);
    assert_eq!([Level::B4, Level::B5, Level::B7, Level::B8].map(|l| knows(l, b'q')), [false, false, false, true]);
}

#[test]
fn unknown_bytes_are_refused_and_the_next_command_works() {
    let mut host = Host::fs();
    for stray in [0x00, 0x07, 0x0c, 0x19, 0x41, 0xff, ACK, CAN, 0x04] {
        host.exchange(&[stray], &[NAK]);
    }
    for code in [0x00, b'i', b'w', b'P', b'#', b'[', b'1', b'X', ESC] {
        host.exchange(&[ESC, code], &[NAK]);
    }
    for code in *b"XYZ" {
        host.exchange(&[FS, code], &[NAK]);
    }
    host.exchange(&[ESC, b'@'], &[ACK]);
    host.assert_silent();
}

#[test]
fn a_refused_value_leaves_the_old_one() {
    let mut host = Host::fs();
    host.set(b'D', &[8]);
    host.exchange(&[ESC, b'D'], &[ACK]);
    host.exchange(&[9], &[NAK]);
    host.exchange(&[ESC, b'S'], &[STX, 0x02, 45, 0]);
    assert_eq!(host.receive()[17], 8);
}

#[test]
fn commands_split_at_every_byte_mean_the_same() {
    let mut host = Host::fs();
    let stream = [&[ESC, b'R', 0x2c, 1, 0x2c, 1, ESC, b'C', 0x13, ESC, b'F'][..], &[ESC, b'm'], &[1; 9]].concat();
    for byte in stream {
        host.say(&[byte]);
    }
    for expected in [&[ACK][..], &[ACK], &[ACK], &[ACK], &[STX, 2, 0, 0], &[ACK], &[ACK]] {
        assert_eq!(host.receive(), expected);
    }
}

#[test]
fn tables_and_dither_patterns_are_taken_whole() {
    let mut host = Host::fs();
    let mut table = vec![b'r'];
    table.extend(0..=255u8);
    host.set(b'z', &table);
    host.exchange(&[ESC, b'z'], &[ACK]);
    table[0] = b'X';
    host.exchange(&table, &[NAK]);
    for side in [4u8, 8, 16] {
        let mut pattern = vec![1, side];
        pattern.resize(2 + usize::from(side) * usize::from(side), 7);
        host.set(b'b', &pattern);
    }
    host.exchange(&[ESC, b'b'], &[ACK]);
    host.exchange(&[0, 5], &[NAK]);
    host.exchange(&[ESC, b'F'], &[STX, 2, 0, 0]);
}

#[test]
fn an_all_in_ones_printer_takes_what_it_is_sent_and_the_scanner_hears_none_of_it() {
    let mut host = Host::new(EsciSetup { printer: true, ..EsciSetup::default() });
    let (out, answers) = (EndpointAddress(0x04), EndpointAddress(0x85));
    let interfaces = &host.scanner.descriptors().configuration.interfaces;
    assert_eq!(
        interfaces.iter().map(usbscan_usb::InterfaceDescriptor::class_triple).collect::<Vec<_>>(),
        [(255, 255, 255), (7, 1, 2)]
    );
    assert_eq!(interfaces[1].endpoints.iter().map(|pipe| pipe.address).collect::<Vec<_>>(), [out, answers]);
    host.say(&[ESC]);
    assert_eq!(host.scanner.bulk_out(host.now, out, b"G"), Out::Ack);
    assert_eq!(host.scanner.bulk_in(host.now, answers, &mut [0; 512]), In::Nak);
    host.exchange(b"@", &[ACK]);
}

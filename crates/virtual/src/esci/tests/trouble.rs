//! Cancels, scanners left in the middle of a job, and everything that can be the matter with one.

use super::*;

/// Both dialects, in the middle of a scan: after one block, the answer due.
fn mid_scan() -> [(Host, &'static str, u8); 2] {
    let mut plain = Host::esc(Level::B7);
    set_up_colour(&mut plain, [0, 0, 16, 30], Some(10));
    plain.say(&[ESC, b'G']);
    plain.receive();
    plain.read(480);
    let mut extended = Host::fs();
    extended.fs_w(&FsW { dpi: 100, area: [0, 0, 16, 30], colour: 0x13, depth: 8, block: 10 });
    extended.say(&[FS, b'G']);
    extended.receive();
    extended.read(481);
    [(plain, "ESC", 0x00), (extended, "FS", 0x02)]
}

#[test]
fn cancel_in_mid_page_is_acknowledged_and_the_scanner_is_idle() {
    for (mut host, dialect, fs) in mid_scan() {
        host.exchange(&[CAN], &[ACK]);
        host.assert_silent();
        host.exchange(&[ESC, b'F'], &[STX, fs, 0, 0]);
        host.exchange(&[CAN], &[NAK]);
        host.exchange(&[ESC, b'@'], &[ACK]);
        println!("{dialect}: idle");
    }
}

#[test]
fn stray_bytes_in_mid_scan_are_refused_and_the_scan_goes_on() {
    for (mut host, dialect, _) in mid_scan() {
        for stray in [&[ESC, b'f'][..], &[ESC, b'@'], &[FS, b'F'], &[0x00], &[0x04], &[0x0c]] {
            host.exchange(stray, &[NAK]);
        }
        host.say(&[ACK]);
        if dialect == "ESC" {
            assert_eq!(host.receive()[0], STX);
            host.read(480);
        } else {
            host.read(481);
        }
        host.exchange(&[CAN], &[ACK]);
    }
}

#[test]
fn what_is_said_while_a_block_is_pushed_is_heard_after_it() {
    let mut host = Host::fs();
    host.fs_w(&FsW { dpi: 100, area: [0, 0, 16, 30], colour: 0x13, depth: 8, block: 20 });
    host.say(&[FS, b'G']);
    host.receive();
    let mut buffer = [0; 512];
    assert_eq!(host.scanner.bulk_in(host.now, IN, &mut buffer), In::Data(512));
    host.say(&[CAN]);
    host.read(20 * 48 + 1 - 512);
    assert_eq!(host.receive(), [ACK]);
    host.exchange(&[ESC, b'@'], &[ACK]);
}

/// The procedure of docs/esc-i.md, "A scanner that was left in the middle of a job", on such a scanner.
fn resynchronise(host: &mut Host) {
    while !host.receive().is_empty() {}
    host.say(&[CAN]);
    while !host.receive().is_empty() {}
    host.say(&[ESC, b'@']);
    if host.receive() == [ACK] {
        return host.assert_silent();
    }
    for _ in 0..257 {
        host.say(&[0]);
        if !host.receive().is_empty() {
            break;
        }
    }
    host.exchange(&[ESC, b'@'], &[ACK]);
    host.assert_silent();
}

#[test]
fn a_scanner_left_in_any_state_is_brought_back_by_the_procedure() {
    let idle = Host::fs();
    let [(waiting, ..), (waiting_fs, ..)] = mid_scan();
    let mut pushing = Host::fs();
    pushing.fs_w(&FsW { dpi: 100, area: [0, 0, 160, 300], colour: 0x13, depth: 8, block: 100 });
    pushing.say(&[FS, b'G']);
    pushing.receive();
    pushing.scanner.bulk_in(pushing.now, IN, &mut [0; 1024]);
    let parameters = |said: &[u8]| {
        let mut host = Host::fs();
        host.say(said);
        host
    };
    let left = [
        (idle, "idle"),
        (waiting, "waiting for ACK, ESC"),
        (waiting_fs, "waiting for ACK, FS"),
        (pushing, "pushing a block"),
        (parameters(&[ESC]), "after ESC"),
        (parameters(&[ESC, b'A', 1]), "in an area"),
        (parameters(&[ESC, b'z', b'R', 1, 2, 3]), "in a gamma table"),
        (parameters(&[FS, b'W', 0, 0]), "in FS W"),
        (parameters(&[ESC, b'I', ESC, b'f']), "with replies unread"),
    ];
    for (mut host, state) in left {
        println!("{state}");
        resynchronise(&mut host);
    }
}

#[test]
fn warming_up_refuses_a_scan_until_it_is_over() {
    let mut host = Host::with(Conditions { warm_up: Duration::from_secs(5), ..Conditions::default() });
    host.fs_w(&FsW { dpi: 100, area: [0, 0, 8, 1], colour: 0, depth: 8, block: 1 });
    host.say(&[FS, b'F']);
    assert_eq!(host.receive()[0], 0x02);
    host.exchange(&[FS, b'G'], &[STX, 0x82, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    host.exchange(&[ESC, b'F'], &[STX, 0x02, 0, 0]);
    host.now += Duration::from_secs(5);
    host.exchange(&[FS, b'F'], &[0; 16]);
    host.say(&[FS, b'G']);
    assert_eq!(host.receive()[..2], [STX, 0x02]);
}

#[test]
fn an_open_cover_and_a_jam_are_told_and_refuse_a_scan() {
    for (conditions, body) in [
        (Conditions { cover_open: true, ..Conditions::default() }, 0xe2),
        (Conditions { jam: true, ..Conditions::default() }, 0xe4),
    ] {
        let mut host = Host::with(conditions);
        let panel = host.scanner.panel();
        host.fs_w(&FsW { dpi: 100, area: [0, 0, 8, 1], colour: 0, depth: 8, block: 1 });
        host.say(&[FS, b'F']);
        let status = host.receive();
        assert_eq!((status[0], status[3]), (0x80, body));
        host.exchange(&[ESC, b'f'], &[STX, 0x82, 42, 0]);
        let status = host.receive();
        assert_eq!((status[0], status[11]), (0x81, body));
        host.say(&[FS, b'G']);
        assert_eq!(host.receive()[..6], [STX, 0x82, 0, 0, 0, 0]);
        panel.change(|conditions| *conditions = Conditions::default());
        host.say(&[FS, b'G']);
        assert_eq!(host.receive()[1], 0x02);
    }
}

#[test]
fn in_use_elsewhere_is_not_ready() {
    let mut host = Host::with(Conditions { busy: crate::Busy::Always, ..Conditions::default() });
    host.fs_w(&FsW { dpi: 100, area: [0, 0, 8, 1], colour: 0, depth: 8, block: 1 });
    host.exchange(&[ESC, b'F'], &[STX, 0x42, 0, 0]);
    host.exchange(&[ESC, b'('], &[0x40]);
    host.say(&[FS, b'G']);
    assert_eq!(host.receive()[1], 0x42);
    host.set(b'd', &[3]);
    host.set(b'D', &[8]);
    host.exchange(&[ESC, b'G'], &[STX, 0x42, 0, 0, 0, 0]);
    host.exchange(&[ESC, b'G'], &[STX, 0x42, 0, 0]);
}

#[test]
fn a_dead_lamp_is_a_fatal_state_that_only_a_reset_ends() {
    let mut host = Host::with(Conditions { lamp_dead: true, ..Conditions::default() });
    host.fs_w(&FsW { dpi: 100, area: [0, 0, 8, 1], colour: 0, depth: 8, block: 1 });
    host.say(&[FS, b'G']);
    assert_eq!(host.receive()[1], 0x82);
    host.exchange(&[ESC, b'C'], &[NAK]);
    host.exchange(&[ESC, b'F'], &[STX, 0x82, 0, 0]);
    host.say(&[FS, b'F']);
    assert_eq!(host.receive()[0], 0x80);
    host.exchange(&[ESC, b'@'], &[ACK]);
    host.exchange(&[ESC, b'F'], &[STX, 0x02, 0, 0]);
}

#[test]
fn a_fatal_error_in_mid_scan_ends_the_data_and_happens_once() {
    let setting = FsW { dpi: 100, area: [0, 0, 16, 30], colour: 0x13, depth: 8, block: 10 };
    let mut host = Host::with(Conditions { fatal_at: Some(500), ..Conditions::default() });
    for error_byte in [0x80, 0x00] {
        host.exchange(&[ESC, b'@'], &[ACK]);
        host.fs_w(&setting);
        host.say(&[FS, b'G']);
        host.receive();
        assert_eq!(host.read(481)[480], 0);
        host.say(&[ACK]);
        assert_eq!(host.read(481)[480], error_byte);
        if error_byte == 0 {
            host.exchange(&[CAN], &[ACK]);
        } else {
            host.exchange(&[ACK], &[NAK]);
            host.exchange(&[ESC, b'F'], &[STX, 0x82, 0, 0]);
        }
    }
    let conditions = Conditions { fatal_at: Some(500), ..Conditions::default() };
    let mut host = Host::new(EsciSetup { dialect: Dialect::Esc, level: Level::B7, conditions, ..EsciSetup::default() });
    set_up_colour(&mut host, [0, 0, 16, 30], Some(10));
    host.say(&[ESC, b'G']);
    host.receive();
    host.read(480);
    host.exchange(&[ACK], &[STX, 0x88, 0, 0, 0, 0]);
    host.assert_silent();
    host.exchange(&[ESC, b'C'], &[NAK]);
    host.exchange(&[ESC, b'@'], &[ACK]);
}

#[test]
fn the_cancel_button_is_told_in_the_error_byte_once() {
    let mut host = Host::with(Conditions { cancel_at: Some(500), ..Conditions::default() });
    host.fs_w(&FsW { dpi: 100, area: [0, 0, 16, 30], colour: 0x13, depth: 8, block: 10 });
    for error_byte in [0x10, 0x00] {
        host.say(&[FS, b'G']);
        host.receive();
        host.read(481);
        host.say(&[ACK]);
        assert_eq!(host.read(481)[480], error_byte);
        host.exchange(&[CAN], &[ACK]);
    }
}

#[test]
fn a_button_press_is_told_once() {
    let mut host = Host::fs();
    host.scanner.panel().change(|conditions| conditions.button = 2);
    for pressed in [2, 0] {
        host.exchange(&[ESC, b'!'], &[STX, 2, 1, 0]);
        assert_eq!(host.receive(), [pressed]);
    }
}

#[test]
fn fs_g_needs_fs_w_and_esc_g_a_depth_that_goes_with_its_colour() {
    let mut host = Host::fs();
    host.exchange(&[FS, b'G'], &[NAK]);
    host.set(b'C', &[0x13]);
    host.exchange(&[ESC, b'G'], &[NAK]);
    host.set(b'D', &[16]);
    host.set(b'R', &[0x80, 0x0c, 0x80, 0x0c]);
    host.exchange(&[ESC, b'G'], &[NAK]);
    host.exchange(&[ESC, b'F'], &[STX, 2, 0, 0]);
}

#[test]
fn a_bus_reset_ends_a_scan_and_what_was_half_said() {
    for (mut host, ..) in mid_scan() {
        host.scanner.reset();
        host.assert_silent();
        host.say(&[ESC, b'A', 1, 2]);
        host.scanner.reset();
        host.exchange(&[ESC, b'@'], &[ACK]);
        host.assert_silent();
    }
}

#[test]
fn a_host_that_never_reads_is_held_off() {
    let mut scanner = Esci::default();
    let now = Instant::now();
    let flood = [ESC, b'I'].repeat(256);
    let taken = (0..100).take_while(|_| scanner.bulk_out(now, OUT, &flood) == Out::Ack).count();
    assert!(taken < 20, "{taken} packets of commands were taken without a reply being read");
    let mut host = Host { scanner, now };
    while !host.receive().is_empty() {}
    host.exchange(&[ESC, b'@'], &[ACK]);
}

#[test]
fn no_bytes_make_it_panic() {
    let mut state = 7u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let likely = [ESC, FS, ACK, CAN, b'G', b'W', b'd', b'@', b'z', b'A', b'R', b'D', 0, 1, 8, 0x13, 0xff];
    for level in [Level::B4, Level::B8] {
        let mut scanner = Esci::new(EsciSetup { level, ..EsciSetup::default() });
        let now = Instant::now();
        let mut buffer = vec![0; 64 * 1024];
        for _ in 0..20_000 {
            let packet: Vec<u8> = (0..random() % 70).map(|_| likely[random() as usize % likely.len()]).collect();
            scanner.bulk_out(now, OUT, &packet);
            if random() % 3 == 0 {
                scanner.bulk_in(now, IN, &mut buffer);
            }
        }
    }
}

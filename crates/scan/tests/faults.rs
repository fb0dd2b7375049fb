//! What a scanner says is wrong with it comes out in words; what it does wrong on the wire ends in an error, never in a hang,
//! and the next page is right wherever that can be.

mod support;

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use usbscan_usb::EndpointAddress;
use usbscan_virtual::{Descriptors, In, Model, Out};

use support::{Page, bench, open, scan};
use usbscan_scan::{DeviceError, OptionError, ScanError, TransportError, sources};

const SMALL: [(&str, &str); 4] = [("mode", "gray"), ("resolution", "150"), ("br-x", "130"), ("br-y", "110")];
const DIALECTS: [&str; 2] = ["fs", "esc"];
/// Scanners of all kinds, behind `esci,dialect=`.
const KINDS: [&str; 6] = ["fs", "esc", "fs,adf=3,duplex", "esc,adf=3,duplex", "esc,level=D1", "esc,level=B3"];

fn failure(description: &str) -> ScanError {
    let bench = bench(description);
    let mut scanner = open(&bench).expect("it opens");
    scan(&mut *scanner, &SMALL).expect_err("no page")
}

#[test]
fn what_a_person_must_put_right_is_said() {
    for dialect in DIALECTS {
        let said = [
            ("cover=open", DeviceError::CoverOpen),
            ("paper=jam", DeviceError::PaperJam),
            ("lamp=dead", DeviceError::Fatal),
            ("busy=always", DeviceError::Busy),
            ("fault=fatal@0", DeviceError::Fatal),
            ("fault=fatal@200000", DeviceError::Fatal),
        ];
        for (condition, problem) in said {
            let error = failure(&format!("esci,dialect={dialect},{condition}"));
            assert!(matches!(error, ScanError::Device(said) if said == problem), "{dialect} {condition}: {error:?}");
        }
    }
}

#[test]
fn when_it_is_put_right_the_same_scanner_scans() {
    for dialect in [usbscan_virtual::Dialect::Fs, usbscan_virtual::Dialect::Esc] {
        let level = usbscan_virtual::Level::B7;
        let model = usbscan_virtual::Esci::new(usbscan_virtual::EsciSetup { dialect, level, ..Default::default() });
        let panel = model.panel();
        let bench = Arc::new(Mutex::new(support::Rig::new(Box::new(model))));
        let mut scanner = open(&bench).expect("it opens");
        for condition in 0..5 {
            panel.change(|conditions| match condition {
                0 => conditions.cover_open = true,
                1 => conditions.jam = true,
                2 => conditions.lamp_dead = true,
                3 => conditions.busy = usbscan_virtual::Busy::Always,
                _ => conditions.fatal_at = Some(100_000),
            });
            assert!(matches!(scan(&mut *scanner, &SMALL), Err(ScanError::Device(_))), "{dialect:?} {condition}");
            panel.change(|conditions| *conditions = usbscan_virtual::Conditions::default());
            assert!(bench.lock().is_idle(), "{dialect:?} {condition}");
            assert!(scan(&mut *scanner, &SMALL).expect("a page").is_whole, "{dialect:?} {condition}");
        }
    }
}

#[test]
fn a_lamp_that_warms_up_is_waited_for() {
    for dialect in ["fs", "esc", "fs,adf=1", "esc,adf=1", "fs,tpu", "esc,tpu", "esc,level=D1", "esc,level=B3"] {
        // On the rig's clock, which moves with every question.
        let bench = bench(&format!("esci,dialect={dialect},warmup=0.05"));
        let mut scanner = open(&bench).expect("it opens");
        scanner.options_mut().set_all(SMALL).expect("good options");
        for source in [sources::FEEDER, sources::TRANSPARENCY] {
            // Where there is one.
            let _ = scanner.options_mut().set_text("source", source);
        }
        let (mut page, mut warming) = (Page::default(), 0);
        scanner
            .scan(&mut page, &mut |progress| {
                warming += u32::from(matches!(progress, usbscan_scan::Progress::WarmingUp { .. }))
            })
            .expect("a page");
        assert!(page.is_whole && warming > 5, "{dialect}: asked {warming} times");
    }
}

#[test]
fn a_pipe_that_fails_in_mid_page_ends_it_with_an_error_and_the_next_page_is_right() {
    let right = scan(&mut *open(&bench("esci")).expect("it opens"), &SMALL).expect("a page").bytes;
    for dialect in DIALECTS {
        for fault in ["stall", "babble", "garble"] {
            for at in [2_000, 64_000, 131_500, 300_000] {
                let bench = bench(&format!("esci,dialect={dialect},fault={fault}@{at}"));
                let mut scanner = open(&bench).expect("it opens");
                let error = scan(&mut *scanner, &SMALL).expect_err("no page");
                let expected = match fault {
                    "stall" => matches!(error, ScanError::Transport(TransportError::Stall { .. })),
                    "babble" => matches!(error, ScanError::Transport(TransportError::Overrun)),
                    _ => matches!(error, ScanError::Transport(TransportError::Bus { .. })),
                };
                assert!(expected, "{dialect} {fault}@{at}: {error:?}");
                assert!(bench.lock().is_idle(), "{dialect} {fault}@{at}");
                let page = scan(&mut *scanner, &SMALL).expect("the next page");
                assert!(page.bytes == right, "{dialect} {fault}@{at}");
            }
        }
    }
}

#[test]
fn a_pipe_that_fails_while_it_is_opened_is_used_again() {
    for dialect in DIALECTS {
        for fault in ["stall", "garble", "babble"] {
            for at in [0, 1, 4, 60, 112] {
                let bench = bench(&format!("esci,dialect={dialect},fault={fault}@{at}"));
                let mut scanner = open(&bench).expect("it opens");
                assert!(scan(&mut *scanner, &SMALL).expect("a page").is_whole, "{dialect} {fault}@{at}");
            }
        }
    }
}

#[test]
fn a_scanner_that_falls_silent_is_given_up_in_words() {
    for dialect in DIALECTS {
        let error = failure(&format!("esci,dialect={dialect},fault=silence@100k"));
        assert!(matches!(error, ScanError::NoResponse { .. }), "{error:?}");
        assert_eq!(error.to_string(), "the scanner did not answer the image for 60 s");
        for fault in ["silence", "out-silence"] {
            let bench = bench(&format!("esci,dialect={dialect},fault={fault}@0"));
            bench.lock().refuses_reset = true;
            let error = open(&bench).map(drop).expect_err("it says nothing");
            assert!(matches!(error, ScanError::OutOfSync), "{error:?}");
        }
    }
}

#[test]
fn a_scanner_that_is_mute_until_its_port_is_reset_opens() {
    for dialect in DIALECTS {
        for fault in ["silence", "out-silence"] {
            let bench = bench(&format!("esci,dialect={dialect},fault={fault}@0"));
            let mut scanner = open(&bench).expect("it opens");
            assert_eq!(bench.lock().resets, 1);
            assert!(scan(&mut *scanner, &SMALL).expect("a page").is_whole);
        }
    }
}

#[test]
fn an_unplug_is_told_at_once() {
    for dialect in DIALECTS {
        let error = failure(&format!("esci,dialect={dialect},fault=unplug@100k"));
        assert!(matches!(error, ScanError::Transport(TransportError::NoDevice)), "{error:?}");
        assert_eq!(error.to_string(), "the scanner is gone: it was unplugged or switched off");
    }
}

type Twist = Box<dyn FnMut(&mut [u8]) + Send>;

/// A scanner whose words somebody twists.
struct Twisted {
    inner: Box<dyn Model>,
    /// A packet that it refuses instead.
    refuses: Option<[u8; 2]>,
    refusal_is_due: bool,
    /// What becomes of replies of at most 128 bytes.
    twist: Twist,
}

impl Model for Twisted {
    fn descriptors(&self) -> &Descriptors {
        self.inner.descriptors()
    }

    fn bulk_out(&mut self, now: Instant, endpoint: EndpointAddress, packet: &[u8]) -> Out {
        if self.refuses.is_some_and(|refused| packet == refused) {
            self.refusal_is_due = true;
            return Out::Ack;
        }
        self.inner.bulk_out(now, endpoint, packet)
    }

    fn bulk_in(&mut self, now: Instant, endpoint: EndpointAddress, room: &mut [u8]) -> In {
        if std::mem::take(&mut self.refusal_is_due) {
            room[0] = 0x15;
            return In::Data(1);
        }
        let answer = self.inner.bulk_in(now, endpoint, room);
        if let In::Data(n @ ..=128) = answer {
            (self.twist)(&mut room[..n]);
        }
        answer
    }

    fn reset(&mut self) {
        self.inner.reset();
    }
}

fn twisted(dialect: &str, refuses: Option<[u8; 2]>, twist: impl FnMut(&mut [u8]) + Send + 'static) -> support::Bench {
    let inner = usbscan_virtual::spec::parse(&format!("esci,dialect={dialect}")).expect("a good description");
    let model = Twisted { inner, refuses, refusal_is_due: false, twist: Box::new(twist) };
    Arc::new(Mutex::new(support::Rig::new(Box::new(model))))
}

#[test]
fn a_refused_parameter_is_named_with_its_value() {
    let plain = [("mode", "gray"), ("resolution", "300"), ("br-x", "101.6"), ("br-y", "25.4")];
    let refused = [
        ("esc", *b"\x1bR", "the scanner refused the resolution 300 dpi (ESC R)"),
        ("esc", *b"\x1bC", "the scanner refused gray with 8 bits (ESC C)"),
        ("esc", *b"\x1bA", "the scanner refused the area 1200 x 300 at 0, 0 pixels (ESC A)"),
        ("esc", *b"\x1bG", "the scanner refused the start of the scan (ESC G)"),
        (
            "fs",
            *b"\x1cW",
            "the scanner refused 300 dpi, gray with 8 bits, the area 1200 x 300 at 0, 0 pixels, in blocks of 108 lines (FS W)",
        ),
        ("fs", *b"\x1cG", "the scanner refused the start of the scan (FS G)"),
    ];
    for (dialect, command, sentence) in refused {
        let bench = twisted(dialect, Some(command), |_| {});
        let mut scanner = open(&bench).expect("it opens");
        assert_eq!(scan(&mut *scanner, &plain).expect_err("refused").to_string(), sentence);
        assert!(bench.lock().is_idle(), "{sentence}");
    }
}

/// A scanner that can't hold blocks of more lines than this. What it refuses it is given spoilt.
struct Modest {
    inner: Box<dyn Model>,
    lines: u8,
    refused: Arc<Mutex<Vec<u8>>>,
}

impl Model for Modest {
    fn descriptors(&self) -> &Descriptors {
        self.inner.descriptors()
    }

    fn bulk_out(&mut self, now: Instant, endpoint: EndpointAddress, packet: &[u8]) -> Out {
        let mut packet = packet.to_vec();
        // The parameter of FS W; byte 28 has the lines, the first four the resolution.
        if packet.len() == 64 && packet[28] > self.lines {
            self.refused.lock().push(packet[28]);
            packet[..4].fill(0xff);
        }
        self.inner.bulk_out(now, endpoint, &packet)
    }

    fn bulk_in(&mut self, now: Instant, endpoint: EndpointAddress, room: &mut [u8]) -> In {
        self.inner.bulk_in(now, endpoint, room)
    }

    fn reset(&mut self) {
        self.inner.reset();
    }
}

#[test]
fn a_scanner_that_refuses_large_blocks_is_asked_for_small_ones_from_then_on() {
    let refused = Arc::new(Mutex::new(Vec::new()));
    for description in ["esci", "esci,adf=3"] {
        refused.lock().clear();
        let inner = usbscan_virtual::spec::parse(description).expect("a good description");
        let model = Modest { inner, lines: 52, refused: refused.clone() };
        let bench = Arc::new(Mutex::new(support::Rig::new(Box::new(model))));
        let mut scanner = open(&bench).expect("it opens");
        // 128 KiB / (840 * 3) = 52 lines.
        let options = [("resolution", "100"), ("br-x", "213.36"), ("br-y", "30")];
        let page = scan(&mut *scanner, &options).expect("a page");
        assert!(page.is_whole, "{description}");
        assert_eq!(page.most, 52 * 840 * 3);
        assert!(scan(&mut *scanner, &options).expect("another page").is_whole, "{description}");
        assert_eq!(*refused.lock(), [208], "{description}");
        scanner.end_batch().expect("idle");
        assert!(bench.lock().is_idle(), "{description}");
    }
}

#[test]
fn a_header_that_announces_the_moon_is_refused_before_anything_is_made_for_it() {
    for at in 2..14 {
        let bench = twisted("fs", None, move |reply| {
            if reply.len() == 14 {
                reply[at] ^= 0xff;
            }
        });
        let mut scanner = open(&bench).expect("it opens");
        let error = scan(&mut *scanner, &SMALL).expect_err("no page");
        assert!(matches!(error, ScanError::Protocol(_)), "{at}: {error:?}");
        assert!(bench.lock().most_read <= 512 * 1024 + 512);
        assert!(bench.lock().is_idle(), "{at}");
    }
    for at in 2..6 {
        let bench = twisted("esc", None, move |reply| {
            if reply.len() == 6 {
                reply[at] ^= 0xff;
            }
        });
        let mut scanner = open(&bench).expect("it opens");
        let error = scan(&mut *scanner, &SMALL).expect_err("no page");
        assert!(matches!(error, ScanError::Protocol(_)), "{at}: {error:?}");
        assert!(bench.lock().is_idle(), "{at}");
    }
}

#[test]
fn a_scanner_that_talks_rubbish_ends_in_an_error_or_a_page() {
    for dialect in KINDS {
        for seed in 1..100u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let bench = twisted(dialect, None, move |reply| {
                for byte in reply {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    if random >> 58 == 0 {
                        *byte ^= (random >> 32) as u8;
                    }
                }
            });
            if let Ok(mut scanner) = open(&bench) {
                // Of what its identity offers, anything.
                let _ = scanner.options_mut().set_text("source", sources::FEEDER_DUPLEX);
                let _ = scan(&mut *scanner, &SMALL);
                let _ = scan(&mut *scanner, &[("mode", "color"), ("br-x", "40"), ("br-y", "30")]);
                let _ = scanner.pressed_button();
                let _ = scanner.end_batch();
                let _ = scan(&mut *scanner, &SMALL[..2]);
            }
            assert!(bench.lock().most_read <= 300 * 1024, "{dialect} {seed}");
        }
    }
}

#[test]
fn bad_options_change_nothing_and_send_nothing() {
    let bench = bench("esci");
    let mut scanner = open(&bench).expect("it opens");
    let sent = bench.lock().written.len();
    assert!(matches!(scanner.options_mut().set_text("resolution", "24"), Err(OptionError::Value { .. })));
    scanner.options_mut().set_all([("tl-x", "100"), ("br-x", "50")]).expect("each is on the glass");
    let result = scanner.scan(&mut Page::default(), &mut |_| {});
    assert!(matches!(result, Err(ScanError::Area(_))), "{result:?}");
    assert_eq!(bench.lock().written.len(), sent);
}

#[test]
fn any_mixture_of_faults_ends() {
    for dialect in KINDS {
        for seed in 0..40 {
            let bench = bench(&format!("esci,dialect={dialect},chaos={seed}"));
            // A page, an error, anything: but an end, without a panic, and with nothing said of a page that is not whole.
            for _ in 0..3 {
                let Ok(mut scanner) = open(&bench) else { continue };
                let _ = scanner.options_mut().set_text("source", sources::FEEDER_DUPLEX);
                for _ in 0..2 {
                    if let Ok(page) = scan(&mut *scanner, &SMALL) {
                        assert!(page.is_whole, "{dialect} {seed}");
                    }
                }
            }
        }
    }
}

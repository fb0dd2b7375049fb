//! Dialogues with the scanner, written as requests that go and replies that come.

use super::*;
use crate::glass::{Bits, Mode, View};

const IN: EndpointAddress = EndpointAddress(0x81);
const OUT: EndpointAddress = EndpointAddress(0x02);

struct Host {
    scanner: Esci2,
    now: Instant,
}

impl Host {
    fn new(setup: Esci2Setup) -> Host {
        Host { scanner: Esci2::new(setup), now: Instant::now() }
    }

    fn in_session(setup: Esci2Setup) -> Host {
        let mut host = Host::new(setup);
        host.say(b"\x1cX");
        assert_eq!(host.receive(), [ACK]);
        host
    }

    fn say(&mut self, bytes: &[u8]) {
        assert_eq!(self.scanner.bulk_out(self.now, OUT, bytes), Out::Ack);
    }

    /// The next item; empty: there is none.
    fn receive(&mut self) -> Vec<u8> {
        let mut item = Vec::new();
        loop {
            let mut buffer = [0; 512];
            match self.scanner.bulk_in(self.now, IN, &mut buffer) {
                In::Data(n) => item.extend(&buffer[..n]),
                In::Nak => return item,
                other => panic!("{other:?}"),
            }
            if item.len() % 512 != 0 {
                return item;
            }
        }
    }

    /// A request with its parameters: the reply's tokens, and the data.
    fn ask(&mut self, code: &str, parameters: &str) -> (String, Vec<u8>) {
        self.say(format!("{code:<4}x{:07x}", parameters.len()).as_bytes());
        if !parameters.is_empty() {
            self.say(parameters.as_bytes());
        }
        let head = self.receive();
        assert_eq!(head.len(), 64);
        let text = String::from_utf8_lossy(&head).into_owned();
        let length = usize::from_str_radix(&text[5..12], 16).expect("a length");
        let mut data = Vec::new();
        while data.len() < length {
            data.extend(self.receive());
        }
        assert_eq!(data.len(), length);
        let tokens = text[12..].split("#---").next().unwrap_or_default();
        (format!("{}{tokens}", &text[..4]), data)
    }

    fn set(&mut self, parameters: &str) {
        assert_eq!(self.ask("PARA", parameters).0, "PARA#parOK  ");
    }
}

const COLOUR: &str = "#FB #RSMd075#RSSd075#COLC024#FMTRAW #ACQd010d020d101d050#BSZi0004096";

#[test]
fn a_session_begins_with_fs_x_and_ends_with_fin() {
    let mut host = Host::new(Esci2Setup::default());
    host.say(b"\x1b@");
    assert_eq!(host.receive(), [NAK]);
    host.say(b"\x1cX");
    assert_eq!(host.receive(), [ACK]);
    let (reply, information) = host.ask("INFO", "");
    assert_eq!(reply, "INFO");
    assert!(String::from_utf8_lossy(&information).contains("#PRDh008PX-M7050#VER"));
    assert_eq!(host.ask("IMG", "").0, "INVD");
    assert_eq!(host.ask("WHAT", "").0, "UNKN");
    assert_eq!(host.ask("FIN", "").0, "FIN ");
    host.say(b"\x15");
    assert_eq!(host.receive(), [NAK]);
}

#[test]
fn what_it_can_not_do_is_refused_and_changes_nothing() {
    let mut host = Host::in_session(Esci2Setup::default());
    host.set(COLOUR);
    let before = host.ask("RESA", "");
    for bad in ["#RSMd100", "#COLC048", "#ACQd000d000d000d010", "#ACQd000d000i0009999d010", "#XYZ", "#COLM001#FMTJPG "]
    {
        assert_eq!(host.ask("PARA", &format!("#THRd001{bad}")).0, "PARA#parFAIL", "{bad}");
    }
    assert_eq!(host.ask("RESA", ""), before);
}

#[test]
fn a_raw_page_is_the_glass_with_dummy_bytes_behind_every_line() {
    let mut host = Host::in_session(Esci2Setup::default());
    host.set(COLOUR);
    assert_eq!(host.ask("TRDT", "").0, "TRDT");
    assert_eq!(host.ask("IMG", ""), ("IMG ".to_owned(), Vec::new()), "not there yet");
    let (first, mut page) = host.ask("IMG", "");
    assert_eq!(first, "IMG #psti0000101i0000001i0000050#typIMGA");
    loop {
        let (reply, data) = host.ask("IMG", "");
        if data.is_empty() {
            assert_eq!(reply, "IMG #peni0000101i0000050#lftd000#typIMGA");
            break;
        }
        assert_eq!(reply, "IMG #typIMGA");
        page.extend(data);
    }
    let view = View { dpi: (75, 75), left: 10, top: 20, width: 101, height: 50 };
    let samples = Glass::chart().render(&view, Mode::Color, Bits::Eight).expect("the chart");
    let lines: Vec<u8> = page.chunks(304).flat_map(|line| line[..303].to_vec()).collect();
    assert!(lines.iter().map(|byte| u16::from(*byte)).eq(samples));
    assert_eq!(host.ask("IMG", "").0, "INVD", "the page is over");
}

#[test]
fn sixteen_bits_come_low_byte_first_where_it_has_them() {
    let deep = COLOUR.replace("C024", "C048");
    let mut host = Host::in_session(Esci2Setup::default());
    assert_eq!(host.ask("PARA", &deep).0, "PARA#parFAIL");
    let mut host = Host::in_session(Esci2Setup { sixteen_bits: true, ..Esci2Setup::default() });
    assert_eq!(host.ask("PARA", &deep.replace("RAW ", "JPG ")).0, "PARA#parFAIL", "JPEG has 8 bits");
    host.set(&deep);
    host.ask("TRDT", "");
    host.ask("IMG", "");
    let (_, page) = host.ask("IMG", "");
    let view = View { dpi: (75, 75), left: 10, top: 20, width: 101, height: 1 };
    let samples = Glass::chart().render(&view, Mode::Color, Bits::Sixteen).expect("the chart");
    let line: Vec<u16> = page[..606].chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    assert_eq!(line, samples);
}

#[test]
fn both_sides_of_a_sheet_come_by_turns() {
    let mut host = Host::in_session(Esci2Setup { sheets: 1, ..Esci2Setup::default() });
    host.set("#ADFDPLX#RSMd075#RSSd075#COLM008#FMTRAW #ACQd000d000d400d020#BSZi0004000#PAGd000");
    host.ask("TRDT", "");
    host.ask("IMG", "");
    let mut order = String::new();
    let last = loop {
        let (reply, _) = host.ask("IMG", "");
        if reply.contains("#err") {
            break reply;
        }
        let side = reply.split("#typIMG").nth(1).unwrap_or("-").to_owned();
        order += &if reply.contains("#pen") { side.to_lowercase() } else { side };
    };
    assert_eq!(order, "ABABab-");
    assert_eq!(last, "IMG #errADF PE  ");
    assert_eq!(host.scanner.feeder().sheets(), 0);
}

#[test]
fn cancelled_it_is_in_its_session_and_busy_once() {
    let mut host = Host::in_session(Esci2Setup::default());
    host.set(COLOUR);
    host.ask("TRDT", "");
    host.ask("IMG", "");
    host.ask("IMG", "");
    assert_eq!(host.ask("STAT", "").0, "INVD", "it goes on");
    assert_eq!(host.ask("CAN", "").0, "CAN ");
    assert_eq!(host.ask("TRDT", "").0, "TRDT#nrdBUSY");
    assert_eq!(host.ask("TRDT", "").0, "TRDT");
}

#[test]
fn trouble_has_its_words() {
    let with = |change: fn(&mut Esci2Setup)| {
        let mut setup = Esci2Setup::default();
        change(&mut setup);
        let mut host = Host::in_session(setup);
        host.set("#ADF");
        let status = host.ask("STAT", "").1;
        (host.ask("TRDT", "").0, String::from_utf8_lossy(&status).into_owned())
    };
    let open = with(|setup| setup.conditions.cover_open = true);
    assert_eq!(open, ("TRDT#errADF OPN ".to_owned(), "#ERRADF OPN #ERRFB  OPN ".to_owned()));
    assert_eq!(with(|setup| setup.sheets = 0).0, "TRDT#errADF PE  ");
    assert_eq!(with(|setup| setup.conditions.jam = true).0, "TRDT#errADF PJ  ");
    assert_eq!(with(|_| ()), ("TRDT".to_owned(), String::new()));
}

#[test]
fn a_bus_reset_ends_the_session() {
    let mut host = Host::in_session(Esci2Setup::default());
    host.say(b"PARAx0000400");
    host.scanner.reset();
    host.say(b"\x1cY");
    assert_eq!(host.receive(), [ACK]);
}

/// A job from the feeder at 75 dpi in gray, as JPEG: the tokens of its replies, and the data.
fn feed(change: impl FnOnce(&mut Esci2Setup), area: &str) -> (Vec<String>, Vec<usize>, Vec<u8>) {
    let mut setup = Esci2Setup { sheets: 1, ..Esci2Setup::default() };
    change(&mut setup);
    let mut host = Host::in_session(setup);
    host.set(&format!("#ADF#RSMd075#RSSd075#COLM008#FMTJPG #ACQ{area}#BSZi0065536#PAGd001"));
    host.ask("TRDT", "");
    host.ask("IMG", "");
    let (mut tokens, mut sizes, mut data) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let (reply, part) = host.ask("IMG", "");
        let is_last = reply.contains("#pen");
        tokens.push(reply);
        if is_last {
            return (tokens, sizes, data);
        }
        sizes.push(part.len());
        data.extend(part);
    }
}

fn frame_height(picture: &[u8]) -> u16 {
    let at = picture.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
    u16::from_be_bytes([picture[at + 5], picture[at + 6]])
}

/// As an owner of an ES-60W measured it: 4,200 lines asked for, 3,256 there, the frame claims the former.
#[test]
fn a_short_sheet_ends_the_picture_early_and_its_frame_says_what_was_asked_for() {
    use crate::FrameHeight;
    let short = |setup: &mut Esci2Setup| setup.paper = Paper::parse("100x50");
    let (tokens, _, picture) = feed(short, "d000d000d400d400");
    assert!(tokens[0].contains("#psti0000400i0000000i0000400"), "{tokens:?}");
    assert!(tokens.last().expect("one").contains("#peni0000400i0000148"), "{tokens:?}");
    assert_eq!(frame_height(&picture), 400);
    assert!(picture.ends_with(&[0xff, 0xd9]));
    for (frame, height) in [(FrameHeight::Right, 148), (FrameHeight::Dnl, 0)] {
        let change = |setup: &mut Esci2Setup| {
            short(setup);
            setup.jpeg.frame = frame;
        };
        assert_eq!(frame_height(&feed(change, "d000d000d400d400").2), height);
    }
}

#[test]
fn chunks_are_as_large_as_it_likes() {
    let change = |setup: &mut Esci2Setup| setup.chunks = Chunks { first: Some(100), every: Some(262_144) };
    let (_, sizes, picture) = feed(change, "d000d000d800i0001000");
    assert_eq!(sizes[0], 100, "within the headers");
    assert!(sizes.len() >= 2 && sizes[1] == (picture.len() - 100).min(262_144), "{sizes:?}");
}

#[test]
fn a_feeder_lays_its_sheets_where_it_says() {
    use crate::glass::{Alignment, BACKDROP};
    for (alignment, word, left) in
        [(Alignment::Left, "LEFT", 0), (Alignment::Center, "CNTR", 291), (Alignment::Right, "RIGT", 582)]
    {
        let paper = Paper::parse("100x300");
        let setup = Esci2Setup { sheets: 1, paper, alignment, ..Esci2Setup::default() };
        let mut host = Host::in_session(setup);
        assert!(String::from_utf8_lossy(&host.ask("INFO", "").1).contains(&format!("#ADFALGN{word}")));
        host.set("#ADF#RSMd075#RSSd075#COLM008#FMTRAW #ACQd000d100d876d004#BSZi0065536#PAGd001");
        host.ask("TRDT", "");
        host.ask("IMG", "");
        let line = host.ask("IMG", "").1[..876].to_vec();
        let first = line.iter().position(|byte| *byte != BACKDROP).expect("a sheet");
        let last = line.iter().rposition(|byte| *byte != BACKDROP).expect("a sheet");
        assert_eq!((first, last), (left, (left + 294).min(875)), "{word}");
    }
}

//! What a host hears from the scanner, command by command.

use super::*;
use crate::glass::{Bits, Mode as Kept};

const IN: EndpointAddress = EndpointAddress(0x81);
const OUT: EndpointAddress = EndpointAddress(0x02);

struct Host {
    scanner: Xerox,
    now: Instant,
    /// Of SET_WINDOW.
    compression: u8,
}

impl Host {
    fn new(setup: XeroxSetup) -> Host {
        Host { scanner: Xerox::new(setup), now: Instant::now(), compression: 0 }
    }

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

    fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        assert_eq!(self.scanner.bulk_out(self.now, OUT, request), Out::Ack);
        self.receive()
    }

    fn command(&mut self, command: u8) -> Vec<u8> {
        self.ask(&[0x1b, 0xa8, command, 0])
    }

    /// SET_WINDOW at 150 dpi, an inch right and a half down, two inches by one.
    fn set_window(&mut self, mode: u8, source: u8) -> Vec<u8> {
        let mut request = [0; WINDOW];
        request[..5].copy_from_slice(&[0x1b, 0xa8, SET_WINDOW, 0x13, 0x30]);
        request[5..9].copy_from_slice(&2400u32.to_be_bytes());
        request[9..13].copy_from_slice(&1200u32.to_be_bytes());
        (request[0x0d], request[0x0e], request[0x0f], request[0x12]) = (2, 2, 1, 50);
        (request[0x13], request[0x16], request[0x17]) = (mode, 2, source);
        request[0x14] = self.compression;
        self.ask(&request)
    }

    /// A page, as the driver asks for it: READ twice before the first block.
    fn page(&mut self, line: usize) -> Vec<u8> {
        let mut page = Vec::new();
        self.command(READ);
        loop {
            let said = self.command(READ);
            assert_eq!((said[0], said[1]), (0xa8, GOOD), "{said:02x?}");
            let length = u32::from_be_bytes([said[4], said[5], said[6], said[7]]) as usize;
            let lines = usize::from(u16::from_be_bytes([said[8], said[9]]));
            let block = self.command(READ_IMAGE);
            assert_eq!(block.len(), length);
            assert!(length - line * lines <= 16 && length % 512 != 0);
            page.extend(&block[..line * lines]);
            if said[3] == 0x81 {
                return page;
            }
        }
    }
}

const VIEW: View = View { dpi: (150, 150), left: 150, top: 75, width: 300, height: 150 };

#[test]
fn it_says_what_it_is() {
    let reply = Host::new(XeroxSetup::default()).command(INQUIRY);
    assert_eq!((reply.len(), &reply[..4]), (70, &[0xa8, 0, 67, 0x10][..]));
    assert!(reply[4..].starts_with(b"Samsung SCX-4200"));
}

#[test]
fn color_comes_as_a_line_of_each_and_is_the_glass() {
    let mut host = Host::new(XeroxSetup::default());
    assert_eq!(host.command(RESERVE_UNIT)[1], GOOD);
    assert_eq!(host.set_window(0x05, 0x40)[1], GOOD);
    assert_eq!(host.command(OBJECT_POSITION)[1], GOOD);
    let page = host.page(900);
    let samples = Glass::chart().render(&VIEW, Kept::Color, Bits::Eight).expect("the chart");
    let mixed = page.chunks(900).flat_map(|line| (0..300).flat_map(|x| [0, 1, 2].map(|c| line[c * 300 + x])));
    assert!(mixed.map(u16::from).eq(samples));
    assert_eq!(host.command(RELEASE_UNIT)[1], GOOD);
}

#[test]
fn color_comes_as_jpeg_where_that_is_asked_for_a_file_a_block() {
    let mut host = Host::new(XeroxSetup { has_jpeg: true, ..XeroxSetup::default() });
    assert_eq!(host.command(INQUIRY)[0x32], HAS_JPEG);
    host.command(RESERVE_UNIT);
    host.compression = JPEG;
    host.set_window(0x05, 0x40);
    host.command(OBJECT_POSITION);
    let (mut pixels, mut blocks, mut last) = (Vec::new(), 0, false);
    while !last {
        let said = host.command(READ);
        assert_eq!(host.command(READ), said, "until it is read");
        let block = host.command(READ_IMAGE);
        assert_eq!(u32::from_be_bytes([said[4], said[5], said[6], said[7]]) as usize, block.len());
        assert!(block.len() < 1 << 16);
        pixels.extend(zune_jpeg::JpegDecoder::new(std::io::Cursor::new(block)).decode().expect("a picture"));
        (blocks, last) = (blocks + 1, said[3] == 0x81);
    }
    assert!(blocks > 1, "one band after the other");
    let samples = Glass::chart().render(&VIEW, Kept::Color, Bits::Eight).expect("the chart");
    assert_eq!(pixels.len(), samples.len());
    let far = pixels.iter().zip(samples).map(|(pixel, sample)| i32::from(*pixel).abs_diff(i32::from(sample)));
    assert!(far.map(u64::from).sum::<u64>() < 4 * pixels.len() as u64, "the picture of the glass");
    // Gray is never compressed, and who has no JPEG refuses it.
    assert_eq!(host.set_window(0x03, 0x40)[1], GOOD);
    let mut without = Host::new(XeroxSetup::default());
    without.compression = JPEG;
    assert_eq!(without.set_window(0x05, 0x40)[1], CHECK);
}

#[test]
fn sheets_come_one_by_one_until_there_is_no_document() {
    let mut host = Host::new(XeroxSetup { sheets: Some(Sheet::numbered(2)), ..XeroxSetup::default() });
    host.command(RESERVE_UNIT);
    for _ in 0..2 {
        host.set_window(0x03, 0x20);
        assert_eq!(host.command(OBJECT_POSITION)[1], GOOD);
        assert_eq!(host.page(300).len(), 300 * 150);
    }
    let said = host.command(OBJECT_POSITION);
    assert_eq!((said[1], said[4], said[5]), (CHECK, 0, NO_DOCUMENT as u8));
}

#[test]
fn a_cancel_between_blocks_ends_the_page_and_rubbish_is_refused() {
    let mut host = Host::new(XeroxSetup::default());
    host.command(RESERVE_UNIT);
    host.set_window(0x03, 0x40);
    host.command(OBJECT_POSITION);
    host.command(READ);
    assert_eq!(host.command(ABORT)[1], GOOD);
    assert_eq!(host.command(READ)[1], CHECK);
    assert_eq!(host.ask(b"rubbish")[1], CHECK);
    assert_eq!(host.command(0x77)[1], CHECK);
    assert_eq!(host.set_window(0x09, 0x40)[1], CHECK);
    assert_eq!(host.set_window(0x03, 0x40)[1], GOOD);
}

//! `usbscan capture --for-report`: takes out of a capture what does not belong into a public report. JPEG pictures become gray,
//! other picture data zeros, and serial numbers X; lengths stay, so that the capture can be replayed; and the file begins
//! with a comment that holds `usbscan doctor --json`. A filter of pcapng blocks as the daemon writes them; no I/O.

mod gray_jpeg;
mod response;
mod texts;

use std::collections::HashMap;

use gray_jpeg::GrayJpeg;
use response::Response;

/// Bytes of the header that Linux's usbmon puts in front of each record (LINKTYPE_USB_LINUX_MMAPPED).
const USBMON_HEADER: usize = 64;
/// A longer answer of a scanner holds picture data. Identities, capabilities and statuses of known protocols are shorter, or
/// are text.
const LONGEST_REPLY: usize = 512;
/// What is kept at the beginning of such an answer: the header of a block, without which a replay could not be followed.
const KEPT: usize = 16;
/// The option `opt_comment` has a length of 16 bits.
const LONGEST_COMMENT: usize = 65_000;

const SECTION: u32 = 0x0a0d_0d0a;
const PACKET: u32 = 6;
/// Block type, length before and behind.
const FRAME: usize = 12;

/// Filters a capture that arrives in pieces.
#[derive(Debug)]
pub struct ReportFilter {
    comment: String,
    serials: Vec<Vec<u8>>,
    /// The start of a block whose end has not arrived.
    rest: Vec<u8>,
    /// By the address of the endpoint.
    pipes: HashMap<u8, Pipe>,
}

/// What is known of a bulk-in endpoint.
#[derive(Debug, Default)]
struct Pipe {
    /// The last answer was picture data, so what follows without another command is too.
    in_picture: bool,
    /// Bytes of image data that a scanner with ESC/I-2 has announced, and that have not come.
    announced: usize,
    /// They are of the back.
    is_back: bool,
    /// The pictures that they belong to: of the front and of the back.
    pictures: [Option<Box<GrayJpeg>>; 2],
    response: Response,
}

impl Pipe {
    fn filter(&mut self, data: &mut [u8]) {
        if self.response.takes(data) {
            return self.response.cover(data);
        }
        let due = self.announced.min(data.len());
        if due > 0 {
            self.announced -= due;
            let picture = &mut self.pictures[usize::from(self.is_back)];
            return match picture {
                Some(picture) => picture.cover(&mut data[..due]),
                None => data[..due].fill(0),
            };
        }
        if let Some(image) = Image::parse(data) {
            (self.announced, self.is_back) = (image.bytes, image.is_back);
            if image.begins {
                self.pictures[usize::from(image.is_back)] = Some(Box::new(GrayJpeg::new()));
            }
            return;
        }
        if is_text(data) && !self.in_picture {
            return texts::cover_token(data);
        }
        self.in_picture = !data.is_empty() && (data.len() > LONGEST_REPLY || self.in_picture);
        if self.in_picture {
            blank(data);
        }
    }
}

/// The reply to IMG (ESC/I-2): 64 bytes of text, in front of image data.
struct Image {
    bytes: usize,
    is_back: bool,
    /// It is the first of its picture.
    begins: bool,
}

impl Image {
    fn parse(data: &[u8]) -> Option<Image> {
        let length = data.strip_prefix(b"IMG x").filter(|_| data.len() == 64)?.first_chunk::<7>()?;
        let bytes = usize::from_str_radix(std::str::from_utf8(length).ok()?, 16).ok()?;
        let has = |token: &[u8]| data.windows(token.len()).any(|window| window == token);
        Some(Image { bytes, is_back: has(b"#typIMGB"), begins: has(b"#pst") })
    }
}

impl ReportFilter {
    /// `serials` are replaced wherever they are, in data and in texts; `comment` goes into the section header.
    pub fn new(comment: &str, serials: impl IntoIterator<Item = String>) -> ReportFilter {
        // Two or three characters are in anything.
        let serials: Vec<Vec<u8>> =
            serials.into_iter().map(String::into_bytes).filter(|serial| serial.len() >= 4).collect();
        let mut comment = comment.as_bytes().to_vec();
        serials.iter().for_each(|serial| replace(&mut comment, serial));
        let mut comment = String::from_utf8_lossy(&comment).into_owned();
        while comment.len() > LONGEST_COMMENT {
            comment.pop();
        }
        ReportFilter { comment, serials, rest: Vec::new(), pipes: HashMap::new() }
    }

    /// Takes the next piece of the capture. Returns the blocks that are complete, filtered.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.rest.extend_from_slice(piece);
        let mut filtered = Vec::new();
        let mut at = 0;
        while let Some(length) = block_length(&self.rest[at..]) {
            let mut block = self.rest[at..at + length].to_vec();
            self.filter(&mut block);
            filtered.extend(block);
            at += length;
        }
        self.rest.drain(..at);
        filtered
    }

    fn filter(&mut self, block: &mut Vec<u8>) {
        match word(block, 0) {
            SECTION => add_comment(block, &self.comment),
            PACKET => self.filter_packet(block),
            _ => {}
        }
        self.serials.iter().for_each(|serial| replace(block, serial));
    }

    fn filter_packet(&mut self, block: &mut [u8]) {
        // Interface, time (8), captured length, original length; then usbmon's header and the data.
        let start = 8 + 20;
        let captured = word(block, 8 + 12) as usize;
        if captured < USBMON_HEADER || start + captured > block.len() {
            return;
        }
        let (header, data) = block[start..start + captured].split_at_mut(USBMON_HEADER);
        let (end, transfer, endpoint) = (header[8], header[9], header[10]);
        const BULK: u8 = 3;
        if transfer != BULK {
            return;
        }
        match (end, endpoint & 0x80 != 0) {
            (b'C', true) => self.pipes.entry(endpoint).or_default().filter(data),
            // An acknowledgement asks for the next block; a command begins something else.
            (b'S', false) if data.len() > 1 => self.pipes.values_mut().for_each(|pipe| pipe.in_picture = false),
            _ => {}
        }
    }
}

/// Answers of ESC/I-2 are text of some kilobytes.
fn is_text(data: &[u8]) -> bool {
    data.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\r' | b'\n' | b'\t' | 0))
}

fn blank(data: &mut [u8]) {
    let kept = KEPT.min(data.len());
    data[kept..].fill(0);
}

/// Replaces each occurrence by as many `X`. Strings of USB descriptors are UTF-16, those of protocols are ASCII.
fn replace(bytes: &mut [u8], serial: &[u8]) {
    let wide: Vec<u8> = serial.iter().flat_map(|byte| [*byte, 0]).collect();
    for (pattern, by) in [(serial, &[b'X'][..]), (&wide, &[b'X', 0])] {
        let mut at = 0;
        while at + pattern.len() <= bytes.len() {
            if bytes[at..at + pattern.len()] == *pattern {
                bytes[at..at + pattern.len()].chunks_mut(by.len()).for_each(|chunk| chunk.copy_from_slice(by));
                at += pattern.len();
            } else {
                at += 1;
            }
        }
    }
}

/// Puts the comment before the other options of the section header.
fn add_comment(block: &mut Vec<u8>, comment: &str) {
    const OPTIONS: usize = 8 + 16;
    if comment.is_empty() || block.len() < OPTIONS + 4 {
        return;
    }
    let mut option = vec![1, 0];
    option.extend((comment.len() as u16).to_le_bytes());
    option.extend(comment.as_bytes());
    option.resize(option.len().next_multiple_of(4), 0);
    block.splice(OPTIONS..OPTIONS, option);
    let length = (block.len() as u32).to_le_bytes();
    block[4..8].copy_from_slice(&length);
    let end = block.len() - 4;
    block[end..].copy_from_slice(&length);
}

/// The length of the block at the beginning, if all of it is there.
fn block_length(bytes: &[u8]) -> Option<usize> {
    let length = (bytes.len() >= FRAME).then(|| word(bytes, 4) as usize)?;
    (length >= FRAME && length <= bytes.len()).then_some(length)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let length = (FRAME + body.len().next_multiple_of(4)) as u32;
        let mut block = [kind.to_le_bytes(), length.to_le_bytes()].concat();
        block.extend(body);
        block.resize(length as usize - 4, 0);
        block.extend(length.to_le_bytes());
        block
    }

    fn packet(end: u8, transfer: u8, endpoint: u8, data: &[u8]) -> Vec<u8> {
        let mut header = [0; USBMON_HEADER];
        header[8..11].copy_from_slice(&[end, transfer, endpoint]);
        let length = (USBMON_HEADER + data.len()) as u32;
        let body = [&[0; 12][..], &length.to_le_bytes(), &length.to_le_bytes(), &header, data].concat();
        block(PACKET, &body)
    }

    fn data(block: &[u8]) -> &[u8] {
        let captured = word(block, 20) as usize;
        &block[28 + USBMON_HEADER..28 + captured]
    }

    #[test]
    fn picture_data_become_zeros_and_lengths_stay() {
        let mut filter = ReportFilter::new("", []);
        let picture = filter.push(&packet(b'C', 3, 0x81, &[7; 3000]));
        assert_eq!(data(&picture).len(), 3000);
        assert!(data(&picture)[..KEPT].iter().all(|byte| *byte == 7) && data(&picture)[KEPT..].iter().all(|b| *b == 0));
        // The driver acknowledges, and the last block is short.
        filter.push(&packet(b'S', 3, 0x02, &[6]));
        let last = filter.push(&packet(b'C', 3, 0x81, &[7; 100]));
        assert!(data(&last)[KEPT..].iter().all(|byte| *byte == 0));
        filter.push(&packet(b'S', 3, 0x02, b"\x1bF"));
        assert_eq!(data(&filter.push(&packet(b'C', 3, 0x81, &[7; 100]))), [7; 100], "an answer to a command");
    }

    #[test]
    fn image_data_that_a_reply_announces_are_covered_however_short_they_are() {
        let mut filter = ReportFilter::new("", []);
        let reply = |length: usize, tokens: &str| {
            let text = format!("IMG x{length:07x}{tokens}#---");
            packet(b'C', 3, 0x81, format!("{text:\0<64}").as_bytes())
        };
        // Two sides by turns: a JPEG that is too short to be one, and raw.
        for (tokens, before, after) in [
            ("#psti0000100#typIMGA", &[0xff, 0xd8, 0xff, 9][..], &[0xff, 0xd8, 0xff, 9][..]),
            ("#psti0000100#typIMGB", &[7; 9], &[0; 9]),
            ("#typIMGA", &[0, 4, 1, 1, 0xff, 0xd9, 5], &[0, 4, 0, 0, 0xff, 0xd9, 0]),
        ] {
            let reply = reply(before.len(), tokens);
            assert_eq!(filter.push(&reply), reply);
            assert_eq!(data(&filter.push(&packet(b'C', 3, 0x81, before))), after);
        }
        assert_eq!(data(&filter.push(&packet(b'C', 3, 0x81, &[7; 9]))), [7; 9], "what was not announced");
    }

    #[test]
    fn commands_long_texts_and_other_pipes_stay() {
        let mut filter = ReportFilter::new("", []);
        for block in [
            packet(b'S', 3, 0x02, &[5; 4000]),
            packet(b'C', 3, 0x81, "#RSMRANG".repeat(200).as_bytes()),
            packet(b'C', 1, 0x83, &[1; 8]),
        ] {
            assert_eq!(filter.push(&block), block);
        }
    }

    #[test]
    fn serial_numbers_become_x_in_data_and_texts() {
        let mut filter = ReportFilter::new(r#"{"serial":"ABC12345"}"#, ["ABC12345".to_owned()]);
        let start = filter.push(&block(SECTION, &[[0; 16].as_slice(), &[0; 4]].concat()));
        assert!(String::from_utf8_lossy(&start).contains(r#"{"serial":"XXXXXXXX"}"#));
        assert_eq!(block_length(&start), Some(start.len()), "the lengths are right");
        let wide: Vec<u8> = "ABC12345".bytes().flat_map(|byte| [byte, 0]).collect();
        let answer = filter.push(&packet(b'C', 2, 0x80, &[b"\x12\x03", wide.as_slice()].concat()));
        assert_eq!(data(&answer), [b"\x12\x03", "X\0".repeat(8).as_bytes()].concat());
        let answer = filter.push(&packet(b'C', 3, 0x81, b"#SERh008ABC12345#S/Nh004OTHR"));
        assert_eq!(data(&answer), b"#SERh008XXXXXXXX#S/Nh004XXXX");
    }

    #[test]
    fn blocks_may_arrive_in_any_pieces() {
        let blocks = [packet(b'C', 3, 0x81, &[7; 600]), packet(b'S', 3, 0x02, b"\x1b@")].concat();
        let whole = ReportFilter::new("", []).push(&blocks);
        let mut filter = ReportFilter::new("", []);
        let pieces: Vec<u8> = blocks.chunks(7).flat_map(|piece| filter.push(piece)).collect();
        assert_eq!(pieces, whole);
    }
}

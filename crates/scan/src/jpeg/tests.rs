//! Pictures of another encoder, read by another decoder too; and bytes that are no picture.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use proptest::prelude::*;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::*;

/// Bytes in chunks of some length.
struct Chunks<'a> {
    bytes: &'a [u8],
    most: usize,
}

impl ByteSource for Chunks<'_> {
    type Error = JpegError;

    fn more(&mut self) -> Result<Option<Bytes>, JpegError> {
        let (chunk, rest) = self.bytes.split_at(self.most.min(self.bytes.len()));
        self.bytes = rest;
        Ok(Some(Bytes::copy_from_slice(chunk)).filter(|chunk| !chunk.is_empty()))
    }
}

fn decode(bytes: &[u8], most: usize) -> Result<(Frame, Vec<u8>), JpegError> {
    let mut source = Chunks { bytes, most };
    let mut decoder = Decoder::new(&mut source)?;
    let mut pixels = Vec::new();
    // Nothing that is damaged may make it go on for ever.
    for _ in 0..=65_536 / 8 {
        if !decoder.lines(&mut source, &mut pixels)? {
            return Ok((decoder.frame(), pixels));
        }
    }
    panic!("more lines than a picture can have");
}

/// Something with edges, slopes and colours.
fn picture(width: usize, height: usize, channels: usize) -> Vec<u8> {
    let sample = |x: usize, y: usize, channel: usize| match (x / 16 + y / 16) % 3 {
        0 => (x * (3 + channel) + y) as u8,
        1 => ((x * x + y * 7) >> 3) as u8 ^ (channel as u8 * 60),
        _ => 40 + 60 * channel as u8,
    };
    (0..width * height * channels)
        .map(|at| sample(at / channels % width, at / channels / width, at % channels))
        .collect()
}

fn encode(
    pixels: &[u8],
    width: u16,
    height: u16,
    color: ColorType,
    set: impl Fn(&mut Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 92);
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    set(&mut encoder);
    encoder.encode(pixels, width, height, color).expect("a picture");
    bytes
}

/// What another decoder makes of it.
fn by_others(bytes: &[u8], channels: usize) -> Vec<u8> {
    let color = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    let options = DecoderOptions::default().jpeg_set_out_colorspace(color);
    zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options).decode().expect("a picture")
}

/// The largest and the mean difference.
fn difference(one: &[u8], other: &[u8]) -> (u8, f64) {
    assert_eq!(one.len(), other.len());
    let each = || one.iter().zip(other).map(|(one, other)| one.abs_diff(*other));
    (each().max().unwrap_or(0), each().map(f64::from).sum::<f64>() / one.len() as f64)
}

const SIZES: [(u16, u16); 7] = [(1, 1), (8, 8), (9, 17), (64, 40), (100, 7), (3, 200), (255, 129)];

#[test]
fn gray_and_color_are_what_another_decoder_makes_of_them() {
    for (width, height) in SIZES {
        for (color, channels) in [(ColorType::Luma, 1), (ColorType::Rgb, 3)] {
            let pixels = picture(width.into(), height.into(), channels);
            for restarts in [0, 5] {
                let bytes = encode(&pixels, width, height, color, |e| e.set_restart_interval(restarts));
                let (frame, lines) = decode(&bytes, 1000).expect("a picture");
                assert_eq!((frame.width, frame.height), (width.into(), Some(height.into())));
                assert_eq!(frame.channels, channels as u32);
                // Each rounds in its own way, before the colours are put together and after.
                let (most, mean) = difference(&lines, &by_others(&bytes, channels));
                assert!(most <= 3 && mean < 0.1, "{width} x {height} {color:?}: {most}, {mean}");
            }
        }
    }
}

#[test]
fn fewer_samples_of_colour_are_repeated() {
    let factors = [SamplingFactor::F_2_1, SamplingFactor::F_1_2, SamplingFactor::F_2_2];
    for factor in factors {
        // Blocks of 32 pixels of one colour: however colours are spread, their middle is theirs.
        let (width, height) = (160, 96);
        let color = |x: usize, y: usize| [(x / 32 * 50) as u8, (y / 32 * 80) as u8, 128];
        let pixels: Vec<u8> = (0..width * height).flat_map(|at| color(at % width, at / width)).collect();
        let bytes = encode(&pixels, width as u16, height as u16, ColorType::Rgb, |e| e.set_sampling_factor(factor));
        let (_, lines) = decode(&bytes, 77).expect("a picture");
        for (x, y) in (0..5).flat_map(|x| (0..3).map(move |y| (x * 32 + 16, y * 32 + 16))) {
            let at = 3 * (y * width + x);
            let (most, _) = difference(&lines[at..at + 3], &color(x, y));
            assert!(most <= 6, "{factor:?} at {x}, {y}: {:?}", &lines[at..at + 3]);
        }
    }
}

#[test]
fn restart_markers_change_nothing() {
    let pixels = picture(100, 50, 3);
    let plain = encode(&pixels, 100, 50, ColorType::Rgb, |_| ());
    for interval in [1, 3, 13, 500] {
        let marked = encode(&pixels, 100, 50, ColorType::Rgb, |e| e.set_restart_interval(interval));
        assert_eq!(decode(&marked, 64), decode(&plain, 64));
    }
}

/// Where the height is in the frame header.
fn height_at(bytes: &[u8]) -> usize {
    bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame") + 5
}

#[test]
fn a_height_that_is_told_at_the_end_or_not_at_all_is_found() {
    let pixels = picture(40, 21, 1);
    let whole = encode(&pixels, 40, 21, ColorType::Luma, |_| ());
    let (_, lines) = decode(&whole, 1 << 20).expect("a picture");
    let mut unknown = whole.clone();
    let at = height_at(&unknown);
    unknown[at..at + 2].fill(0);
    let (frame, all) = decode(&unknown, 1 << 20).expect("a picture");
    assert_eq!((frame.height, all.len()), (None, 40 * 24), "whole blocks");
    assert_eq!(all[..lines.len()], lines);
    let end = unknown.len() - 2;
    unknown.splice(end..end, [0xff, 0xdc, 0, 4, 0, 21]);
    assert_eq!(decode(&unknown, 1 << 20).expect("a picture").1, lines);
}

/// The same picture with another height in its frame header.
fn with_height(bytes: &[u8], height: u16) -> Vec<u8> {
    let (mut bytes, at) = (bytes.to_vec(), height_at(bytes));
    bytes[at..at + 2].copy_from_slice(&height.to_be_bytes());
    bytes
}

#[test]
fn a_picture_whose_data_ends_before_the_height_that_was_told_has_the_lines_that_are_there() {
    // As an ES-60W sends every sheet that is shorter than the area: measured by its owner (docs/esc-i2.md).
    let factors = [SamplingFactor::F_1_1, SamplingFactor::F_2_1, SamplingFactor::F_2_2];
    for (factor, restarts) in factors.into_iter().flat_map(|factor| [0, 1, 3, 7].map(|rows| (factor, rows))) {
        for (color, channels) in [(ColorType::Luma, 1), (ColorType::Rgb, 3)] {
            let (width, height) = (100_u16, 64_u16);
            let across = if factor == SamplingFactor::F_1_1 || channels == 1 { 13 } else { 7 };
            let whole = encode(&picture(100, 64, channels), width, height, color, |e| {
                e.set_sampling_factor(factor);
                e.set_restart_interval(restarts * across);
            });
            let (_, lines) = decode(&whole, 333).expect("a picture");
            for told in [65, 72, 80, 4200, 65_535] {
                let (frame, short) = decode(&with_height(&whole, told), 333).expect("a picture");
                assert_eq!(frame.height, Some(told.into()));
                assert!(short == lines, "{factor:?} {restarts} {color:?} {told}: {} bytes", short.len());
            }
            // A part that is missing in the middle is no end.
            let at = whole.len() * 2 / 3;
            let torn = [&whole[..at], &[0xff, 0xd9]].concat();
            assert!(decode(&torn, 333).is_err() || decode(&torn, 333).is_ok_and(|(_, part)| part.len() < lines.len()));
        }
    }
}

/// The picture as a file of this size, and its data alone.
fn rewrite(
    bytes: &[u8],
    most: usize,
    width: u32,
    height: impl Fn(&Rewriter) -> u32,
) -> Result<(Vec<u8>, Vec<u8>), JpegError> {
    let mut source = Chunks { bytes, most };
    let mut rewriter = Rewriter::new(&mut source)?;
    assert!(rewriter.has_width(width));
    let mut data = Vec::new();
    while let Some(more) = rewriter.next(&mut source)? {
        data.extend_from_slice(&more);
    }
    let height = rewriter.fit_height(height(&rewriter));
    let file = [&rewriter.head(width, height, (300, 150)), &data[..], Rewriter::tail()].concat();
    Ok((file, data))
}

/// The data of a picture: behind its scan's header, before its end.
fn data(bytes: &[u8]) -> &[u8] {
    let scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).expect("a scan");
    let length = usize::from(u16::from_be_bytes([bytes[scan + 2], bytes[scan + 3]]));
    bytes[scan + 2 + length..].strip_suffix(&[0xff, 0xd9]).expect("an end")
}

#[test]
fn a_page_passes_as_it_came_byte_for_byte_with_its_size_and_resolution_set_right() {
    for factor in [SamplingFactor::F_1_1, SamplingFactor::F_2_1, SamplingFactor::F_2_2] {
        for (color, channels) in [(ColorType::Luma, 1), (ColorType::Rgb, 3)] {
            for restarts in [0, 1, 13] {
                let whole = encode(&picture(104, 48, channels), 104, 48, color, |e| {
                    e.set_sampling_factor(factor);
                    e.set_restart_interval(restarts);
                    e.add_app_segment(3, b"serial 4711").expect("it is short");
                });
                // Padded from 102 pixels, and as high as was asked for, not as the sheet was.
                let sent = with_height(&whole, 4200);
                for most in [1, 7, 1 << 20] {
                    let (file, coded) = rewrite(&sent, most, 102, |_| 46).expect("a picture");
                    assert!(coded == data(&whole), "{factor:?} {color:?} {restarts} {most}");
                    let text = String::from_utf8_lossy(&file);
                    assert!(!text.contains("4711"));
                    assert_eq!(file[..18], *b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\x01\x01\x2c\x00\x96");
                    let (frame, ours) = decode(&file, 4096).expect("a picture");
                    assert_eq!((frame.width, frame.height), (102, Some(46)));
                    let (most, mean) = difference(&ours, &by_others(&file, channels));
                    assert!(factor != SamplingFactor::F_1_1 || most <= 3 && mean < 0.1, "{most}, {mean}");
                }
            }
        }
    }
}

#[test]
fn a_height_that_is_told_behind_the_data_goes_into_the_head() {
    let whole = encode(&picture(40, 21, 1), 40, 21, ColorType::Luma, |_| ());
    let mut told = with_height(&whole, 0);
    let end = told.len() - 2;
    told.splice(end..end, [0xff, 0xdc, 0, 4, 0, 21]);
    let (file, coded) = rewrite(&told, 9, 40, Rewriter::lines).expect("a picture");
    assert!(coded == data(&whole), "without DNL");
    assert_eq!(decode(&file, 100).expect("a picture"), decode(&whole, 100).expect("a picture"));
}

#[test]
fn a_page_that_is_damaged_does_not_pass() {
    let whole = encode(&picture(104, 48, 3), 104, 48, ColorType::Rgb, |e| e.set_restart_interval(13));
    let passes = |bytes: &[u8]| rewrite(bytes, 100, 104, |_| 48).map(drop);
    passes(&whole).expect("it is whole");
    assert_eq!(passes(&whole[..whole.len() - 2]), Err(JpegError::Truncated));
    assert!(passes(&whole[..whole.len() / 2]).is_err());
    let marker = whole.windows(2).position(|pair| pair == [0xff, 0xd2]).expect("a restart marker");
    assert!(passes(&[&whole[..marker], &whole[marker + 2..]].concat()).is_err());
    // Fewer lines in the head than there is data for.
    assert_eq!(passes(&with_height(&whole, 24)), Err(JpegError::Damaged("it has more data than lines")));
}

/// The picture with other bytes between its data and its end.
fn with_behind(bytes: &[u8], behind: &[u8]) -> Vec<u8> {
    let (rest, end) = bytes.split_at(bytes.len() - 2);
    [rest, behind, end].concat()
}

#[test]
fn what_fills_up_behind_the_last_line_does_not_keep_a_page_from_passing() {
    // Rows of MCUs with little data: all of the last one may be read ahead with the row before it.
    let flat = vec![90; 104 * 48];
    for (pixels, restarts) in [(picture(104, 48, 1), 0), (picture(104, 48, 1), 13), (flat, 0)] {
        let whole = encode(&pixels, 104, 48, ColorType::Luma, |e| e.set_restart_interval(restarts));
        for behind in [&[][..], &[0xff, 0xd5], &[0; 40], &[0x55; 500], &[0xff; 9], b"\xff\xd5\0\0\xff\x00\xff"] {
            for most in [1, 7, 1 << 20] {
                let (file, coded) = rewrite(&with_behind(&whole, behind), most, 104, |_| 48).expect("a picture");
                assert!(coded == data(&whole), "{behind:?} {most}: only the data passes");
                assert_eq!(decode(&file, most), decode(&whole, most));
            }
        }
        assert!(rewrite(&with_behind(&whole, &[0x55; 5000]), 100, 104, |_| 48).is_err());
    }
}

#[test]
fn the_last_byte_may_be_filled_up_with_zeros() {
    let mut filled = 0;
    for shift in 0..8 {
        let pixels: Vec<u8> = picture(104, 48, 1).iter().map(|sample| sample.rotate_left(shift)).collect();
        let whole = encode(&pixels, 104, 48, ColorType::Luma, |_| ());
        let last = whole.len() - 3;
        for bits in 1..8 {
            let mut zeros = whole.clone();
            zeros[last] &= 0xff << bits;
            // Otherwise some of them were data.
            if zeros == whole || decode(&zeros, 100) != decode(&whole, 100) {
                continue;
            }
            filled += 1;
            for height in [48, 0] {
                let sent = with_height(&zeros, height);
                let (_, coded) = rewrite(&sent, 100, 104, |_| 48).expect("a picture");
                assert!(coded == data(&zeros), "{shift} {bits} {height}");
                let lines = decode(&sent, 100).expect("a picture").1;
                assert!(lines == decode(&whole, 100).expect("a picture").1, "{shift} {bits} {height}");
            }
        }
    }
    assert!(filled > 0, "some picture does not end with a whole byte");
}

/// A picture, and then FF without an end. Counts what was asked for.
struct Filled<'a>(&'a [u8], usize);

impl ByteSource for Filled<'_> {
    type Error = JpegError;

    fn more(&mut self) -> Result<Option<Bytes>, JpegError> {
        let first = std::mem::take(&mut self.0);
        let chunk = if first.is_empty() { Bytes::from_static(&[0xff; 4096]) } else { Bytes::copy_from_slice(first) };
        self.1 += chunk.len();
        assert!(self.1 < 4 << 20, "it reads on for ever");
        Ok(Some(chunk))
    }
}

#[test]
fn bytes_that_fill_up_before_a_marker_have_an_end() {
    let whole = encode(&picture(104, 48, 3), 104, 48, ColorType::Rgb, |e| e.set_restart_interval(13));
    let marker = whole.windows(2).position(|pair| pair == [0xff, 0xd2]).expect("a restart marker");
    let filled = [&whole[..marker], &[0xff; 1000], &whole[marker..]].concat();
    assert_eq!(decode(&filled, 100), decode(&whole, 100));
    rewrite(&filled, 100, 104, |_| 48).expect("it passes");
    let mut source = Filled(&whole[..marker], 0);
    let mut rewriter = Rewriter::new(&mut source).expect("a head");
    let error = loop {
        match rewriter.next(&mut source) {
            Ok(more) => assert!(more.is_some(), "it is no picture"),
            Err(error) => break error,
        }
    };
    assert_eq!(error, JpegError::Damaged("it is filled up without an end"));
}

#[test]
fn a_page_of_red_green_and_blue_passes_as_that_and_not_as_jfif() {
    let mut whole = encode(&picture(104, 48, 3), 104, 48, ColorType::Ycbcr, |_| ());
    let frame = height_at(&whole) + 5;
    let scan = whole.windows(2).position(|pair| pair == [0xff, 0xda]).expect("a scan") + 5;
    for (at, id) in b"RGB".iter().enumerate() {
        (whole[frame + 3 * at], whole[scan + 2 * at]) = (*id, *id);
    }
    let (file, coded) = rewrite(&whole, 100, 104, |_| 48).expect("a picture");
    assert!(coded == data(&whole));
    assert_eq!(file[..18], *b"\xff\xd8\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0\0");
    assert!(!file.windows(4).any(|four| four == b"JFIF"));
    assert_eq!(decode(&file, 100), decode(&whole, 100));
    let (_, lines) = decode(&file, 100).expect("a picture");
    assert!(difference(&lines, &picture(104, 48, 3)).1 < 8.0, "what was put in, not taken for other colours");
}

#[test]
fn a_picture_that_ends_early_is_refused_wherever_it_ends() {
    let bytes = encode(&picture(60, 40, 3), 60, 40, ColorType::Rgb, |_| ());
    for end in 0..bytes.len() - 2 {
        assert!(decode(&bytes[..end], 4096).is_err(), "{end}");
    }
}

#[test]
fn what_can_not_be_decoded_line_by_line_is_refused_in_words() {
    let pixels = picture(32, 32, 3);
    let progressive = encode(&pixels, 32, 32, ColorType::Rgb, |e| e.set_progressive(true));
    assert_eq!(decode(&progressive, 4096), Err(JpegError::Unsupported("it is progressive")));
    let four = encode(&picture(32, 32, 4), 32, 32, ColorType::Cmyk, |_| ());
    assert_eq!(decode(&four, 4096), Err(JpegError::Unsupported("it has neither one component nor three")));
    assert_eq!(decode(b"\x89PNG\r\n", 4096), Err(JpegError::NotJpeg));
    assert_eq!(decode(b"", 4096), Err(JpegError::Truncated));
}

/// A source that never ends.
struct Endless(&'static [u8], bool);

impl ByteSource for Endless {
    type Error = JpegError;

    fn more(&mut self) -> Result<Option<Bytes>, JpegError> {
        Ok(Some(if std::mem::replace(&mut self.1, true) { self.0.repeat(100) } else { vec![0xff, 0xd8] }.into()))
    }
}

#[test]
fn headers_without_an_end_are_given_up() {
    for endless in [&b"\xff\xe1\x00\x04ab"[..], b"\xff", b"\xff\xd0", b"\xff\xdb\x00\x02"] {
        let error = Decoder::new(&mut Endless(endless, false)).expect_err("no picture");
        assert_eq!(error, JpegError::Damaged("its headers have no end"), "{endless:?}");
    }
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_allocated_for_them() {
    let mut bytes = encode(&picture(32, 32, 3), 32, 32, ColorType::Rgb, |_| ());
    let at = height_at(&bytes);
    bytes[at..at + 4].fill(0xff);
    // 65535 pixels, but four blocks of each component across and down.
    for component in 0..3 {
        bytes[at + 6 + 3 * component] = 0x44;
    }
    assert_eq!(decode(&bytes, 4096), Err(JpegError::Unsupported("its lines are too long")));
    bytes[at + 2..at + 4].fill(0);
    assert!(matches!(decode(&bytes, 4096), Err(JpegError::Damaged(_))));
}

proptest! {
    #[test]
    fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..300), most in 1usize..64) {
        let _ = decode(&bytes, most);
    }

    #[test]
    fn no_change_of_a_picture_breaks_it(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        color in any::<bool>(),
    ) {
        let (kind, channels) = if color { (ColorType::Rgb, 3) } else { (ColorType::Luma, 1) };
        let mut bytes = encode(&picture(40, 30, channels), 40, 30, kind, |e| e.set_restart_interval(4));
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = decode(&bytes, 100);
    }

    #[test]
    fn chunks_of_any_length_make_the_same_picture(most in 1usize..200) {
        let bytes = encode(&picture(30, 20, 3), 30, 20, ColorType::Rgb, |_| ());
        prop_assert_eq!(decode(&bytes, most), decode(&bytes, 1 << 20));
    }
}

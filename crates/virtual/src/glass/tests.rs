//! Pictures on the glass come back as they were put there.

use png::{BitDepth, ColorType, PixelDimensions, Unit};

use super::*;

struct Sheet {
    size: (u32, u32),
    colour: ColorType,
    depth: BitDepth,
    per_metre: Option<u32>,
}

impl Sheet {
    fn new(width: u32, height: u32, colour: ColorType, depth: BitDepth) -> Sheet {
        Sheet { size: (width, height), colour, depth, per_metre: None }
    }

    fn png(&self, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.size.0, self.size.1);
        encoder.set_color(self.colour);
        encoder.set_depth(self.depth);
        if self.colour == ColorType::Indexed {
            encoder.set_palette(vec![255, 0, 0, 0, 255, 0, 10, 20, 30]);
        }
        encoder.set_pixel_dims(self.per_metre.map(|ppm| PixelDimensions { xppu: ppm, yppu: ppm, unit: Unit::Meter }));
        encoder.write_header().and_then(|mut writer| writer.write_image_data(data)).expect("a PNG");
        bytes
    }

    fn on_glass(&self, data: &[u8]) -> Glass {
        Glass::png_bytes(self.png(data)).expect("a good PNG")
    }
}

fn view(dpi: u32, left: u32, top: u32, width: u32, height: u32) -> View {
    View { dpi: (dpi, dpi), left, top, width, height }
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(length)
    .collect()
}

fn wide(bytes: &[u8]) -> Vec<u16> {
    bytes.iter().map(|v| u16::from(*v)).collect()
}

#[test]
fn a_colour_png_comes_back_exactly_at_its_own_resolution() {
    let data = noise(40 * 30 * 3);
    let glass = Sheet::new(40, 30, ColorType::Rgb, BitDepth::Eight).on_glass(&data);
    assert_eq!(glass.render(&view(300, 0, 0, 40, 30), Mode::Color, Bits::Eight).expect("rows"), wide(&data));
    let part = glass.render(&view(300, 7, 9, 5, 1), Mode::Color, Bits::Eight).expect("rows");
    assert_eq!(part, wide(&data[(9 * 40 + 7) * 3..][..15]));
}

#[test]
fn a_gray_png_comes_back_exactly_in_gray_at_8_and_16_bits() {
    let data = noise(33 * 21);
    let glass = Sheet::new(33, 21, ColorType::Grayscale, BitDepth::Eight).on_glass(&data);
    assert_eq!(glass.render(&view(300, 0, 0, 33, 21), Mode::Gray, Bits::Eight).expect("rows"), wide(&data));
    let data = noise(33 * 21 * 2);
    let glass = Sheet::new(33, 21, ColorType::Grayscale, BitDepth::Sixteen).on_glass(&data);
    let words: Vec<u16> = data.chunks(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect();
    assert_eq!(glass.render(&view(300, 0, 0, 33, 21), Mode::Gray, Bits::Sixteen).expect("rows"), words);
}

#[test]
fn beside_and_below_the_picture_is_white() {
    let glass = Sheet::new(2, 2, ColorType::Grayscale, BitDepth::Eight).on_glass(&[0; 4]);
    let samples = glass.render(&view(300, 0, 0, 3, 3), Mode::Gray, Bits::Eight).expect("rows");
    assert_eq!(samples, [0, 0, 255, 0, 0, 255, 255, 255, 255]);
}

#[test]
fn the_resolution_that_a_png_names_is_used() {
    let sheet = Sheet { per_metre: Some(5906), ..Sheet::new(2, 1, ColorType::Grayscale, BitDepth::Eight) };
    let glass = sheet.on_glass(&[10, 20]);
    assert_eq!(glass.render(&view(150, 0, 0, 3, 1), Mode::Gray, Bits::Eight).expect("rows"), [10, 20, 255]);
    let doubled = glass.render(&view(300, 0, 0, 5, 2), Mode::Gray, Bits::Eight).expect("rows");
    assert_eq!(doubled, [10, 10, 20, 20, 255, 10, 10, 20, 20, 255]);
    let sheet = Sheet { size: (2, 2), ..sheet };
    let glass = sheet.on_glass(&[10, 20, 30, 40]);
    assert_eq!(glass.render(&view(75, 0, 0, 2, 1), Mode::Gray, Bits::Eight).expect("rows"), [40, 255]);
}

#[test]
fn palette_bits_and_transparency_become_colours_over_white() {
    let glass = Sheet::new(3, 1, ColorType::Indexed, BitDepth::Eight).on_glass(&[2, 0, 1]);
    let samples = glass.render(&view(300, 0, 0, 3, 1), Mode::Color, Bits::Eight).expect("rows");
    assert_eq!(samples, [10, 20, 30, 255, 0, 0, 0, 255, 0]);
    let glass = Sheet::new(3, 1, ColorType::Grayscale, BitDepth::One).on_glass(&[0b0100_0000]);
    assert_eq!(glass.render(&view(300, 0, 0, 3, 1), Mode::Gray, Bits::Eight).expect("rows"), [0, 255, 0]);
    let glass = Sheet::new(2, 1, ColorType::Rgba, BitDepth::Eight).on_glass(&[0, 0, 0, 0, 10, 20, 30, 255]);
    let samples = glass.render(&view(300, 0, 0, 2, 1), Mode::Color, Bits::Eight).expect("rows");
    assert_eq!(samples, [255, 255, 255, 10, 20, 30]);
}

#[test]
fn rows_above_the_last_are_read_anew() {
    let data = noise(10 * 50);
    let glass = Sheet::new(10, 50, ColorType::Grayscale, BitDepth::Eight).on_glass(&data);
    let mut rows = glass.rows::<u8>(view(300, 0, 0, 10, 50)).expect("rows");
    for y in [49, 0, 17, 3] {
        let expected: Vec<[u8; 3]> = data[y * 10..][..10].iter().map(|v| [*v; 3]).collect();
        assert_eq!(rows.row(y as u32), expected, "row {y}");
    }
}

#[test]
fn lineart_is_white_from_the_threshold_on() {
    let glass = Sheet::new(3, 1, ColorType::Grayscale, BitDepth::Eight).on_glass(&[127, 128, 129]);
    let samples = glass.render(&view(300, 0, 0, 3, 1), Mode::Lineart { threshold: 128 }, Bits::Eight).expect("rows");
    assert_eq!(samples, [0, 1, 1]);
}

#[test]
fn a_broken_or_huge_png_is_refused_with_a_sentence() {
    let good = Sheet::new(40, 30, ColorType::Grayscale, BitDepth::Eight).png(&noise(1200));
    for cut in [0, 8, 30, good.len() / 2] {
        assert!(Glass::png_bytes(good[..cut].to_vec()).is_err(), "cut at {cut}");
    }
    let huge = Sheet::new(300_000, 1, ColorType::Grayscale, BitDepth::Eight).png(&[0; 300_000]);
    let error = Glass::png_bytes(huge).expect_err("too wide").to_string();
    assert!(error.contains("300000 x 1 pixels"), "{error}");
    assert!(Glass::png_file("/nonexistent.png").expect_err("no file").to_string().contains("/nonexistent.png"));
}

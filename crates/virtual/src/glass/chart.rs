//! The built-in test chart: a pure function of the position on the glass, so that any area can be
//! rendered at any resolution, row by row, without the page being held anywhere.
//!
//! A pixel has the colour of the point at its centre, in whole micrometres; nothing is smoothed.

use super::font;
use super::sample::Sample;
use super::shape::{Colour, Outline, Paint, Shape, Um};
use super::{MICROMETRES_PER_INCH, View};

/// The glass of the Perfection V850: 8.5 by 11.7 inches, where the right and lower marks are.
const GLASS: (Um, Um) = (215_900, 297_180);

const BLACK: Colour = [0; 3];
const WHITE: Colour = [u16::MAX; 3];

/// The chart, ready to be rendered.
#[derive(Debug)]
pub(super) struct Chart {
    /// Painted in this order.
    shapes: Vec<Shape>,
    /// Every row in which a shape begins or ends, ascending.
    edges: Vec<Um>,
}

impl Chart {
    pub(super) fn new() -> Chart {
        let mut sheet = Sheet::default();
        corners(&mut sheet);
        rulers(&mut sheet);
        sheet.text(24_000, 14_000, 900, BLACK, "USBSCAN TEST CHART");
        sheet.text(24_000, 23_000, 350, [0x6000; 3], "215.9 X 297.2 MM - 8.5 X 11.7 IN - ANY DPI - 16 BIT");
        patches(&mut sheet);
        wedge(&mut sheet);
        gradients(&mut sheet);
        resolution(&mut sheet);
        text_sizes(&mut sheet);
        grid(&mut sheet);
        Chart::of(sheet)
    }

    /// A sheet that is told from others by what stands on it.
    pub(super) fn label(title: &str, under: &str) -> Chart {
        let mut sheet = Sheet::default();
        corners(&mut sheet);
        sheet.text(24_000, 16_000, 3_000, BLACK, title);
        sheet.text(24_000, 45_000, 2_000, [0xa000, 0, 0], under);
        wedge(&mut sheet);
        gradients(&mut sheet);
        sheet.text(24_000, 200_000, 1_000, BLACK, title);
        sheet.text(24_000, 300_000, 1_000, [0, 0, 0xa000], under);
        Chart::of(sheet)
    }

    pub(super) fn blank() -> Chart {
        Chart::of(Sheet::default())
    }

    fn of(sheet: Sheet) -> Chart {
        let shapes = sheet.shapes;
        let mut edges: Vec<Um> = shapes.iter().flat_map(|s| [s.outline.rows().0, s.outline.rows().1]).collect();
        edges.sort_unstable();
        edges.dedup();
        Chart { shapes, edges }
    }
}

/// Renders rows of a chart; remembers the last, since most are like the one above.
#[derive(Debug)]
pub(super) struct ChartRows<S> {
    view: View,
    row: Vec<[S; 3]>,
    /// Between which edges the row lies, and the shapes there.
    slab: Option<usize>,
    shapes: Vec<Shape>,
}

impl<S: Sample> ChartRows<S> {
    pub(super) fn new(view: View) -> ChartRows<S> {
        ChartRows { view, row: vec![[S::WHITE; 3]; view.width as usize], slab: None, shapes: Vec::new() }
    }

    /// Row `y` of the view.
    pub(super) fn row(&mut self, chart: &Chart, y: u32) -> &[[S; 3]] {
        let at = centre(u64::from(self.view.top) + u64::from(y), self.view.dpi.1);
        let slab = chart.edges.partition_point(|edge| *edge <= at);
        if self.slab == Some(slab) && self.shapes.iter().all(Shape::is_same_in_every_row) {
            return &self.row;
        }
        if self.slab != Some(slab) {
            self.slab = Some(slab);
            let here = |s: &&Shape| (s.outline.rows().0..s.outline.rows().1).contains(&at);
            self.shapes = chart.shapes.iter().filter(here).copied().collect();
        }
        self.row.fill([S::WHITE; 3]);
        let (left, dpi) = (u64::from(self.view.left), self.view.dpi.0);
        for shape in &self.shapes {
            let (from, to) = shape.outline.columns(at);
            let column = |um| (first_pixel(um, dpi).saturating_sub(left) as usize).min(self.row.len());
            let (from, to) = (column(from), column(to));
            if from < to {
                shape.paint(at, &mut self.row[from..to], |i| centre(left + (from + i) as u64, dpi));
            }
        }
        &self.row
    }
}

/// Where the centre of a pixel is, in whole micrometres.
fn centre(pixel: u64, dpi: u32) -> Um {
    let um = (2 * pixel + 1) * MICROMETRES_PER_INCH / (2 * u64::from(dpi));
    u32::try_from(um).unwrap_or(Um::MAX)
}

/// The first pixel whose centre is at `um` or beyond.
fn first_pixel(um: Um, dpi: u32) -> u64 {
    (2 * u64::from(um) * u64::from(dpi)).div_ceil(MICROMETRES_PER_INCH) / 2
}

#[derive(Default)]
struct Sheet {
    shapes: Vec<Shape>,
}

impl Sheet {
    fn rect(&mut self, (left, top): (Um, Um), (width, height): (Um, Um), paint: Paint) {
        let outline = Outline::Rect { left, top, right: left + width, bottom: top + height };
        self.shapes.push(Shape { outline, paint });
    }

    fn disc(&mut self, centre: (Um, Um), radius: Um, colour: Colour) {
        self.shapes.push(Shape { outline: Outline::Disc { centre, radius }, paint: Paint::Solid(colour) });
    }

    fn slant(&mut self, upper: (Um, Um), lower: (Um, Um), width: Um) {
        self.shapes.push(Shape { outline: Outline::Slant { upper, lower, width }, paint: Paint::Solid(BLACK) });
    }

    /// Writes with dots of `dot` micrometres; a character is 5 dots wide, 7 high, and 6 apart.
    fn text(&mut self, left: Um, top: Um, dot: Um, colour: Colour, text: &str) {
        for (i, character) in text.chars().enumerate() {
            let x = left + i as Um * (font::DOTS.0 + 1) * dot;
            for (row, bits) in font::rows(character).into_iter().enumerate() {
                for (from, to) in font::runs(bits) {
                    let corner = (x + from * dot, top + row as Um * dot);
                    self.rect(corner, ((to - from) * dot, dot), Paint::Solid(colour));
                }
            }
        }
    }
}

/// An angle in each corner of the glass, and beside it a square by which the corners differ.
fn corners(sheet: &mut Sheet) {
    let colours = [[0xffff, 0, 0], [0, 0x9000, 0], [0, 0, 0xffff], BLACK];
    for (i, colour) in colours.into_iter().enumerate() {
        let (right, low) = (i % 2 == 1, i / 2 == 1);
        let place = |far: bool, whole: Um, size: Um, inset: Um| if far { whole - inset - size } else { inset };
        let corner = |size: (Um, Um), inset| (place(right, GLASS.0, size.0, inset), place(low, GLASS.1, size.1, inset));
        for size in [(8_000, 700), (700, 8_000)] {
            sheet.rect(corner(size, 0), size, Paint::Solid(BLACK));
        }
        sheet.rect(corner((3_000, 3_000), 2_000), (3_000, 3_000), Paint::Solid(colour));
    }
}

/// Millimetres along the upper and the left edge, with numbers every centimetre.
fn rulers(sheet: &mut Sheet) {
    let tick = 150;
    let length = |mm: Um| match (mm % 10, mm % 5) {
        (0, _) => 4_500,
        (_, 0) => 3_200,
        _ => 2_000,
    };
    for mm in 10..=205 {
        sheet.rect((mm * 1000 - tick / 2, 0), (tick, length(mm)), Paint::Solid(BLACK));
        if mm % 10 == 0 {
            sheet.text(mm * 1000 - 1_500, 5_300, 250, BLACK, &format!("{mm:>3}"));
        }
    }
    for mm in 10..=286 {
        sheet.rect((0, mm * 1000 - tick / 2), (length(mm), tick), Paint::Solid(BLACK));
        if mm % 10 == 0 {
            sheet.text(5_300, mm * 1000 - 875, 250, BLACK, &format!("{mm}"));
        }
    }
}

/// Twenty-four colours: skin, sky, leaf and the like above, primaries in the third row, grays below.
fn patches(sheet: &mut Sheet) {
    const COLOURS: [u32; 24] = [
        0x70_50_40, 0xc8_96_80, 0x5c_78_a0, 0x58_70_40, 0x84_80_b4, 0x60_c0_ac, //
        0xdc_80_2c, 0x48_58_a8, 0xc4_50_60, 0x5c_38_6c, 0xa0_c0_38, 0xe4_a4_28, //
        0xff_00_00, 0x00_ff_00, 0x00_00_ff, 0xff_ff_00, 0xff_00_ff, 0x00_ff_ff, //
        0xf4_f4_f4, 0xc8_c8_c8, 0xa0_a0_a0, 0x78_78_78, 0x50_50_50, 0x00_00_00,
    ];
    sheet.rect((22_000, 29_000), (176_000, 64_000), Paint::Solid([0x2000; 3]));
    for (i, rgb) in COLOURS.into_iter().enumerate() {
        let [_, r, g, b] = rgb.to_be_bytes();
        let corner = (24_000 + (i as Um % 6) * 29_000, 31_000 + (i as Um / 6) * 15_250);
        sheet.rect(corner, (27_000, 14_250), Paint::Solid([r, g, b].map(|v| u16::from(v) * 257)));
    }
}

/// Seventeen steps from black to white.
fn wedge(sheet: &mut Sheet) {
    for step in 0..=16 {
        let level = (step * 0x1000).min(0xffff) as u16;
        let corner = (24_000 + step * 10_000, 96_000);
        sheet.rect(corner, (10_000, 10_000), Paint::Solid([level; 3]));
        let ink = if step < 9 { WHITE } else { BLACK };
        sheet.text(corner.0 + 3_000, 102_000, 300, ink, &format!("{step:>2}"));
    }
    sheet.rect((24_000, 95_700), (170_000, 300), Paint::Solid(BLACK));
}

/// Blends across from black to each primary and to white, once round the colours, and one blend down.
fn gradients(sheet: &mut Sheet) {
    const MAX: u16 = u16::MAX;
    let ends = [WHITE, [MAX, 0, 0], [0, MAX, 0], [0, 0, MAX]];
    for (i, end) in ends.into_iter().enumerate() {
        sheet.rect((24_000, 109_000 + i as Um * 7_000), (152_000, 6_500), Paint::Across(BLACK, end));
    }
    let wheel = [[MAX, 0, 0], [MAX, MAX, 0], [0, MAX, 0], [0, MAX, MAX], [0, 0, MAX], [MAX, 0, MAX], [MAX, 0, 0]];
    for (i, pair) in wheel.windows(2).enumerate() {
        let corner = (24_000 + i as Um * 25_333, 137_000);
        sheet.rect(corner, (25_333, 8_000), Paint::Across(pair[0], pair[1]));
    }
    sheet.rect((178_000, 109_000), (16_000, 36_000), Paint::Down(WHITE, BLACK));
}

/// Lines and squares that get finer, discs within each other, strokes that are not upright.
fn resolution(sheet: &mut Sheet) {
    for (i, width) in [1_000, 500, 250, 167, 125, 83].into_iter().enumerate() {
        let left = 24_000 + i as Um * 18_000;
        sheet.rect((left, 149_000), (16_000, 12_000), Paint::Bars { width });
        sheet.rect((left, 162_000), (16_000, 12_000), Paint::Stripes { width });
        sheet.rect((left, 175_000), (16_000, 12_000), Paint::Checks { width });
    }
    for (i, radius) in (1..=8).rev().enumerate() {
        let colour = if i % 2 == 0 { BLACK } else { WHITE };
        sheet.disc((174_000, 168_000), radius * 2_350, colour);
    }
    sheet.disc((174_000, 168_000), 1_200, [0xffff, 0, 0]);
    sheet.slant((134_000, 149_000), (152_000, 187_000), 400);
    sheet.slant((152_000, 149_000), (134_000, 187_000), 400);
}

/// The same line in smaller and smaller letters, and a block of fine print.
fn text_sizes(sheet: &mut Sheet) {
    const FOX: &str = "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG 0123456789";
    let mut top = 192_000;
    for dot in [520, 400, 300, 220, 160] {
        sheet.text(24_000, top, dot, BLACK, FOX);
        top += 11 * dot;
    }
    for line in 0..6 {
        sheet.text(24_000, 212_000 + line * 2_400, 210, [0x3000; 3], "WHATEVER HANGS CAN BE CANCELLED AND THE SCANNER");
        sheet.text(
            106_000,
            212_000 + line * 2_400,
            210,
            [0, 0, 0xa000],
            "IS USABLE AGAIN AFTERWARDS. A PAGE WITHOUT WORDS",
        );
    }
}

/// Five-millimetre squares in light blue, every second centimetre darker.
fn grid(sheet: &mut Sheet) {
    let (left, top, columns, rows) = (24_000, 232_000, 34, 10);
    let light = |i: Um| if i % 4 == 0 { [0x4000, 0x7000, 0xc000] } else { [0xb000, 0xd000, 0xf800] };
    for i in 0..=columns {
        sheet.rect((left + i * 5_000, top), (200, rows * 5_000), Paint::Solid(light(i)));
    }
    for i in 0..=rows {
        sheet.rect((left, top + i * 5_000), (columns * 5_000 + 200, 200), Paint::Solid(light(i)));
    }
    sheet.slant((24_000, 232_000), (194_000, 282_000), 1_200);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(dpi: u32, left: u32, top: u32, width: u32, height: u32) -> View {
        View { dpi: (dpi, dpi), left, top, width, height }
    }

    #[test]
    fn the_first_pixel_of_a_place_is_the_first_whose_centre_is_in_it() {
        for dpi in [25, 75, 300, 601, 4800, 12800] {
            for um in [0, 1, 50, 1000, 21_167, 215_900] {
                let first = first_pixel(um, dpi);
                assert!(centre(first, dpi) >= um, "{um} um at {dpi} dpi");
                assert!(first == 0 || centre(first - 1, dpi) < um, "{um} um at {dpi} dpi");
            }
        }
    }

    #[test]
    fn an_area_is_cut_out_of_the_whole_exactly() {
        let chart = Chart::new();
        let (mut whole, mut part) =
            (ChartRows::<u16>::new(view(100, 0, 0, 850, 1170)), ChartRows::<u16>::new(view(100, 93, 37, 501, 800)));
        for y in 0..800 {
            assert_eq!(part.row(&chart, y), &whole.row(&chart, 37 + y)[93..594], "row {y}");
        }
    }

    #[test]
    fn rows_asked_for_in_any_order_are_the_same() {
        let chart = Chart::new();
        let mut down = ChartRows::<u8>::new(view(60, 0, 0, 510, 702));
        let rows: Vec<Vec<[u8; 3]>> = (0..702).map(|y| down.row(&chart, y).to_vec()).collect();
        let mut up = ChartRows::<u8>::new(view(60, 0, 0, 510, 702));
        assert!((0..702).rev().all(|y| up.row(&chart, y) == rows[y as usize]));
    }

    #[test]
    fn eight_bits_are_the_upper_eight_of_sixteen() {
        let chart = Chart::new();
        let (mut eight, mut sixteen) =
            (ChartRows::<u8>::new(view(75, 0, 0, 637, 877)), ChartRows::<u16>::new(view(75, 0, 0, 637, 877)));
        for y in 0..877 {
            let cut: Vec<[u8; 3]> = sixteen.row(&chart, y).iter().map(|p| p.map(|v| (v >> 8) as u8)).collect();
            assert_eq!(eight.row(&chart, y), cut, "row {y}");
        }
    }

    #[test]
    fn the_corners_differ() {
        let chart = Chart::new();
        let mut rows = ChartRows::<u8>::new(view(254, 0, 0, 2159, 2971));
        let mut at = |x: usize, y: u32| rows.row(&chart, y)[x];
        let colours = [at(30, 30), at(2125, 30), at(30, 2940), at(2125, 2940)];
        assert_eq!(colours, [[255, 0, 0], [0, 0x90, 0], [0, 0, 255], [0, 0, 0]]);
    }
}

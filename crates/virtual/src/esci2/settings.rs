//! What was set with PARA, and what of it there is: the lists of a PX-M7050 (docs/esc-i2.md).

use super::words::{self, TokenValue, integer, number};
use crate::glass::Alignment;
use crate::jpeg::{FrameHeight, Sampling};

/// Resolutions, across and down.
const ACROSS: [u32; 5] = [75, 150, 300, 600, 1200];
const DOWN: [u32; 7] = [75, 150, 300, 400, 600, 1200, 2400];
/// Its feeder is coarser.
const FEEDER_MOST: u32 = 600;
/// The glass, and what the feeder sees, in hundredths of an inch.
pub(super) const AREA: (u32, u32) = (1170, 1700);
/// Bytes of parameters that it takes at once.
pub(super) const MOST_PARAMETERS: usize = 1536;
/// Image data in one reply, at most.
const MOST_CHUNK: u32 = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Flatbed,
    Feeder { duplex: bool },
}

/// What is kept of a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Rgb,
    Gray,
    Bit,
    /// The same with 16 bits a sample.
    Rgb16,
    Gray16,
}

impl Colour {
    const ALL: [(Colour, &'static [u8; 4]); 5] = [
        (Colour::Rgb, b"C024"),
        (Colour::Gray, b"M008"),
        (Colour::Bit, b"M001"),
        (Colour::Rgb16, b"C048"),
        (Colour::Gray16, b"M016"),
    ];

    fn of(word: &[u8; 4]) -> Option<Colour> {
        Colour::ALL.into_iter().find(|(_, known)| *known == word).map(|(colour, _)| colour)
    }

    fn word(self) -> &'static str {
        let word = Colour::ALL.into_iter().find(|(colour, _)| *colour == self).map(|(_, word)| word);
        word.and_then(|word| std::str::from_utf8(word).ok()).expect("every colour has a word")
    }

    fn is_deep(self) -> bool {
        matches!(self, Colour::Rgb16 | Colour::Gray16)
    }
}

/// The forms in which this one sends images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Formats {
    /// As they are, or as JPEG.
    #[default]
    Both,
    Raw,
    Jpeg,
}

impl Formats {
    fn list(self) -> &'static str {
        match self {
            Formats::Both => "RAW JPG ",
            Formats::Raw => "RAW ",
            Formats::Jpeg => "JPG ",
        }
    }

    fn has(self, jpeg: bool) -> bool {
        self == Formats::Both || jpeg == (self == Formats::Jpeg)
    }
}

/// How JPEG pages are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JpegSetup {
    /// Chroma subsampling of colour pages.
    pub sampling: Sampling,
    /// A restart interval for each row of MCUs.
    pub restarts: bool,
    /// The height in the frame header, of which [`FrameHeight::Claimed`] is the one asked for, as an ES-60W has it.
    pub frame: FrameHeight,
}

impl Default for JpegSetup {
    /// 4:4:4 with restart intervals, and the height that was asked for.
    fn default() -> JpegSetup {
        JpegSetup { sampling: Sampling::Full, restarts: true, frame: FrameHeight::Claimed(0) }
    }
}

/// Bytes of image data in a reply, where they are not as many as `#BSZ` allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chunks {
    /// In the first of a side.
    pub first: Option<u32>,
    /// In every other.
    pub every: Option<u32>,
}

/// Curves that the host downloaded, for red, green, blue and gray; in force while the scanner's own is `UG10`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Curves([[u8; 256]; 4]);

impl Curves {
    fn straight() -> Box<Curves> {
        Box::new(Curves([std::array::from_fn(|at| at as u8); 4]))
    }

    fn set(&mut self, name: &[u8; 4], bytes: &[u8]) -> Option<()> {
        let at = [b"RED ", b"GRN ", b"BLU ", b"MONO"].iter().position(|known| *known == name)?;
        self.0[at] = bytes.try_into().ok()?;
        Some(())
    }

    pub(super) fn color(&self, pixel: [u8; 3]) -> [u8; 3] {
        std::array::from_fn(|at| self.0[at][usize::from(pixel[at])])
    }

    pub(super) fn gray(&self, shade: u8) -> u8 {
        self.0[3][usize::from(shade)]
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    formats: Formats,
    applies_tables: bool,
    sixteen_bits: bool,
    curves: Box<Curves>,
    pub from: From,
    pub dpi: (u32, u32),
    pub colour: Colour,
    pub jpeg: bool,
    pub quality: u8,
    pub threshold: u8,
    gamma: [u8; 4],
    /// Images wanted; 0: as many as there are.
    pub images: u32,
    /// x, y, width, height in pixels.
    pub area: [u32; 4],
    pub chunk: u32,
}

impl Settings {
    pub(super) fn new(formats: Formats, applies_tables: bool, sixteen_bits: bool) -> Settings {
        Settings {
            formats,
            applies_tables,
            sixteen_bits,
            curves: Curves::straight(),
            from: From::Flatbed,
            dpi: (75, 75),
            colour: Colour::Bit,
            jpeg: formats == Formats::Jpeg,
            quality: 90,
            threshold: 128,
            gamma: *b"UG10",
            images: 0,
            area: [0, 0, 872, 1275],
            chunk: 65_536,
        }
    }

    /// PARA: all of it, or nothing.
    pub(super) fn with(&self, bytes: &[u8]) -> Option<Settings> {
        let mut new = self.clone();
        for (key, values) in words::parameters(bytes)? {
            new.take(&key, &values)?;
        }
        new.is_possible().then_some(new)
    }

    fn take(&mut self, key: &[u8; 4], values: &[TokenValue]) -> Option<()> {
        let small = |number: &i64, most: u32| u32::try_from(*number).ok().filter(|number| *number <= most);
        match (key, values) {
            (b"#FB ", []) => self.from = From::Flatbed,
            (b"#ADF", words) => {
                let known =
                    |value: &TokenValue| matches!(value, TokenValue::Word(word) if word == b"DPLX" || word == b"PEDT");
                words.iter().all(known).then_some(())?;
                self.from = From::Feeder { duplex: words.contains(&TokenValue::Word(*b"DPLX")) };
            }
            (b"#RSM", [TokenValue::Number(dpi)]) => self.dpi.0 = small(dpi, 1200)?,
            (b"#RSS", [TokenValue::Number(dpi)]) => self.dpi.1 = small(dpi, 2400)?,
            (b"#COL", [TokenValue::Word(word)]) => {
                self.colour = Colour::of(word).filter(|colour| self.sixteen_bits || !colour.is_deep())?;
            }
            (b"#FMT", [TokenValue::Word(word)]) => {
                self.jpeg = match word {
                    b"RAW " => false,
                    b"JPG " => true,
                    _ => return None,
                }
            }
            (b"#JPG", [TokenValue::Number(quality)]) => self.quality = small(quality, 100)?.max(1) as u8,
            (b"#THR", [TokenValue::Number(threshold)]) => self.threshold = small(threshold, 255)? as u8,
            (b"#GMM", [TokenValue::Word(word)]) if word == b"UG10" || word == b"UG18" => self.gamma = *word,
            (b"#PAG", [TokenValue::Number(images)]) => self.images = small(images, 999)?,
            (b"#BSZ", [TokenValue::Number(bytes)]) => self.chunk = small(bytes, MOST_CHUNK)?.max(1),
            (b"#ACQ", [TokenValue::Number(x), TokenValue::Number(y), TokenValue::Number(w), TokenValue::Number(h)]) => {
                for (field, value) in self.area.iter_mut().zip([x, y, w, h]) {
                    *field = small(value, 65_535)?;
                }
            }
            (b"#GMT", [TokenValue::Word(name), TokenValue::Bytes(bytes)]) => self.curves.set(name, bytes)?,
            // Matrices change nothing here, like the built-in curves.
            (b"#CMX", _) => {}
            _ => return None,
        }
        Some(())
    }

    /// The downloaded curves, while they are in force. They have 256 shades, and change samples of 8 bits only.
    pub(super) fn curves(&self) -> Option<Box<Curves>> {
        (self.applies_tables && self.gamma == *b"UG10").then(|| self.curves.clone())
    }

    fn is_possible(&self) -> bool {
        let [x, y, width, height] = self.area;
        let fits =
            |start: u32, length: u32, hundredths: u32, dpi: u32| length > 0 && start + length <= hundredths * dpi / 100;
        let most = if self.from == From::Flatbed { u32::MAX } else { FEEDER_MOST };
        ACROSS.contains(&self.dpi.0)
            && DOWN.contains(&self.dpi.1)
            && self.dpi.0 <= most
            && self.formats.has(self.jpeg)
            && !(self.jpeg && (self.colour == Colour::Bit || self.colour.is_deep()))
            && fits(x, width, AREA.0, self.dpi.0)
            && fits(y, height, AREA.1, self.dpi.1)
            // A page of JPEG, and a line of bits, can't be cut anywhere else.
            && (self.colour != Colour::Bit || width % 8 == 0)
    }

    pub(super) fn information(name: &str, alignment: Alignment) -> String {
        let area = format!("{}{}", integer(AREA.0), integer(AREA.1));
        let feeder = "#ADFTYPEFEED#ADFDPLX1SCN#ADFFORDPF1N#ADFPREF";
        let alignment = match alignment {
            Alignment::Left => "LEFT",
            Alignment::Center => "CNTR",
            Alignment::Right => "RIGT",
        };
        format!(
            "{feeder}#ADFALGN{alignment}#ADFAREA{area}#ADFAMINd582d413#ADFAMAX{area}#ADFRESO{}#FB ALGNLEFT#FB AREA{area}#FB RESO{}\
             #IMX{most}{most}#PRD{}#VER{}#DSZ{}",
            number(FEEDER_MOST),
            number(1200),
            words::text(name),
            words::text("FB      VIRTUAL1"),
            number(MOST_PARAMETERS as u32),
            most = integer(65_535),
        )
    }

    pub(super) fn capabilities(formats: Formats, sixteen_bits: bool) -> String {
        let list = |all: &[u32]| all.iter().map(|dpi| number(*dpi)).collect::<String>();
        format!(
            "#ADFDPLX#ADFPEDT#ADFRSMSLISTd600#FB RSMSLISTd300d600i0001200#COLLISTC024M001M008{}#FMTLIST{}\
             #JPGRANGd001d100#THRRANGd000d255#GMMLISTUG10UG18#GMTLISTRED GRN BLU MONO#CMXLISTUNITUM08\
             #RSMLIST{}#RSSLIST{}",
            if sixteen_bits { "C048M016" } else { "" },
            formats.list(),
            list(&ACROSS),
            list(&DOWN),
        )
    }

    pub(super) fn now(&self) -> String {
        let from = match self.from {
            From::Flatbed => "#FB ",
            From::Feeder { duplex: false } => "#ADF",
            From::Feeder { duplex: true } => "#ADFDPLX",
        };
        let colour = self.colour.word();
        let area: String = self.area.iter().map(|side| number(*side)).collect();
        format!(
            "{from}#COL{colour}#FMT{}#JPG{}#THR{}#GMM{}#RSM{}#RSS{}#PAG{}#BSZ{}#ACQ{area}",
            if self.jpeg { "JPG " } else { "RAW " },
            number(self.quality.into()),
            number(self.threshold.into()),
            String::from_utf8_lossy(&self.gamma),
            number(self.dpi.0),
            number(self.dpi.1),
            number(self.images),
            integer(self.chunk),
        )
    }
}

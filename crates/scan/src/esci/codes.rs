//! The bytes of ESC/I (Epson ESC/I Scanner Reference Manual, chapters 2 and 3).

/// First byte of every information block and image header.
pub(super) const STX: u8 = 0x02;
/// End the page, in the place of an ACK, once the error byte has said that its sheet ended.
pub(super) const EOT: OneByte = OneByte { byte: 0x04, name: "EOT" };
/// Taken; or: send the next block.
pub(super) const ACK: u8 = 0x06;
/// Puts a sheet out of the feeder.
pub(super) const FF: OneByte = OneByte { byte: 0x0c, name: "FF" };
/// Loads the next page in the feeder, or turns the sheet.
pub(super) const PF: OneByte = OneByte { byte: 0x19, name: "PF" };
pub(super) const NAK: u8 = 0x15;
/// End the scan, in the place of an ACK.
pub(super) const CAN: u8 = 0x18;

/// A command of two bytes, and its name for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code {
    pub bytes: [u8; 2],
    pub name: &'static str,
}

/// A command of one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OneByte {
    pub byte: u8,
    pub name: &'static str,
}

const fn esc(letter: u8, name: &'static str) -> Code {
    Code { bytes: [0x1b, letter], name }
}

const fn fs(letter: u8, name: &'static str) -> Code {
    Code { bytes: [0x1c, letter], name }
}

pub(super) const RESET: Code = esc(b'@', "ESC @");
pub(super) const IDENTITY: Code = esc(b'I', "ESC I");
pub(super) const EXTENDED_STATUS: Code = esc(b'f', "ESC f");
pub(super) const START: Code = esc(b'G', "ESC G");
pub(super) const COLOR: Code = esc(b'C', "ESC C");
pub(super) const DEPTH: Code = esc(b'D', "ESC D");
pub(super) const RESOLUTION: Code = esc(b'R', "ESC R");
pub(super) const AREA: Code = esc(b'A', "ESC A");
pub(super) const HALFTONE: Code = esc(b'B', "ESC B");
pub(super) const BRIGHTNESS: Code = esc(b'L', "ESC L");
pub(super) const GAMMA: Code = esc(b'Z', "ESC Z");
pub(super) const GAMMA_TABLE: Code = esc(b'z', "ESC z");
pub(super) const COLOR_CORRECTION: Code = esc(b'M', "ESC M");
pub(super) const THRESHOLD: Code = esc(b't', "ESC t");
pub(super) const STATUS: Code = esc(b'F', "ESC F");
pub(super) const FOCUS: Code = esc(b'p', "ESC p");
pub(super) const FOCUS_POSITION: Code = esc(b'q', "ESC q");
pub(super) const COLOR_MATRIX: Code = esc(b'm', "ESC m");
pub(super) const SHARPNESS: Code = esc(b'Q', "ESC Q");
pub(super) const HARDWARE: Code = esc(b'i', "ESC i");
pub(super) const OPTION_UNIT: Code = esc(b'e', "ESC e");
pub(super) const FILM: Code = esc(b'N', "ESC N");
pub(super) const BUTTON: Code = esc(b'!', "ESC !");
pub(super) const BLOCK_LINES: Code = esc(b'd', "ESC d");

pub(super) const FS_IDENTITY: Code = fs(b'I', "FS I");
pub(super) const FS_STATUS: Code = fs(b'F', "FS F");
pub(super) const FS_PARAMETERS: Code = fs(b'W', "FS W");
/// The parameters in force; after EOT with the height that was scanned.
pub(super) const FS_PARAMETERS_IN_FORCE: Code = fs(b'S', "FS S");
pub(super) const FS_START: Code = fs(b'G', "FS G");

/// Values of ESC C.
pub(super) const MONOCHROME: u8 = 0x00;
pub(super) const RGB_PIXELS: u8 = 0x13;
/// Values of ESC B.
pub(super) const NO_HALFTONE: u8 = 0x01;
/// Values of ESC Z.
pub(super) const GAMMA_BILEVEL: u8 = 0x01;
pub(super) const GAMMA_MULTILEVEL: u8 = 0x02;
pub(super) const GAMMA_DOWNLOADED: u8 = 0x03;
/// D levels: on top of a curve of 1.8.
pub(super) const GAMMA_ON_BASE: u8 = 0x04;
/// Values of ESC M.
pub(super) const NO_CORRECTION: u8 = 0x00;
pub(super) const DOWNLOADED_CORRECTION: u8 = 0x01;
pub(super) const CRT_CORRECTION: u8 = 0x80;
/// Values of ESC e and of FS W's byte 26.
pub(super) const NO_UNIT: u8 = 0x00;
pub(super) const FEEDER_OR_FILM: u8 = 0x01;
pub(super) const FEEDER_DUPLEX: u8 = 0x02;
pub(super) const WIDE_FILM: u8 = 0x05;
/// Values of ESC N.
pub(super) const POSITIVE: u8 = 0x00;
pub(super) const NEGATIVE: u8 = 0x01;

//! A screen that nobody sees: an X server of its own (Xvfb), whose pixels lie in a file, and xdotool's hands on its keyboard.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::program::Program;

/// Large enough for a file dialog.
const SIZE: &str = "1400x1000x24";

/// A running X server without a window manager.
pub struct Screen {
    /// Where the server keeps its pixels.
    folder: TempDir,
    display: String,
    _server: Program,
}

impl Screen {
    /// One of its own, ready for programs.
    pub fn new() -> Screen {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Command::new("Xvfb");
        server.args(["-displayfd", "1", "-nolisten", "tcp", "-screen", "0", SIZE, "-fbdir"]).arg(folder.path());
        let (server, said) = Program::start_unread(&mut server);
        // When it is ready it says which number it took.
        let mut number = String::new();
        BufReader::new(said).read_line(&mut number).expect("the server speaks");
        assert_ne!(number, "", "the server does not start");
        Screen { folder, display: format!(":{}", number.trim()), _server: server }
    }

    /// What programs need as `DISPLAY`.
    pub fn display(&self) -> &str {
        &self.display
    }

    /// Presses a key, as in `ctrl+s`.
    pub fn press(&self, key: &str) {
        self.xdotool(&["key", key]);
    }

    /// Types.
    pub fn type_text(&self, text: &str) {
        self.xdotool(&["type", "--delay", "5", text]);
    }

    /// Waits for a window with this in its title, and gives it the keyboard.
    pub fn focus(&self, title: &str) {
        self.xdotool(&["search", "--sync", "--onlyvisible", "--limit", "1", "--name", title, "windowfocus", "--sync"]);
    }

    fn xdotool(&self, arguments: &[&str]) {
        let ended = Program::start(Command::new("xdotool").args(arguments).env("DISPLAY", self.display())).end();
        assert_eq!(ended.code, Some(0), "xdotool {}: {}", arguments.join(" "), ended.stderr);
    }

    /// How many pixels have this red, green and blue.
    pub fn count(&self, color: [u8; 3]) -> usize {
        self.pixels().pixels.chunks_exact(3).filter(|pixel| *pixel == color).count()
    }

    /// Writes what it shows to a PNG file.
    pub fn save(&self, path: &Path) {
        let shown = self.pixels();
        let file = std::fs::File::create(path).expect("a file");
        let mut encoder = png::Encoder::new(std::io::BufWriter::new(file), shown.width, shown.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().expect("a header");
        writer.write_image_data(&shown.pixels).expect("the pixels");
        writer.finish().expect("the end");
    }

    fn pixels(&self) -> Picture {
        let bytes = std::fs::read(self.folder.path().join("Xvfb_screen0")).expect("the server's pixels");
        Picture::from_xwd(&bytes)
    }
}

/// What is on a screen.
struct Picture {
    width: u32,
    height: u32,
    /// Red, green, blue.
    pixels: Vec<u8>,
}

impl Picture {
    /// From the format of xwd (X11/XWDFile.h), as Xvfb writes it: a header of words with the high byte first, a table of
    /// colours of 12 bytes each, then lines; of each pixel of 32 bits blue comes first.
    fn from_xwd(bytes: &[u8]) -> Picture {
        let word = |index: usize| u32::from_be_bytes(bytes[4 * index..][..4].try_into().expect("four bytes"));
        let [header, width, height, bits, line, colors] = [0, 4, 5, 11, 12, 19].map(word);
        assert_eq!(bits, 32, "bits of a pixel");
        let lines = bytes[header as usize + 12 * colors as usize..].chunks_exact(line as usize).take(height as usize);
        let pixels = lines.flat_map(|line| line[..4 * width as usize].chunks_exact(4));
        let pixels = pixels.flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
        Picture { width, height, pixels }
    }
}

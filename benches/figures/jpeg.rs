//! JPEG to lines of pixels: the decoder of the drivers beside libjpeg-turbo's djpeg, which is a process of its own and writes to
//! /dev/null. A photo with noise, and the test chart; A4 at 300 dpi, 4:2:2 as scanners send it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use bytes::Bytes;
use usbscan_scan::jpeg::{ByteSource, Decoder, JpegError};
use usbscan_virtual::glass::{Bits, Glass, Mode, View};

use crate::report::{Aim, Report, Series};
use crate::{Outcome, Wishes};

const WIDTH: u32 = 2480;
const HEIGHT: u32 = 3508;
/// What a scanner sends at once.
const CHUNK: usize = 128 * 1024;

pub fn measure(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let view = View { dpi: (300, 300), left: 0, top: 0, width: WIDTH.min(2550), height: HEIGHT };
    let chart = Glass::chart().render(&view, Mode::Color, Bits::Eight)?;
    let chart: Vec<u8> = chart.into_iter().map(|sample| sample as u8).collect();
    for (name, pixels, aim) in [("a photo", photo(), 0.7), ("the chart", chart, 0.5)] {
        let file = folder.path().join("page.jpg");
        encode(&folder.path().join("page.ppm"), &file, &pixels)?;
        let jpeg = Bytes::from(fs::read(&file)?);
        let megabytes = pixels.len() as f64 / 1e6;
        let series = |who: &str| Series::new(format!("{name}, A4, 300 dpi: {who}"));
        let (mut ours, mut peer) = (series("our decoder"), series("djpeg"));
        for _ in 0..wishes.rounds(15) {
            ours.values.push(megabytes / decode(&jpeg)?);
            let began = Instant::now();
            run(Command::new("djpeg").args(["-outfile", "/dev/null"]).arg(&file))?;
            peer.values.push(megabytes / began.elapsed().as_secs_f64());
        }
        report.series(&ours, "MB/s");
        report.series(&peer, "MB/s");
        report.ratio(&ours, &peer, Some(Aim::AtLeast(aim)));
    }
    Ok(())
}

/// Slopes, waves, and noise in every sample.
fn photo() -> Vec<u8> {
    let mut seed = 1_u32;
    let mut noise = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as f64 / 255.0 * 28.0 - 14.0
    };
    let pixel = |at: u32| (f64::from(at % WIDTH), f64::from(at / WIDTH));
    let light = |(x, y): (f64, f64)| 60.0 * (x / 97.0 + y / 131.0).sin() + 40.0 * (x / 13.0).sin() * (y / 17.0).cos();
    let mut samples = Vec::with_capacity((3 * WIDTH * HEIGHT) as usize);
    for at in 0..WIDTH * HEIGHT {
        let light = 128.0 + light(pixel(at));
        let tint = |channel: f64| 20.0 * (pixel(at).0 / 200.0 + channel).sin();
        samples.extend([0.0, 1.0, 2.0].map(|channel| (light + tint(channel) + noise()) as u8));
    }
    samples
}

fn encode(ppm: &Path, jpeg: &Path, pixels: &[u8]) -> Outcome<()> {
    let mut file = fs::File::create(ppm)?;
    writeln!(file, "P6 {WIDTH} {HEIGHT} 255")?;
    file.write_all(pixels)?;
    run(Command::new("cjpeg").args(["-quality", "90", "-sample", "2x1", "-outfile"]).arg(jpeg).arg(ppm))
}

fn run(command: &mut Command) -> Outcome<()> {
    let status = command.status().map_err(|error| format!("{command:?} (libjpeg-turbo-progs): {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

struct Chunks(Bytes);

impl ByteSource for Chunks {
    type Error = JpegError;

    fn more(&mut self) -> Result<Option<Bytes>, JpegError> {
        let chunk = self.0.split_to(CHUNK.min(self.0.len()));
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }
}

/// How long it takes, in seconds.
fn decode(jpeg: &Bytes) -> Outcome<f64> {
    let began = Instant::now();
    let mut source = Chunks(jpeg.clone());
    let mut decoder = Decoder::new(&mut source)?;
    let mut lines = Vec::new();
    while decoder.lines(&mut source, &mut lines)? {
        lines.clear();
    }
    Ok(began.elapsed().as_secs_f64())
}

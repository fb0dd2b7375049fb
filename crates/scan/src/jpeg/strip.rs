//! The samples of one row of MCUs, a plane for each component, and the lines of pixels that they make.

use super::headers::{Component, Headers};

/// One component's samples of a row of MCUs.
#[derive(Debug)]
pub(super) struct Plane {
    samples: Vec<u8>,
    /// Samples of a line.
    stride: usize,
    /// Pixels for which a sample stands, across and down.
    across: usize,
    down: usize,
}

impl Plane {
    pub(super) fn new(headers: &Headers, component: &Component) -> Plane {
        let stride = (headers.mcus_across * component.across * 8) as usize;
        Plane {
            samples: vec![0; stride * 8 * component.down as usize],
            stride,
            across: (headers.most_across / component.across) as usize,
            down: (headers.most_down / component.down) as usize,
        }
    }

    /// Takes a block: the how-manieth across and down.
    pub(super) fn put(&mut self, across: u32, down: u32, block: &[f32; 64]) {
        let first = down as usize * 8 * self.stride + across as usize * 8;
        for (row, values) in block.chunks_exact(8).enumerate() {
            let at = first + row * self.stride;
            for (sample, value) in self.samples[at..at + 8].iter_mut().zip(values) {
                *sample = rounded(value + 128.0);
            }
        }
    }

    fn line(&self, line: usize) -> &[u8] {
        let first = line / self.down * self.stride;
        &self.samples[first..first + self.stride]
    }

    /// A sample for each pixel of a line; `room` is used where there are fewer.
    fn spread<'a>(&'a self, line: usize, width: usize, room: &'a mut Vec<u8>) -> &'a [u8] {
        let samples = self.line(line);
        if self.across == 1 {
            return &samples[..width];
        }
        room.resize(samples.len() * self.across, 0);
        // By far the most usual, and two stores are quicker than a loop for so few.
        if self.across == 2 {
            room.chunks_exact_mut(2).zip(samples).for_each(|(pixels, sample)| pixels.copy_from_slice(&[*sample; 2]));
        } else {
            room.chunks_exact_mut(self.across).zip(samples).for_each(|(pixels, sample)| pixels.fill(*sample));
        }
        &room[..width]
    }
}

/// 1.5 times 2^23: a number to which this is added has no bits left behind the point.
const WHOLE: f32 = 12_582_912.0;

/// The nearest byte. In steps that the compiler makes vectors of, which a conversion that minds every number is not.
#[inline(always)]
fn rounded(value: f32) -> u8 {
    // Halves go up.
    let whole = (value + 0.001 + WHOLE).to_bits().wrapping_sub(WHOLE.to_bits()) as i32;
    whole.clamp(0, 255) as u8
}

/// Appends the first `count` lines.
pub(super) fn pixels(headers: &Headers, planes: &[Plane], count: u32, into: &mut Vec<u8>) {
    let width = headers.width as usize;
    let mut spread = [const { Vec::new() }; 3];
    for line in 0..count as usize {
        match planes {
            [gray] => into.extend_from_slice(&gray.line(line)[..width]),
            [first, second, third] => {
                let start = into.len();
                into.resize(start + 3 * width, 0);
                let [one, two, three] = &mut spread;
                let lines =
                    [first.spread(line, width, one), second.spread(line, width, two), third.spread(line, width, three)];
                if headers.is_rgb { interleave(lines, &mut into[start..]) } else { to_rgb(lines, &mut into[start..]) }
            }
            _ => unreachable!("headers have one component or three"),
        }
    }
}

/// Pixels that are put together in one step.
const RUN: usize = 64;

/// Three lines of samples as pixels.
fn interleave(lines: [&[u8]; 3], into: &mut [u8]) {
    let [first, second, third] = lines;
    for (pixel, ((first, second), third)) in into.chunks_exact_mut(3).zip(first.iter().zip(second).zip(third)) {
        pixel.copy_from_slice(&[*first, *second, *third]);
    }
}

/// Brightness and two differences as red, green and blue.
fn to_rgb(lines: [&[u8]; 3], into: &mut [u8]) {
    let mut rgb = [[0; RUN]; 3];
    let mut runs = lines.map(|line| line.chunks_exact(RUN));
    let rests = runs.each_ref().map(|runs| {
        let mut run = [0; RUN];
        run[..runs.remainder().len()].copy_from_slice(runs.remainder());
        run
    });
    let mut pixels = into.chunks_exact_mut(3 * RUN);
    let [y, cb, cr] = &mut runs;
    for (((y, cb), cr), pixels) in y.zip(cb).zip(cr).zip(&mut pixels) {
        colors([y, cb, cr].map(|run| run.try_into().expect("as long as a run")), &mut rgb);
        interleave(rgb.each_ref().map(|channel| &channel[..]), pixels);
    }
    colors(rests.each_ref(), &mut rgb);
    interleave(rgb.each_ref().map(|channel| &channel[..]), pixels.into_remainder());
}

/// JFIF's colours (ITU-R BT.601, the whole range).
#[inline(always)]
fn colors([y, cb, cr]: [&[u8; RUN]; 3], [red, green, blue]: &mut [[u8; RUN]; 3]) {
    for at in 0..RUN {
        let (y, cb, cr) = (f32::from(y[at]), f32::from(cb[at]) - 128.0, f32::from(cr[at]) - 128.0);
        red[at] = rounded(y + 1.402 * cr);
        green[at] = rounded(y - 0.344_136 * cb - 0.714_136 * cr);
        blue[at] = rounded(y + 1.772 * cb);
    }
}

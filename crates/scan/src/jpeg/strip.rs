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
                // Rounded; the conversion cuts off.
                *sample = (value + 128.5) as u8;
            }
        }
    }

    fn line(&self, line: usize) -> &[u8] {
        let first = line / self.down * self.stride;
        &self.samples[first..first + self.stride]
    }
}

/// Appends the first `count` lines.
pub(super) fn pixels(headers: &Headers, planes: &[Plane], count: u32, into: &mut Vec<u8>) {
    let width = headers.width as usize;
    for line in 0..count as usize {
        match planes {
            [gray] => into.extend_from_slice(&gray.line(line)[..width]),
            [first, second, third] => {
                let lines = [first.line(line), second.line(line), third.line(line)];
                let start = into.len();
                into.resize(start + 3 * width, 0);
                let steps = [first.across, second.across, third.across];
                for (x, pixel) in into[start..].chunks_exact_mut(3).enumerate() {
                    let sample = |channel: usize| {
                        // A division for every sample would cost more than all the rest.
                        match steps[channel] {
                            1 => lines[channel][x],
                            2 => lines[channel][x >> 1],
                            step => lines[channel][x / step],
                        }
                    };
                    let samples = [sample(0), sample(1), sample(2)];
                    pixel.copy_from_slice(&if headers.is_rgb { samples } else { rgb(samples) });
                }
            }
            _ => unreachable!("headers have one component or three"),
        }
    }
}

/// JFIF's colours (ITU-R BT.601, the whole range), in 65536ths.
#[inline]
fn rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let y = (i32::from(y) << 16) + 32_768;
    let (cb, cr) = (i32::from(cb) - 128, i32::from(cr) - 128);
    let sample = |value: i32| (value >> 16).clamp(0, 255) as u8;
    [sample(y + 91_881 * cr), sample(y - 22_554 * cb - 46_802 * cr), sample(y + 116_130 * cb)]
}

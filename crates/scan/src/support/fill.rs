//! Sheets that are shorter than their area, filled up with white where somebody wants every page of one size.

use super::options::{one_of, while_one_of};
use crate::options::names;
use crate::{Flow, OptionDescriptor, Options, PageFormat, PageSink, SinkError};

const YES: &str = "yes";
const NO: &str = "no";
/// Bytes of white that are handed on at once, or a line of them.
const PIECE: usize = 64 * 1024;

/// The option `fill-page`, for pages from these sources.
pub(crate) fn option(feeders: &[&str]) -> OptionDescriptor {
    let description =
        "Fills a sheet that ends before the area up with white. Otherwise the page ends where the sheet does.";
    OptionDescriptor {
        active_when: Some(while_one_of(names::SOURCE, feeders)),
        ..OptionDescriptor::new(names::FILL_PAGE, "Fill page", description, one_of(&[NO, YES]), NO.into())
    }
}

/// The page as it leaves with these options: one of unknown height has that of its area where it is filled up.
pub(crate) fn page_format(options: &Options, page: PageFormat, area_height: u32) -> PageFormat {
    let is_filled = options.text(names::FILL_PAGE) == Some(YES);
    PageFormat { height: page.height.or(is_filled.then_some(area_height)), ..page }
}

/// Scans a page that comes as `came` into a sink that is to get it as `page`, which differs only in its height.
pub(crate) fn fill_up<R>(
    sink: &mut dyn PageSink,
    came: PageFormat,
    page: PageFormat,
    scan: impl FnOnce(&mut dyn PageSink) -> R,
) -> R {
    if page == came { scan(sink) } else { scan(&mut FilledPage::new(sink, page)) }
}

/// Takes a page of unknown height for a sink that wants one of a known one.
struct FilledPage<'a> {
    sink: &'a mut dyn PageSink,
    page: PageFormat,
    lines: u32,
}

impl FilledPage<'_> {
    /// `page` has a height.
    fn new(sink: &mut dyn PageSink, page: PageFormat) -> FilledPage<'_> {
        FilledPage { sink, page, lines: 0 }
    }

    fn lines_left(&self) -> u32 {
        self.page.height.unwrap_or(0).saturating_sub(self.lines)
    }
}

impl PageSink for FilledPage<'_> {
    fn begin(&mut self, _format: &PageFormat) -> Result<(), SinkError> {
        self.sink.begin(&self.page)
    }

    fn lines(&mut self, lines: &[u8]) -> Result<Flow, SinkError> {
        let line_bytes = self.page.bytes_per_line().max(1);
        let lines = &lines[..lines.len().min((self.lines_left() as usize).saturating_mul(line_bytes))];
        self.lines += (lines.len() / line_bytes) as u32;
        if lines.is_empty() { Ok(Flow::Continue) } else { self.sink.lines(lines) }
    }

    fn end(&mut self) -> Result<(), SinkError> {
        let line_bytes = self.page.bytes_per_line().max(1);
        let white = vec![0xff; line_bytes * (PIECE / line_bytes).max(1)];
        while self.lines_left() > 0 {
            let lines = self.lines_left().min((white.len() / line_bytes) as u32);
            self.lines += lines;
            if self.sink.lines(&white[..lines as usize * line_bytes])? == Flow::Stop {
                return Ok(());
            }
        }
        self.sink.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dpi, Pixels};

    #[derive(Default)]
    struct Taken(Option<PageFormat>, Vec<u8>, bool);

    impl PageSink for Taken {
        fn begin(&mut self, format: &PageFormat) -> Result<(), SinkError> {
            self.0 = Some(*format);
            Ok(())
        }

        fn lines(&mut self, lines: &[u8]) -> Result<Flow, SinkError> {
            self.1.extend(lines);
            Ok(Flow::Continue)
        }

        fn end(&mut self) -> Result<(), SinkError> {
            self.2 = true;
            Ok(())
        }
    }

    #[test]
    fn a_short_page_ends_in_white_and_a_long_one_at_its_height() {
        let page = PageFormat { width: 3, height: Some(50_000), pixels: Pixels::Gray8, dpi: (Dpi(75), Dpi(75)) };
        for came in [1, 49_999, 50_000, 50_001] {
            let mut taken = Taken::default();
            let mut filled = FilledPage::new(&mut taken, page);
            filled.begin(&PageFormat { height: None, ..page }).expect("it begins");
            assert_eq!(filled.lines(&vec![7; 3 * came]).expect("it is taken"), Flow::Continue);
            filled.end().expect("it ends");
            assert_eq!((taken.0, taken.1.len(), taken.2), (Some(page), 150_000, true));
            let white = taken.1.iter().filter(|byte| **byte == 0xff).count();
            assert_eq!(white, 150_000 - 3 * came.min(50_000));
        }
    }
}

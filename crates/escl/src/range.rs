//! A range of numbers, as brightness and the like have it.

use roxmltree::Node;

use crate::xml::{child, signed};

/// From where to where a number may be, in the device's own scale: devices have −127 to 127, 0 to 255, 0 to 2000 and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub min: i32,
    /// The most.
    pub max: i32,
    /// What it is when nothing is said. HP's ink printers leave it out; then it is in the middle.
    pub normal: i32,
    /// From one to the next, at least 1.
    pub step: i32,
}

impl Range {
    /// Of the child of this name. `None` without one, or when there is nothing to choose.
    pub(crate) fn read(node: Node<'_, '_>, name: &'static str) -> Option<Range> {
        let node = child(node, name)?;
        let (min, max) = (signed(node, "Min")?, signed(node, "Max")?);
        if min >= max {
            return None;
        }
        let step = signed(node, "Step").unwrap_or(1).clamp(1, max - min);
        let middle = min + (max - min) / 2 / step * step;
        let normal = signed(node, "Normal").filter(|normal| (min..=max).contains(normal)).unwrap_or(middle);
        Some(Range { min, max, normal, step })
    }

    /// Whether it is one of the numbers.
    pub fn has(&self, value: i32) -> bool {
        (self.min..=self.max).contains(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Option<Range> {
        let document = format!("<a><B>{text}</B></a>");
        let document = roxmltree::Document::parse(&document).expect("XML");
        Range::read(document.root_element(), "B")
    }

    #[test]
    fn a_range_may_leave_out_its_normal_and_its_step() {
        let whole = range("<Min>0</Min><Max>2000</Max><Normal>800</Normal><Step>5</Step>");
        assert_eq!(whole, Some(Range { min: 0, max: 2000, normal: 800, step: 5 }));
        let short = range("<Min>-127</Min><Max>127</Max>");
        assert_eq!(short, Some(Range { min: -127, max: 127, normal: 0, step: 1 }));
        assert_eq!(range("<Min>0</Min><Max>9</Max><Normal>10</Normal>").map(|range| range.normal), Some(4));
    }

    #[test]
    fn nothing_to_choose_is_no_range() {
        for text in
            ["", "<Min>0</Min>", "<Min>5</Min><Max>5</Max>", "<Min>5</Min><Max>1</Max>", "<Min>a</Min><Max>1</Max>"]
        {
            assert_eq!(range(text), None, "{text}");
        }
        assert_eq!(range("<Min>-1e300</Min><Max>1</Max>"), None);
    }
}

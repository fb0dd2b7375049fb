//! The argument of `--area`: a paper size, or `X,Y,W,H` in millimetres. Whether it fits on the glass is checked later,
//! against the scanner's options.

use std::str::FromStr;

/// The requested area.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AreaArgument {
    /// Everything that the source can scan.
    Max,
    /// A part of it.
    Part(Part),
}

/// In millimetres from the upper left corner of the glass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
    /// The paper size, if one was named: then the glass may be a little smaller.
    pub paper: Option<&'static str>,
}

/// Paper sizes in millimetres, portrait. B4 and B5 are those of JIS P 0138, as on scanners and in Windows; those of ISO 216
/// are a little smaller.
const PAPERS: &[(&str, f64, f64)] = &[
    ("A3", 297.0, 420.0),
    ("A4", 210.0, 297.0),
    ("A5", 148.0, 210.0),
    ("A6", 105.0, 148.0),
    ("B4", 257.0, 364.0),
    ("B5", 182.0, 257.0),
    ("letter", 215.9, 279.4),
    ("legal", 215.9, 355.6),
    ("tabloid", 279.4, 431.8),
    ("executive", 184.15, 266.7),
];

impl FromStr for AreaArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<AreaArgument, String> {
        let word = text.trim();
        if word.eq_ignore_ascii_case("max") {
            return Ok(AreaArgument::Max);
        }
        if let Some(&(name, width, height)) = PAPERS.iter().find(|paper| paper.0.eq_ignore_ascii_case(word)) {
            return Ok(AreaArgument::Part(Part { left: 0.0, top: 0.0, width, height, paper: Some(name) }));
        }
        let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
        let Some([left, top, width, height]) = numbers.as_deref() else {
            return Err(format!("expected {}, max, or left,top,width,height in mm", names().join(", ")));
        };
        if [left, top, width, height].iter().any(|number| !number.is_finite()) {
            return Err("expected finite numbers".to_owned());
        }
        if *left < 0.0 || *top < 0.0 {
            return Err("left and top can't be negative".to_owned());
        }
        if *width <= 0.0 || *height <= 0.0 {
            return Err("width and height must be more than 0".to_owned());
        }
        Ok(AreaArgument::Part(Part { left: *left, top: *top, width: *width, height: *height, paper: None }))
    }
}

fn names() -> Vec<&'static str> {
    PAPERS.iter().map(|paper| paper.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Part {
        match text.parse() {
            Ok(AreaArgument::Part(part)) => part,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn every_paper_size_and_max_are_known_in_any_case() {
        for (text, name, size) in [
            ("a3", "A3", (297.0, 420.0)),
            ("A4", "A4", (210.0, 297.0)),
            ("a5", "A5", (148.0, 210.0)),
            ("a6", "A6", (105.0, 148.0)),
            ("b4", "B4", (257.0, 364.0)),
            ("b5", "B5", (182.0, 257.0)),
            ("Letter", "letter", (215.9, 279.4)),
            ("LEGAL", "legal", (215.9, 355.6)),
            ("tabloid", "tabloid", (279.4, 431.8)),
            ("executive", "executive", (184.15, 266.7)),
        ] {
            let paper = part(text);
            assert_eq!((paper.paper, (paper.width, paper.height)), (Some(name), size), "{text}");
        }
        assert_eq!("Max".parse(), Ok(AreaArgument::Max));
    }

    #[test]
    fn four_numbers_are_an_area() {
        let area = part("10, 20,30.5,40");
        assert_eq!((area.left, area.top, area.width, area.height, area.paper), (10.0, 20.0, 30.5, 40.0, None));
    }

    #[test]
    fn invalid_areas_are_refused() {
        for text in ["", "A9", "1,2,3", "1,2,3,4,5", "1,2,x,4", "-1,0,10,10", "0,0,0,10", "0,0,nan,10", "0,0,inf,10"] {
            assert!(text.parse::<AreaArgument>().is_err(), "{text}");
        }
    }
}

//! The argument of `--area`: a paper size, or `X,Y,W,H` in millimetres. Whether it fits on the glass is checked later,
//! against the scanner's options.

use std::str::FromStr;

/// The requested area, in millimetres from the upper left corner of the glass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AreaArgument {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
    /// The paper size, if one was named: then the glass may be a little smaller.
    pub paper: Option<&'static str>,
}

/// Paper sizes in millimetres, portrait.
const PAPERS: &[(&str, f64, f64)] =
    &[("A4", 210.0, 297.0), ("A5", 148.0, 210.0), ("A6", 105.0, 148.0), ("letter", 215.9, 279.4)];

impl FromStr for AreaArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<AreaArgument, String> {
        if let Some(&(name, width, height)) = PAPERS.iter().find(|paper| paper.0.eq_ignore_ascii_case(text.trim())) {
            return Ok(AreaArgument { left: 0.0, top: 0.0, width, height, paper: Some(name) });
        }
        let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
        let Some([left, top, width, height]) = numbers.as_deref() else {
            return Err(format!("expected {}, or left,top,width,height in mm", names().join(", ")));
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
        Ok(AreaArgument { left: *left, top: *top, width: *width, height: *height, paper: None })
    }
}

fn names() -> Vec<&'static str> {
    PAPERS.iter().map(|paper| paper.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paper_sizes_are_case_insensitive() {
        let a4: AreaArgument = "a4".parse().expect("a paper");
        assert_eq!((a4.width, a4.height, a4.paper), (210.0, 297.0, Some("A4")));
    }

    #[test]
    fn four_numbers_are_an_area() {
        let area: AreaArgument = "10, 20,30.5,40".parse().expect("an area");
        assert_eq!((area.left, area.top, area.width, area.height), (10.0, 20.0, 30.5, 40.0));
    }

    #[test]
    fn invalid_areas_are_refused() {
        for text in ["", "A9", "1,2,3", "1,2,3,4,5", "1,2,x,4", "-1,0,10,10", "0,0,0,10", "0,0,nan,10", "0,0,inf,10"] {
            assert!(text.parse::<AreaArgument>().is_err(), "{text}");
        }
    }
}

//! A curve as SVG: the number of things on a logarithmic axis, the cost of each from zero up.

use std::fmt::Write as _;

/// The cost of one unit as there are more of them.
#[derive(Debug)]
pub struct Curve {
    pub title: String,
    /// What x counts.
    pub of: &'static str,
    /// The unit of y.
    pub unit: &'static str,
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

/// The plot, as an SVG document.
pub fn draw(curve: &Curve) -> String {
    let most = curve.points.iter().fold(0.0, |most: f64, point| most.max(point.1)).max(1e-9) * 1.15;
    let logs: Vec<f64> = curve.points.iter().map(|point| point.0.max(1.0).ln()).collect();
    let (first, last) = (logs.first().copied().unwrap_or(0.0), logs.last().copied().unwrap_or(1.0));
    let x = |log: f64| LEFT + (log - first) / (last - first).max(1e-9) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / most * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"22\" \
         font-size=\"15\">{}</text>\n",
        curve.title
    );
    for step in 0..=4 {
        let value = most * f64::from(step) / 4.0;
        let at = y(value);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.3}\
             </text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0
        );
    }
    let mut path = String::new();
    for (point, log) in curve.points.iter().zip(&logs) {
        let (px, py) = (x(*log), y(point.1));
        let _ = write!(path, "{}{px:.1} {py:.1}", if path.is_empty() { "M" } else { "L" });
        let _ = writeln!(
            svg,
            "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3\" fill=\"#06c\"/><text x=\"{px:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\">{}</text>",
            HEIGHT - BOTTOM + 18.0,
            point.0
        );
    }
    let _ = write!(
        svg,
        "<path d=\"{path}\" fill=\"none\" stroke=\"#06c\" stroke-width=\"1.5\"/>\n<text x=\"{}\" y=\"{}\" \
         text-anchor=\"middle\">{}</text>\n<text x=\"14\" y=\"{}\" transform=\"rotate(-90 14 {})\" \
         text-anchor=\"middle\">{}</text>\n</svg>\n",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0,
        curve.of,
        HEIGHT / 2.0,
        HEIGHT / 2.0,
        curve.unit
    );
    svg
}

//! Figures: what was measured, printed as a table for people and written as JSON for programs.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::Outcome;
use crate::plot::{Curve, draw};

/// What a ratio should be.
#[derive(Debug, Clone, Copy)]
pub enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    fn is_met(self, ratio: f64) -> bool {
        match self {
            Aim::AtLeast(least) => ratio >= least,
            Aim::AtMost(most) => ratio <= most,
        }
    }

    fn text(self) -> String {
        match self {
            Aim::AtLeast(least) => format!(">= {least}"),
            Aim::AtMost(most) => format!("<= {most}"),
        }
    }
}

/// One candidate's values, a value a round.
#[derive(Debug, Clone)]
pub struct Series {
    pub what: String,
    pub values: Vec<f64>,
}

impl Series {
    pub fn new(what: impl Into<String>) -> Series {
        Series { what: what.into(), values: Vec::new() }
    }
}

/// Everything so far. Lines are printed as they come.
#[derive(Debug, Default)]
pub struct Report {
    part: String,
    rows: Vec<Value>,
    plots: Vec<(String, String)>,
    /// Tables that are ready as they are, with their titles.
    grids: Vec<(String, String)>,
}

impl Report {
    pub fn new() -> Report {
        Report::default()
    }

    pub fn begin(&mut self, part: &str) {
        self.part = part.to_owned();
        println!("\n{part}");
    }

    /// Median and spread of one series.
    pub fn series(&mut self, series: &Series, unit: &str) {
        let spread = Spread::of(&series.values);
        println!(
            "  {:<72} {:>9} {unit}  ({} to {})",
            series.what,
            short(spread.median),
            short(spread.least),
            short(spread.most)
        );
        self.rows.push(json!({
            "part": self.part, "what": series.what, "unit": unit, "rounds": series.values.len(),
            "median": spread.median, "least": spread.least, "most": spread.most,
        }));
    }

    /// A series that has a limit of its own: its median, the most that it came to, and whether that is within.
    pub fn limit(&mut self, series: &Series, unit: &str, aim: Aim) -> f64 {
        let spread = Spread::of(&series.values);
        let met = aim.is_met(spread.most);
        let verdict = if met { "met" } else { "MISSED" };
        println!(
            "  {:<72} {:>9} {unit}  ({} to {})  aim {}: {verdict}",
            series.what,
            short(spread.median),
            short(spread.least),
            short(spread.most),
            aim.text()
        );
        self.rows.push(json!({
            "part": self.part, "what": series.what, "unit": unit, "rounds": series.values.len(),
            "median": spread.median, "least": spread.least, "most": spread.most, "aim": aim.text(), "met": met,
        }));
        spread.median
    }

    /// A Markdown table that has been made elsewhere.
    pub fn grid(&mut self, title: &str, table: String) {
        self.grids.push((format!("{}: {title}", self.part), table));
    }

    /// The ratio of two series, round by round, and whether it is as it should be.
    pub fn ratio(&mut self, ours: &Series, peer: &Series, aim: Option<Aim>) {
        let ratios: Vec<f64> = ours.values.iter().zip(&peer.values).map(|(ours, peer)| ours / peer).collect();
        let spread = Spread::of(&ratios);
        let met = aim.map(|aim| aim.is_met(spread.median));
        let verdict = match (aim, met) {
            (Some(aim), Some(true)) => format!("  aim {}: met", aim.text()),
            (Some(aim), _) => format!("  aim {}: MISSED", aim.text()),
            (None, _) => String::new(),
        };
        println!(
            "  {:<72} {:>9.2} times ({:.2} to {:.2}){verdict}",
            format!("  ratio to: {}", peer.what),
            spread.median,
            spread.least,
            spread.most
        );
        self.rows.push(json!({
            "part": self.part, "what": ours.what, "ratio-to": peer.what, "rounds": ratios.len(),
            "median": spread.median, "least": spread.least, "most": spread.most,
            "aim": aim.map(Aim::text), "met": met,
        }));
    }

    /// A value that has no spread.
    pub fn value(&mut self, what: &str, value: f64, unit: &str) {
        println!("  {what:<72} {:>9} {unit}", short(value));
        self.rows.push(json!({ "part": self.part, "what": what, "unit": unit, "median": value }));
    }

    /// A curve: the cost of one unit as there are more of them. Drawn when the report is written.
    pub fn curve(&mut self, name: &str, curve: &Curve) {
        println!("  {}", curve.title);
        for (x, y) in &curve.points {
            println!("    {:<70} {:>9} {}", format!("{x} {}", curve.of), short(*y), curve.unit);
        }
        self.rows.push(json!({
            "part": self.part, "what": curve.title, "unit": curve.unit, "of": curve.of, "points": curve.points,
        }));
        self.plots.push((name.to_owned(), draw(curve)));
    }

    /// Writes `figures.json` and the plots.
    pub fn write(&self, folder: &Path) -> Outcome<()> {
        let path = folder.join("figures.json");
        fs::write(&path, serde_json::to_vec_pretty(&self.rows)?)?;
        for (name, svg) in &self.plots {
            fs::write(folder.join(format!("{name}.svg")), svg)?;
        }
        let mut tables = tables(&self.rows);
        for (title, grid) in &self.grids {
            let _ = write!(tables, "### {title}\n\n{grid}\n");
        }
        fs::write(folder.join("figures.md"), &tables)?;
        println!("\n{tables}");
        println!("{} figures in {}, tables and {} plots beside it", self.rows.len(), path.display(), self.plots.len());
        Ok(())
    }
}

/// All figures as Markdown, a table a part: what docs/performance.md shows.
fn tables(rows: &[Value]) -> String {
    let mut text = String::new();
    for part in rows.chunk_by(|one, next| one["part"] == next["part"]) {
        let _ = write!(
            text,
            "### {}\n\n| what | median | least to most | aim |\n| --- | --- | --- | --- |\n",
            word(&part[0]["part"])
        );
        for row in part {
            match row["points"].as_array() {
                Some(points) => points.iter().for_each(|point| {
                    let (count, cost) = (point[0].as_f64().unwrap_or_default(), point[1].as_f64().unwrap_or_default());
                    let (what, of, unit) = (word(&row["what"]), word(&row["of"]), word(&row["unit"]));
                    let _ = writeln!(text, "| {what}: {count} {of} | {} {unit} | | |", short(cost));
                }),
                None => text.push_str(&line(row)),
            }
        }
        text.push('\n');
    }
    text
}

/// A series, a ratio or a single value.
fn line(row: &Value) -> String {
    let number = |name: &str| row[name].as_f64();
    let median = number("median").unwrap_or_default();
    let spread = match (number("least"), number("most")) {
        (Some(least), Some(most)) => format!("{} to {}", short(least), short(most)),
        _ => String::new(),
    };
    let (what, value) = match row["ratio-to"].as_str() {
        Some(peer) => (format!("{} : {peer}", word(&row["what"])), format!("{median:.2} times")),
        None => (word(&row["what"]).to_owned(), format!("{} {}", short(median), word(&row["unit"]))),
    };
    let aim = match (row["aim"].as_str(), row["met"].as_bool()) {
        (Some(aim), Some(true)) => format!("{aim}: met"),
        (Some(aim), _) => format!("{aim}: **missed**"),
        (None, _) => String::new(),
    };
    format!("| {what} | {value} | {spread} | {aim} |\n")
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Spread {
        let at = |share| percentile(values, share);
        Spread { least: at(0.0), median: at(0.5), most: at(1.0) }
    }
}

/// The value below which this share of all lie.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// Three digits, as far as that is enough.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

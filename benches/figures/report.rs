//! Figures: what was measured, printed as it comes, and at the end as the Markdown tables of docs/performance.md.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use crate::Outcome;

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

    /// The aim, and whether it is met.
    fn verdict(self, value: f64) -> String {
        let aim = match self {
            Aim::AtLeast(least) => format!(">= {least}"),
            Aim::AtMost(most) => format!("<= {most}"),
        };
        format!("{aim}: {}", if self.is_met(value) { "met" } else { "**missed**" })
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

/// The cost of one unit as there are more of them.
#[derive(Debug)]
pub struct Curve {
    pub title: String,
    /// What is counted.
    pub of: &'static str,
    /// The unit of a cost.
    pub unit: &'static str,
    /// How many, and the cost of each.
    pub points: Vec<(f64, f64)>,
}

/// Everything so far. Lines are printed as they come.
#[derive(Debug, Default)]
pub struct Report {
    part: String,
    /// A Markdown table for each part, with the rows that it has by now; and tables that were made elsewhere.
    tables: String,
}

impl Report {
    pub fn new() -> Report {
        Report::default()
    }

    pub fn begin(&mut self, part: &str) {
        self.part = part.to_owned();
        println!("\n{part}");
        let _ =
            write!(self.tables, "\n### {part}\n\n| what | median | least to most | aim |\n| --- | --- | --- | --- |\n");
    }

    fn row(&mut self, what: &str, value: &str, spread: &str, aim: &str) {
        let _ = writeln!(self.tables, "| {what} | {value} | {spread} | {aim} |");
    }

    /// Median and spread of one series.
    pub fn series(&mut self, series: &Series, unit: &str) {
        let spread = Spread::of(&series.values);
        let median = short(spread.median);
        println!("  {:<72} {median:>9} {unit}  ({spread})", series.what);
        self.row(&series.what, &format!("{median} {unit}"), &spread.to_string(), "");
    }

    /// A series that has a limit of its own: its median, the most that it came to, and whether that is within.
    pub fn limit(&mut self, series: &Series, unit: &str, aim: Aim) -> f64 {
        let spread = Spread::of(&series.values);
        let (median, verdict) = (short(spread.median), aim.verdict(spread.most));
        println!("  {:<72} {median:>9} {unit}  ({spread})  aim {verdict}", series.what);
        self.row(&series.what, &format!("{median} {unit}"), &spread.to_string(), &verdict);
        spread.median
    }

    /// A Markdown table that has been made elsewhere.
    pub fn grid(&mut self, title: &str, table: String) {
        let _ = write!(self.tables, "\n### {}: {title}\n\n{table}\n", self.part);
    }

    /// The ratio of two series, round by round, and whether it is as it should be.
    pub fn ratio(&mut self, ours: &Series, peer: &Series, aim: Option<Aim>) {
        let ratios: Vec<f64> = ours.values.iter().zip(&peer.values).map(|(ours, peer)| ours / peer).collect();
        let spread = Spread::of(&ratios);
        let verdict = aim.map(|aim| aim.verdict(spread.median)).unwrap_or_default();
        let aimed = if verdict.is_empty() { String::new() } else { format!("  aim {verdict}") };
        let to = format!("  ratio to: {}", peer.what);
        println!("  {to:<72} {:>9.2} times ({spread}){aimed}", spread.median);
        let what = format!("{} : {}", ours.what, peer.what);
        self.row(&what, &format!("{:.2} times", spread.median), &spread.to_string(), &verdict);
    }

    /// A value that has no spread.
    pub fn value(&mut self, what: &str, value: f64, unit: &str) {
        println!("  {what:<72} {:>9} {unit}", short(value));
        self.row(what, &format!("{} {unit}", short(value)), "", "");
    }

    /// A curve: the cost of one unit as there are more of them.
    pub fn curve(&mut self, curve: &Curve) {
        println!("  {}", curve.title);
        for (count, cost) in &curve.points {
            println!("    {:<70} {:>9} {}", format!("{count} {}", curve.of), short(*cost), curve.unit);
            let what = format!("{}: {count} {}", curve.title, curve.of);
            self.row(&what, &format!("{} {}", short(*cost), curve.unit), "", "");
        }
    }

    /// Writes the tables, `figures.md`.
    pub fn write(&self, folder: &Path) -> Outcome<()> {
        let path = folder.join("figures.md");
        fs::write(&path, &self.tables)?;
        println!("\n{}\nThe tables are in {}", self.tables, path.display());
        Ok(())
    }
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

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", short(self.least), short(self.most))
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

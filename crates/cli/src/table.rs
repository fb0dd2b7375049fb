//! Text tables: columns are as wide as their widest cell and two spaces apart.

use std::io::{self, Write};

#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<const N: usize>(heading: [&str; N]) -> Table {
        Table { rows: vec![heading.map(str::to_owned).to_vec()] }
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| printable(&cell)).to_vec());
    }

    /// Whether there are no rows below the heading.
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    pub fn write(&self, out: &mut dyn Write, indent: &str) -> io::Result<()> {
        let columns = self.rows[0].len();
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            writeln!(out, "{indent}{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Replaces control characters, so that a device's strings can't send escape sequences to the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(table: &Table) -> String {
        let mut out = Vec::new();
        table.write(&mut out, " ").expect("memory takes it");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn columns_fit_their_widest_cell_and_lines_have_no_trailing_space() {
        let mut table = Table::new(["NAME", "ID"]);
        table.row(["usbscan0".into(), "04b8:0151".into()]);
        table.row(["é".into(), String::new()]);
        assert_eq!(text(&table), " NAME      ID\n usbscan0  04b8:0151\n é\n");
    }

    #[test]
    fn a_device_cannot_send_escape_sequences_to_the_terminal() {
        let mut table = Table::new(["NAME"]);
        table.row(["\x1b[2J\nx".into()]);
        assert_eq!(text(&table), " NAME\n \u{fffd}[2J\u{fffd}x\n");
    }
}

//! Columns for people: as wide as their widest cell, two spaces between, the last one free.

use std::io::{self, Write};

/// Rows under a heading.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these headings.
    pub fn new<const N: usize>(heading: [&str; N]) -> Table {
        Table { rows: vec![heading.map(str::to_owned).to_vec()] }
    }

    /// Adds a row, as long as the heading.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| printable(&cell)).to_vec());
    }

    /// Whether only the heading is there.
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// Writes it, each line after `indent`.
    ///
    /// # Errors
    /// Those of the writer.
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

/// What a device calls itself may hold anything; a terminal must not obey it.
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
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_in_no_space() {
        let mut table = Table::new(["NAME", "ID"]);
        table.row(["usbscan0".into(), "04b8:0151".into()]);
        table.row(["é".into(), String::new()]);
        assert_eq!(text(&table), " NAME      ID\n usbscan0  04b8:0151\n é\n");
    }

    #[test]
    fn a_device_can_not_talk_to_the_terminal() {
        let mut table = Table::new(["NAME"]);
        table.row(["\x1b[2J\nx".into()]);
        assert_eq!(text(&table), " NAME\n \u{fffd}[2J\u{fffd}x\n");
    }
}

//! Text in aligned columns.

use std::io::{self, Write};

use crate::model::text::printable;

/// A table of text.
pub struct Grid<'a> {
    /// What stands above each column.
    pub head: &'a [&'a str],
    /// The columns whose cells line up at their right end.
    pub right: &'a [usize],
}

/// A cell in colour: its column, and the SGR code.
pub type Paint = (usize, &'static str);

impl Grid<'_> {
    /// Writes the head and a line for each row, columns aligned. What is in a
    /// cell steers no terminal.
    ///
    /// # Errors
    ///
    /// What cannot be written.
    pub fn write(
        &self,
        rows: &[Vec<String>],
        paint: impl Fn(usize) -> Option<Paint>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let row = |cells: &Vec<String>| -> Vec<String> {
            cells.iter().map(|cell| printable(cell).into_owned()).collect()
        };
        let rows: Vec<_> = rows.iter().map(row).collect();
        let mut widths: Vec<usize> = self.head.iter().map(|cell| cell.chars().count()).collect();
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let head: Vec<String> = self.head.iter().map(|cell| (*cell).to_owned()).collect();
        self.line(&head, &widths, None, out)?;
        for (index, row) in rows.iter().enumerate() {
            self.line(row, &widths, paint(index), out)?;
        }
        Ok(())
    }

    fn line(
        &self,
        cells: &[String],
        widths: &[usize],
        paint: Option<Paint>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut text = String::new();
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let gap = " ".repeat(width - cell.chars().count());
            let cell = match paint {
                Some((painted, code)) if painted == column => {
                    format!("\u{1b}[{code}m{cell}\u{1b}[0m")
                }
                _ => cell.clone(),
            };
            if column > 0 {
                text.push_str("  ");
            }
            if self.right.contains(&column) {
                text.push_str(&gap);
                text.push_str(&cell);
            } else {
                text.push_str(&cell);
                text.push_str(&gap);
            }
        }
        writeln!(out, "{}", text.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_steers_a_terminal() {
        let rows = [["\u{1b}[31mred", "a\nb"], ["plain", "x"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        let mut out = Vec::new();
        let grid = Grid { head: &["NAME", "WHY"], right: &[] };
        grid.write(&rows, |index| (index == 1).then_some((0, "32")), &mut out).unwrap();
        let expected = "NAME           WHY\n\
                        \\u{1b}[31mred  a\\nb\n\
                        \u{1b}[32mplain\u{1b}[0m          x\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

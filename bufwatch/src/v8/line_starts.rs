//! Where the lines of a source begin, and the line and column of a position in it. Positions and columns are in UTF-16 units, as V8
//! counts them; what ends a line is ECMA-262's `LineTerminator` (V8 `String::CalculateLineEnds`).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::v8::string::Units;

/// Of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineStarts {
    /// First position of each line but the first.
    starts: Vec<u32>,
    n_units: u32,
}

impl LineStarts {
    pub fn of(source: &Units) -> Self {
        let n_units = u32::try_from(source.len()).unwrap_or(u32::MAX);
        let starts = match source {
            Units::OneByte(units) => collect(units.iter().copied().map(u16::from)),
            Units::TwoByte(units) => collect(units.iter().copied()),
        };
        Self { starts, n_units }
    }

    /// 0-based line and column; `None` behind the end.
    pub fn place(&self, position: u32) -> Option<(u32, u32)> {
        if position > self.n_units {
            return None;
        }
        let line = self.starts.partition_point(|start| *start <= position);
        let start = match line.checked_sub(1) {
            Some(before) => *self.starts.get(before)?,
            None => 0,
        };
        Some((u32::try_from(line).ok()?, position.checked_sub(start)?))
    }
}

fn collect(units: impl Iterator<Item = u16>) -> Vec<u32> {
    let mut starts = Vec::new();
    let mut units = units.peekable();
    let mut position = 0_u32;
    while let Some(unit) = units.next() {
        position = position.saturating_add(1);
        let ends_line = match unit {
            0x0a | 0x2028 | 0x2029 => true,
            // Together with a line feed it ends one line.
            0x0d => units.peek() != Some(&0x0a),
            _ => false,
        };
        if ends_line {
            starts.push(position);
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_terminator_ends_a_line_once() {
        let text: Vec<u16> = "a\nb\r\nc\rd\u{2028}e\u{2029}f".encode_utf16().collect();
        let lines = LineStarts::of(&Units::TwoByte(text.clone()));
        let place = |c: char| {
            let at = text.iter().position(|unit| *unit == c as u16).unwrap();
            lines.place(at as u32)
        };
        for (line, c) in "abcdef".chars().enumerate() {
            assert_eq!(place(c), Some((line as u32, 0)), "{c}");
        }
        assert_eq!(lines.place(text.len() as u32), Some((5, 1)));
        assert_eq!(lines.place(text.len() as u32 + 1), None);
    }
}

//! A curve over the whole session in block characters, from zero upwards.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::base::{Nanos, Series};

/// One value per column, the time from zero to `elapsed` spread over them. A column shows the largest value
/// of its time: a peak must not vanish because it was short.
pub fn resample(series: &Series, elapsed: Nanos, n_columns: usize) -> Vec<u64> {
    let values = series.values();
    if values.is_empty() || n_columns == 0 {
        return Vec::new();
    }
    let step = series.step_ns() as f64;
    let ns_per_column = (elapsed.0.max(1) as f64) / n_columns as f64;
    (0..n_columns)
        .map(|column| {
            let first = (column as f64 * ns_per_column / step) as usize;
            let end = ((column + 1) as f64 * ns_per_column / step).ceil() as usize;
            // The newest sample stands until the next one.
            let first = first.min(values.len() - 1);
            let end = end.clamp(first + 1, values.len());
            values.get(first..end).and_then(|part| part.iter().max()).copied().unwrap_or(0)
        })
        .collect()
}

/// Fills `area` from its left edge; the largest value reaches its top.
pub fn draw(buf: &mut Buffer, area: Rect, columns: &[u64], style: Style) {
    const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
    let largest = columns.iter().max().copied().unwrap_or(0);
    if largest == 0 {
        return;
    }
    let n_eighths_max = f64::from(area.height) * 8.0;
    for (x, value) in (area.left()..area.right()).zip(columns) {
        let exact = *value as f64 / largest as f64 * n_eighths_max;
        let mut n_eighths = (exact.round() as usize).max(usize::from(*value > 0));
        for y in (area.top()..area.bottom()).rev() {
            let here = n_eighths.min(8);
            n_eighths -= here;
            if let (Some(cell), Some(symbol)) = (buf.cell_mut((x, y)), EIGHTHS.get(here)) {
                cell.set_symbol(symbol).set_style(style);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_peak_is_kept() {
        let mut series = Series::new(10, 100);
        for i in 0..100 {
            series.push(i * 10, if i == 42 { 9 } else { 1 });
        }
        let columns = resample(&series, Nanos(1_000), 10);
        assert_eq!(columns, [1, 1, 1, 1, 9, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn few_samples_are_spread() {
        let mut series = Series::new(10, 100);
        series.push(0, 1);
        series.push(10, 2);
        assert_eq!(resample(&series, Nanos(20), 4), [1, 1, 2, 2]);
        assert!(resample(&Series::new(10, 4), Nanos(20), 4).is_empty());
    }
}

//! A curve over the whole session in block characters, from zero upwards.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::base::{Nanos, Series};

/// One value per column, the time from zero to `elapsed` spread over them. A column shows the largest value
/// of its time: a peak must not vanish because it was short.
pub fn resample(series: &Series, elapsed: Nanos, n_columns: usize) -> Vec<u64> {
    series.resample(elapsed.0, n_columns)
}

/// Fills `area` from its left edge; the largest value reaches its top, or almost.
pub fn draw(buf: &mut Buffer, area: Rect, columns: &[u64], style: Style) {
    const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
    let largest = columns.iter().max().copied().unwrap_or(0);
    if largest == 0 {
        return;
    }
    // Curves stand on top of each other: a gap below the next one, where there is room for it.
    let headroom = if area.height > 1 { 3.0 } else { 0.0 };
    let n_eighths_max = f64::from(area.height) * 8.0 - headroom;
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

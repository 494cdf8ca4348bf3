//! The timeline of a report as lines of block characters: curves, collections and censuses over the same columns.

use crate::analysis::describe::{growth_noise, growth_per_min, growth_text};
use crate::analysis::post_mortem::PostMortem;
use crate::base::text::{UNKNOWN, count, known, pad, pad_left};
use crate::base::{Bytes, Nanos, Series};
use crate::event::GcKind;

/// Columns of a label, and of the value beside it.
const LABEL: usize = 14;
const VALUE: usize = 10;

const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// `n_columns` in all.
pub(super) fn lines(told: &PostMortem, n_columns: usize) -> Vec<String> {
    let snapshot = &told.snapshot;
    let n_curve = n_columns.saturating_sub(LABEL + VALUE + 3 + 18).max(20);
    let elapsed = snapshot.elapsed;
    let mut lines = vec![format!("  {}  {}", " ".repeat(LABEL + VALUE), axis(elapsed, n_curve))];
    let history = &snapshot.history;
    let curves: [(&str, &Series, Option<Bytes>); 4] = [
        ("RSS", &history.rss, snapshot.memory.rss),
        ("arrayBuffers", &history.array_buffers, snapshot.memory.array_buffers),
        ("live stores", &history.live_bytes, Some(snapshot.stores.live_bytes)),
        ("V8 heap", &history.v8_heap, snapshot.memory.v8_heap),
    ];
    for (label, series, last) in curves {
        let growth = growth_per_min(series).zip(last);
        let growth = growth.map(|(growth, last)| growth_text(growth, growth_noise(last)));
        let values = series.resample(elapsed.0, n_curve);
        let drawn = sparkline(&values, n_curve);
        lines.push(row(label, &known(last), &drawn, &growth.unwrap_or_default()));
    }
    let rate = history.created_bytes_per_s.resample(elapsed.0, n_curve);
    let most = Bytes(rate.iter().max().copied().unwrap_or(0));
    lines.push(row("allocated", &format!("{most}/s"), &sparkline(&rate, n_curve), "at most"));
    lines.push(gc_row(told, n_curve));
    if !told.censuses.is_empty() {
        let marks = told.censuses.iter().map(|census| (census.at, '▲'));
        let n = count(told.censuses.len() as u64);
        lines.push(row("censuses", &n, &marked(marks, elapsed, n_curve), ""));
    }
    lines
}

fn gc_row(told: &PostMortem, n_curve: usize) -> String {
    let mark = |kind| if kind == GcKind::Major { '┃' } else { '│' };
    // A major one hides the minor ones of its column.
    let of = |kind| told.gcs.iter().filter(move |gc| gc.kind == kind);
    let all = of(GcKind::Minor).chain(of(GcKind::Major)).map(|gc| (gc.at, mark(gc.kind)));
    let Some(gc) = told.snapshot.gc else { return row("GC", UNKNOWN, "", "not seen") };
    let n = format!("{}+{}", count(gc.n_minor), count(gc.n_major));
    let is_cut = (told.gcs.len() as u64) < told.n_gcs;
    let note = if is_cut { "the last ones" } else { "minor │ major ┃" };
    row("GC", &n, &marked(all, told.snapshot.elapsed, n_curve), note)
}

fn row(label: &str, value: &str, drawn: &str, note: &str) -> String {
    format!(
        "  {}{}  {} {note}",
        pad(label, LABEL),
        pad_left(value, VALUE),
        pad(drawn, drawn.chars().count())
    )
}

/// `0 s ─────── 3m41s`.
fn axis(elapsed: Nanos, n_columns: usize) -> String {
    let end = elapsed.to_string();
    let n = n_columns.saturating_sub(5 + end.chars().count());
    format!("0 s {} {end}", "─".repeat(n))
}

/// From zero up; a value that is not zero is seen.
fn sparkline(values: &[u64], n_columns: usize) -> String {
    let largest = values.iter().max().copied().unwrap_or(0);
    let of = |value: u64| {
        let eighths = (value as f64 / largest.max(1) as f64 * 8.0).round() as usize;
        EIGHTHS.get(eighths.max(usize::from(value > 0)).min(8)).copied().unwrap_or(' ')
    };
    let drawn: String = values.iter().map(|value| of(*value)).collect();
    pad(&drawn, n_columns)
}

/// Marks where something happened; later ones win.
fn marked(marks: impl Iterator<Item = (Nanos, char)>, elapsed: Nanos, n_columns: usize) -> String {
    let mut line = vec![' '; n_columns];
    for (at, mark) in marks {
        let share = at.0 as f64 / elapsed.0.max(1) as f64;
        let column = ((share * n_columns as f64) as usize).min(n_columns.saturating_sub(1));
        if let Some(cell) = line.get_mut(column) {
            *cell = mark;
        }
    }
    line.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_shows_its_shape_and_what_is_little() {
        assert_eq!(sparkline(&[0, 1, 500, 1_000], 6), " ▁▄█  ");
        assert_eq!(sparkline(&[], 3), "   ");
        assert_eq!(sparkline(&[0, 0], 2), "  ");
    }

    #[test]
    fn marks_stand_where_their_time_is() {
        let marks = [(Nanos(0), 'a'), (Nanos(50), 'b'), (Nanos(100), 'c'), (Nanos(900), 'd')];
        assert_eq!(marked(marks.into_iter(), Nanos(100), 4), "a bd");
        assert_eq!(marked([(Nanos(1), 'a')].into_iter(), Nanos(0), 0), "");
    }
}

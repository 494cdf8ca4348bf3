//! Where the parts of the memory screen go.

use ratatui::layout::Rect;

use crate::tui::layout::{ListAreas, list};

/// From here on the counters of all isolates stand beside those of the main thread.
const WIDTH_ALL_ISOLATES: u16 = 112;

/// Columns of `process.memoryUsage()`, without and with all isolates.
const USAGE_WIDTH: u16 = 31;
const USAGE_WIDTH_ALL: u16 = 44;

/// The memory screen. Areas without room are empty.
pub struct MemoryAreas {
    /// A rule and RSS by what it is for.
    pub parts: Rect,
    /// A rule and what `process.memoryUsage()` says.
    pub usage: Rect,
    /// A rule and the last minute.
    pub history: Rect,
    /// Steps of RSS, or memory of dead stores.
    pub list: ListAreas,
}

pub fn memory(body: Rect) -> MemoryAreas {
    let (n_parts, n_history) = match body.height {
        0..18 => (8, 0),
        18..26 => (10, 4),
        26..48 => (12, 6),
        _ => (20, 10),
    };
    let parts_height = n_parts.min(body.height);
    let history_height = n_history.min(body.height - parts_height);
    let usage_width = if body.width < WIDTH_ALL_ISOLATES { USAGE_WIDTH } else { USAGE_WIDTH_ALL };
    let usage_width = usage_width.min(body.width);
    let left = body.width - usage_width;
    let used = parts_height + history_height;
    let rest = Rect::new(body.x, body.y + used, body.width, body.height - used);
    MemoryAreas {
        parts: Rect::new(body.x, body.y, left, parts_height),
        usage: Rect::new(body.x + left, body.y, usage_width, parts_height),
        history: Rect::new(body.x, body.y + parts_height, body.width, history_height),
        list: list(rest, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_cover_any_body_without_overlap() {
        for w in 0..210 {
            for h in 0..70 {
                let body = Rect::new(0, 1, w, h);
                let m = memory(body);
                assert_eq!(m.parts.width + m.usage.width, w);
                let list = m.list.titles.height + m.list.rows.height;
                assert_eq!(m.parts.height + m.history.height + list, h);
                for area in [m.parts, m.usage, m.history, m.list.rows, m.list.preview] {
                    assert!(area.is_empty() || body.union(area) == body, "{w}×{h}");
                }
            }
        }
    }
}

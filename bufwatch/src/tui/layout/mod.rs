//! Where everything goes for a terminal size, and what is left out when it is small. Pure; drawing and
//! mouse input must agree on it.

mod columns;
mod memory;
mod tabs;

use ratatui::layout::{Position, Rect};

pub use columns::{Align, Column, Placed, place_columns};
pub use memory::{MemoryAreas, memory};
pub use tabs::{Tab, tabs};

use crate::tui::app::Screen;

/// Below this a table says less than a few sentences do.
const WIDTH_MIN: u16 = 60;
const HEIGHT_MIN: u16 = 16;

/// From here on the parts of the memory stand beside the curves instead of below.
const WIDTH_SIDE_BY_SIDE: u16 = 120;

/// From here on the selected row is shown in full beside its list.
const WIDTH_PREVIEW: u16 = 150;

/// Rows of the section that says what the memory consists of, rule included.
const HOLDS_HEIGHT: u16 = 6;

/// Rows of the overview's findings on the smallest terminal, rule included.
const FINDINGS_HEIGHT_MIN: u16 = 3;

/// Curves of the overview: RSS, arrayBuffers, live stores, V8 heap, allocated and freed per second.
pub const N_CURVES: u16 = 6;

pub struct Areas {
    pub header: Rect,
    pub body: Rect,
    pub footer: Rect,
}

/// Sentences instead of tables.
pub fn is_compact(size: (u16, u16)) -> bool {
    size.0 < WIDTH_MIN || size.1 < HEIGHT_MIN
}

pub fn areas(size: (u16, u16)) -> Areas {
    let (w, h) = size;
    let header = Rect::new(0, 0, w, h.min(1));
    let footer = Rect::new(0, h.saturating_sub(1), w, u16::from(h > 1));
    Areas { header, body: Rect::new(0, header.height, w, h.saturating_sub(2)), footer }
}

/// The overview. Areas without room are empty.
pub struct OverviewAreas {
    pub memory: Rect,
    /// Rows of one curve.
    pub curve_height: u16,
    pub holds: Rect,
    /// A rule and the most important findings.
    pub findings: Rect,
    pub sites: ListAreas,
}

pub fn overview(body: Rect) -> OverviewAreas {
    let curve_height = match body.height {
        0..30 => 1,
        30..48 => 2,
        _ => 3,
    };
    // A rule, the curves, and the row of GC marks.
    let memory_height = (N_CURVES * curve_height + 2).min(body.height);
    let below = body.height - memory_height;
    // What is wrong comes before what else there is.
    let findings_height = match body.height {
        _ if below < FINDINGS_HEIGHT_MIN + 3 => 0,
        0..30 => FINDINGS_HEIGHT_MIN,
        30..48 => FINDINGS_HEIGHT_MIN + 1,
        _ => FINDINGS_HEIGHT_MIN + 3,
    };
    let below = below - findings_height;
    let (memory, holds, used) = if body.width >= WIDTH_SIDE_BY_SIDE {
        let left = body.width * 3 / 5;
        let memory = Rect::new(body.x, body.y, left, memory_height);
        let holds = Rect::new(body.x + left + 1, body.y, body.width - left - 1, memory_height);
        (memory, holds, memory_height)
    } else {
        let memory = Rect::new(body.x, body.y, body.width, memory_height);
        // Four rows of sites say more than the parts.
        let height = if below >= HOLDS_HEIGHT + 4 { HOLDS_HEIGHT } else { 0 };
        let holds = Rect::new(body.x, body.y + memory_height, body.width, height);
        (memory, holds, memory_height + height)
    };
    let findings = Rect::new(body.x, body.y + used, body.width, findings_height);
    let used = used + findings_height;
    let rest = Rect::new(body.x, body.y + used, body.width, body.height - used);
    OverviewAreas { memory, curve_height, holds, findings, sites: list(rest, 0) }
}

/// A list with what belongs to it.
pub struct ListAreas {
    /// Lines above the titles.
    pub top: Rect,
    /// The rule with the column titles.
    pub titles: Rect,
    pub rows: Rect,
    /// The selected row in full; empty if there is no room.
    pub preview: Rect,
}

fn list(area: Rect, n_top: u16) -> ListAreas {
    let n_top = n_top.min(area.height);
    let top = Rect::new(area.x, area.y, area.width, n_top);
    let rest = Rect::new(area.x, area.y + n_top, area.width, area.height - n_top);
    let has_preview = rest.width >= WIDTH_PREVIEW && rest.height >= 10;
    let left = if has_preview { rest.width * 13 / 20 } else { rest.width };
    let titles = Rect::new(rest.x, rest.y, left, rest.height.min(1));
    let rows = Rect::new(rest.x, rest.y + titles.height, left, rest.height - titles.height);
    let preview_width = (rest.width - left).saturating_sub(1);
    let preview = if has_preview {
        Rect::new(rest.x + left + 1, rest.y, preview_width, rest.height)
    } else {
        Rect::default()
    };
    ListAreas { top, titles, rows, preview }
}

pub fn sites(body: Rect) -> ListAreas {
    list(body, 0)
}

/// The line on top says what tree it is, and is the search's.
pub fn tree(body: Rect) -> ListAreas {
    list(body, 1)
}

/// The line on top is the filter's.
pub fn stores(body: Rect) -> ListAreas {
    list(body, 1)
}

/// The lines on top say what it cost and found; the third is the filter's.
pub fn census(body: Rect) -> ListAreas {
    list(body, 3)
}

/// The line on top says when was looked.
pub fn findings(body: Rect) -> ListAreas {
    list(body, 1)
}

/// True if there is room for a preview beside the list of the census.
pub fn has_preview(size: (u16, u16)) -> bool {
    !is_compact(size) && !census(areas(size).body).preview.is_empty()
}

fn list_areas(size: (u16, u16), screen: Screen) -> Option<ListAreas> {
    let body = areas(size).body;
    match screen {
        // Calls are worth reading on any terminal.
        Screen::Tree => Some(tree(body)),
        _ if is_compact(size) => None,
        Screen::Overview => Some(overview(body).sites),
        Screen::Sites => Some(sites(body)),
        Screen::Stores => Some(stores(body)),
        Screen::Census => Some(census(body)),
        Screen::Memory => Some(memory(body).list),
        Screen::Findings => Some(findings(body)),
        Screen::Health => None,
    }
}

/// Rows of the screen's list that are on screen at once; of a page, its lines.
pub fn n_visible(size: (u16, u16), screen: Screen) -> usize {
    list_areas(size, screen).map_or(0, |areas| usize::from(areas.rows.height))
}

pub fn n_page_lines(size: (u16, u16)) -> usize {
    usize::from(areas(size).body.height)
}

/// Columns of a page.
pub fn page_width(size: (u16, u16)) -> usize {
    usize::from(size.0)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    Tab(Screen),
    /// Row of the list, counted from the first on screen.
    Row(usize),
    /// The findings of the overview.
    Findings,
}

/// What is under the mouse. `has_page`: a page covers the body.
pub fn hit(size: (u16, u16), screen: Screen, has_page: bool, column: u16, row: u16) -> Option<Hit> {
    if row == areas(size).footer.y {
        return tabs(size.0)
            .into_iter()
            .find(|tab| (tab.x..tab.x + tab.width).contains(&column))
            .map(|tab| Hit::Tab(tab.screen));
    }
    if has_page {
        return None;
    }
    let rows = list_areas(size, screen)?.rows;
    let is_in = |area: Rect| area.contains(Position::new(column, row));
    if screen == Screen::Overview && is_in(overview(areas(size).body).findings) {
        return Some(Hit::Findings);
    }
    is_in(rows).then(|| Hit::Row(usize::from(row - rows.top())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_cover_any_terminal_without_overlap() {
        for w in 0..210 {
            for h in 0..70 {
                let areas = areas((w, h));
                assert_eq!(areas.header.height + areas.body.height + areas.footer.height, h);
                let o = overview(areas.body);
                for area in
                    [o.memory, o.holds, o.findings, o.sites.titles, o.sites.rows, o.sites.preview]
                {
                    assert!(area.is_empty() || areas.body.union(area) == areas.body, "{w}×{h}");
                }
                let used = if o.holds.x == 0 { o.holds.height } else { 0 } + o.memory.height;
                let used = used + o.findings.height;
                assert_eq!(used + o.sites.titles.height + o.sites.rows.height, areas.body.height);
                let s = stores(areas.body);
                assert_eq!(s.top.height + s.titles.height + s.rows.height, areas.body.height);
            }
        }
    }

    #[test]
    fn the_smallest_usual_terminal_has_all_four_parts() {
        let o = overview(areas((80, 24)).body);
        let heights = [o.memory, o.holds, o.findings, o.sites.rows].map(|area| area.height);
        assert_eq!(heights, [8, 6, 3, 4]);
        let o = overview(areas((WIDTH_MIN, HEIGHT_MIN)).body);
        let heights = [o.memory, o.holds, o.findings, o.sites.rows].map(|area| area.height);
        assert_eq!(heights, [8, 0, 3, 2]);
    }

    #[test]
    fn the_mouse_finds_tabs_and_rows() {
        assert_eq!(hit((40, 10), Screen::Tree, false, 5, 5), Some(Hit::Row(2)));
        let size = (80, 24);
        assert_eq!(hit(size, Screen::Overview, false, 15, 23), Some(Hit::Tab(Screen::Sites)));
        assert_eq!(hit(size, Screen::Overview, false, 15, 16), Some(Hit::Findings));
        assert_eq!(hit(size, Screen::Stores, false, 5, 3), Some(Hit::Row(0)));
        assert_eq!(hit(size, Screen::Stores, true, 5, 3), None);
        assert_eq!(hit(size, Screen::Stores, false, 5, 2), None);
        assert_eq!(hit((40, 10), Screen::Stores, false, 5, 5), None);
    }
}

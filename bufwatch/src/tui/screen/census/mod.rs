//! "Which views keep which memory, and who holds them?": the lists of the last census, below what it cost and found. Pages have files of
//! their own.

pub mod bytes;
pub mod holder;
pub mod holders;
pub mod intro;
pub mod parent;
pub mod parents;
pub mod summary;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::analysis::snapshot::Snapshot;
use crate::base::text::count;
use crate::tui::app::App;
use crate::tui::census::{CensusView, Listing};
use crate::tui::layout;
use crate::tui::screen::filter_line::FilterLine;
use crate::tui::text::{Line, Role, span};
use crate::tui::theme::Theme;
use crate::tui::widget::page;

pub fn draw(buf: &mut Buffer, area: Rect, app: &App, snapshot: &Snapshot, theme: Theme) {
    let areas = layout::census(area);
    let Some(rows) = app.census.rows(&snapshot.census) else { return };
    let room = usize::from(area.width);
    let lines = summary::lines(rows, snapshot, room);
    for (y, line) in (areas.top.top()..areas.top.bottom()).zip(&lines) {
        page::draw_line(buf, areas.top.x, y, areas.top.right(), line, theme);
    }
    let filter = FilterLine {
        filter: &app.census.filter,
        input: app.filter_input.as_ref(),
        all: match app.census.listing {
            Listing::Holders => "all holders",
            Listing::Parents => "all parents",
        },
    };
    let last = Rect::new(
        areas.top.x,
        areas.top.bottom().saturating_sub(1),
        areas.top.width,
        areas.top.height.min(1),
    );
    filter.draw(buf, last, &listing_text(&app.census), theme);
    match app.census.listing {
        Listing::Holders => holders::draw(buf, &areas, app, rows, theme),
        Listing::Parents => parents::draw(buf, &areas, app, rows, theme),
    }
    filter.draw_error(buf, last, area.bottom(), theme);
    if !areas.preview.is_empty() {
        let n_columns = usize::from(areas.preview.width);
        let lines = match app.census.listing {
            Listing::Holders => {
                app.census.selected_holder().map(|key| holder::page(key, app, snapshot, n_columns))
            }
            Listing::Parents => app
                .census
                .selected_parent()
                .map(|address| parent::page(address, app, snapshot, n_columns)),
        };
        page::draw(buf, areas.preview, &lines.unwrap_or_default(), 0, theme);
    }
}

/// `v holders | parents   1,021, by size`: what is listed, how many, and in which order.
fn listing_text(view: &CensusView) -> Line {
    let sort = match view.listing {
        Listing::Holders => view.holder_order.sort.name(),
        Listing::Parents => view.parent_order.sort.name(),
    };
    let role = |listing| if view.listing == listing { Role::Title } else { Role::Muted };
    let mark = |listing, name: &str| {
        if view.listing == listing { format!("[{name}]") } else { format!(" {name} ") }
    };
    vec![
        span(Role::Key, "v "),
        span(role(Listing::Holders), mark(Listing::Holders, "holders")),
        span(role(Listing::Parents), mark(Listing::Parents, "parents")),
        span(Role::Muted, format!("  {}, by {sort}", count(view.n_rows() as u64))),
    ]
}

//! One file per screen. `draw` puts the frame around them: header, body, footer. Nothing here changes state.

pub mod census;
pub mod compact;
pub mod filter_line;
pub mod finding;
pub mod findings;
pub mod footer;
pub mod header;
pub mod health;
pub mod help;
pub mod holds;
pub mod memory;
pub mod overview;
pub mod pages;
pub mod picker;
pub mod site;
pub mod sites;
pub mod stack;
pub mod step;
pub mod store;
pub mod stores;
pub mod time_bar;
pub mod tree;

use ratatui::Frame;
use ratatui::layout::Rect;

use crate::analysis::snapshot::Snapshot;
use crate::tui::app::{App, Screen};
use crate::tui::layout;
use crate::tui::replay::bar_rows;
use crate::tui::theme::Theme;
use crate::tui::view;
use crate::tui::widget::page;

/// Draws all of it. `latest` is the newest snapshot; while paused, the frozen one of `app` is shown.
pub fn draw(app: &App, latest: &Snapshot, theme: &Theme, frame: &mut Frame<'_>) {
    let theme = *theme;
    let area = frame.area();
    // The terminal may have been resized since the last message; drawing follows the buffer.
    let n_bar_rows = app.replay.as_ref().map_or(0, |_| bar_rows(area.height));
    let size = (area.width, area.height - n_bar_rows);
    let areas = layout::areas(size);
    let snapshot = app.shown(latest);
    let buf = frame.buffer_mut();
    header::draw(buf, areas.header, app, latest, theme);
    if let Some(lines) = view::page(app, latest, layout::page_width(size)) {
        page::draw(buf, areas.body, &lines, app.page_offset, theme);
    } else if app.screen == Screen::Tree {
        tree::draw(buf, areas.body, app, snapshot, theme);
    } else if layout::is_compact(size) {
        compact::draw(buf, areas.body, snapshot, theme);
    } else {
        match app.screen {
            Screen::Overview => overview::draw(buf, areas.body, app, snapshot, theme),
            Screen::Sites => sites::draw(buf, areas.body, app, snapshot, theme),
            Screen::Stores => stores::draw(buf, areas.body, app, snapshot, theme),
            Screen::Census => census::draw(buf, areas.body, app, snapshot, theme),
            Screen::Findings => findings::draw(buf, areas.body, app, snapshot, theme),
            Screen::Memory => memory::draw(buf, areas.body, app, snapshot, theme),
            Screen::Tree | Screen::Health => {}
        }
    }
    footer::draw(buf, areas.footer, app, theme);
    if let Some(replay) = &app.replay {
        let bar = Rect::new(0, size.1, area.width, n_bar_rows);
        time_bar::draw(buf, bar, replay, theme);
    }
}

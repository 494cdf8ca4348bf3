//! A stack in full: every frame on a line, with its whole place. Part of the pages of sites and stores.

use crate::analysis::describe::frame_text;
use crate::analysis::snapshot::AsyncStack;
use crate::base::text::{pad, pad_left, width, wrap};
use crate::event::{Frame, FrameKind};
use crate::tui::text::{Page, Role, heading, span};

/// `is_marked` says which frames have an arrow; what is not resolved looks so and says so.
pub fn lines(
    frames: &[Frame],
    is_cut: bool,
    is_marked: impl Fn(usize) -> bool,
    n_columns: usize,
) -> Page {
    let mut page = vec![heading("Stack, innermost first", n_columns)];
    if frames.is_empty() {
        page.push(vec![span(Role::Unknown, "  no stack was captured")]);
    }
    page.extend(frame_lines(frames, is_marked, n_columns));
    if is_cut {
        page.push(vec![span(Role::Unknown, "  … the frames further out were cut off")]);
    }
    page
}

/// The stacks that began what the one above ran for, each under a line that says so.
pub fn async_lines(async_stack: &AsyncStack, n_columns: usize) -> Page {
    let mut page = Page::new();
    let last = async_stack.stacks.len().saturating_sub(1);
    for (n, frames) in async_stack.stacks.iter().enumerate() {
        page.push(vec![span(Role::Key, "── created by ──")]);
        let marked = [Some(async_stack.user_frame), async_stack.app_frame];
        page.extend(frame_lines(frames, |at| n == last && marked.contains(&Some(at)), n_columns));
    }
    page
}

fn frame_lines(frames: &[Frame], is_marked: impl Fn(usize) -> bool, n_columns: usize) -> Page {
    let mut page = Page::new();
    for (n, frame) in frames.iter().enumerate() {
        let role = match frame.kind {
            _ if !frame.is_resolved => Role::Unknown,
            FrameKind::Js => Role::Title,
            FrameKind::Node => Role::Neutral,
            FrameKind::Builtin | FrameKind::Native => Role::Muted,
        };
        let mark = if is_marked(n) { "→" } else { " " };
        let number = format!("{} {} ", pad_left(&n.to_string(), 3), pad(frame.kind.name(), 8));
        let room = n_columns.saturating_sub(width(&number) + 1).max(20);
        for (n, text) in wrap(&frame_text(frame), room).into_iter().enumerate() {
            let (mark, number) =
                if n == 0 { (mark, number.clone()) } else { ("", " ".repeat(width(&number) + 1)) };
            page.push(vec![span(Role::Key, mark), span(Role::Muted, number), span(role, text)]);
        }
    }
    page
}

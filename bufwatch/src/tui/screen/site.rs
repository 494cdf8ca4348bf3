//! One site in full: the line of the application, what it holds, how long its stores live, and the stacks
//! through it. Builds a page; the frame draws it.

use crate::analysis::describe::lifetime_bucket_end;
use crate::analysis::snapshot::{GroupRow, N_GC_BUCKETS, SiteRow, Snapshot, TallyRow};
use crate::base::text::{count, fit, known, pad_left, percent, rate};
use crate::base::{Bytes, StackId, sanitize};
use crate::event::place::{full_frame, full_place, short_frame};
use crate::event::{Frame, FrameKind};
use crate::tui::screen::stack;
use crate::tui::text::{Line, Page, Role, bar, fact, heading, lifetimes, span, survival};
use crate::tui::view;

/// Stacks listed at once; the list scrolls with the selected one.
const N_STACKS_LISTED: usize = 8;

/// `selected`: the stack shown in full; `None` for the heaviest.
pub fn page(
    row: &GroupRow,
    selected: Option<StackId>,
    snapshot: &Snapshot,
    n_columns: usize,
) -> Page {
    let mut page = vec![heading(&sanitize(&row.text()), n_columns)];
    page.extend(places(row, n_columns));
    page.extend(facts(row, snapshot, n_columns));
    page.push(Line::new());
    let stacks = view::stacks_of(row.id, snapshot);
    let at = selected.and_then(|id| stacks.iter().position(|site| site.stack == id)).unwrap_or(0);
    if row.n_sites > 1 {
        page.extend(stack_list(row, &stacks, at, n_columns));
        page.push(Line::new());
    }
    let heaviest = &row.heaviest;
    let (frames, is_cut, user_frame, app_frame) = match stacks.get(at) {
        Some(site) => (&site.frames, site.is_cut, site.user_frame, site.app_frame),
        None => (&heaviest.frames, heaviest.is_cut, heaviest.user_frame, heaviest.app_frame),
    };
    let async_stack = stacks.get(at).map_or(&heaviest.async_stack, |site| &site.async_stack);
    let is_marked = |n| [user_frame, app_frame].contains(&Some(n));
    page.extend(stack::lines(frames, is_cut, is_marked, n_columns));
    page.extend(async_stack.iter().flat_map(|it| stack::async_lines(it, n_columns)));
    page.push(Line::new());
    page.extend(histograms(&row.tally, n_columns));
    page
}

/// The whole path of the line, and who of the application called it, if a package has it.
fn places(row: &GroupRow, n_columns: usize) -> Page {
    let heaviest = &row.heaviest;
    let frame = |at: Option<usize>| at.and_then(|at| heaviest.frames.get(at));
    let mut page = Page::new();
    if heaviest.user_frame.is_none()
        && let Some(async_stack) = &heaviest.async_stack
        && let Some(place) = async_stack.user_frame().and_then(full_place)
    {
        page.extend(fact("begun at", &place, Role::Title, n_columns));
        let caller = async_stack.app_frame.filter(|at| *at != async_stack.user_frame);
        let caller = caller.and_then(|at| async_stack.stacks.last()?.get(at));
        if let Some(caller) = caller {
            page.extend(fact("begun by", &full_frame(caller), Role::Title, n_columns));
        }
    }
    if let Some(place) = frame(heaviest.user_frame).and_then(full_place) {
        page.extend(fact("at", &place, Role::Title, n_columns));
    }
    if heaviest.app_frame != heaviest.user_frame
        && let Some(caller) = frame(heaviest.app_frame)
    {
        let label = if row.n_sites > 1 { "called mostly by" } else { "called by" };
        page.extend(fact(label, &full_frame(caller), Role::Title, n_columns));
    }
    page
}

fn facts(row: &GroupRow, snapshot: &Snapshot, n_columns: usize) -> Page {
    let mut page = Page::new();
    let tally = &row.tally;
    let all = snapshot.stores.live_bytes.0;
    let share = match all {
        0 => String::new(),
        _ => format!(", {} of all tracked", percent(tally.live_bytes.0 as f64 / all as f64)),
    };
    let mut say = |label: &str, value: String, role| {
        page.extend(fact(label, &value, role, n_columns));
    };
    let live = format!("{} in {} stores{share}", tally.live_bytes, count(tally.n_live));
    say("live", live, Role::Title);
    let in_ram = tally.resident.map(|bytes| {
        let share = bytes.0 as f64 / tally.live_bytes.0.max(1) as f64;
        format!("{bytes}, {}", percent(share.min(1.0)))
    });
    say("of it in RAM", known(in_ram), Role::Neutral);
    if let Some(freed) = snapshot.freed.iter().find(|freed| freed.group == row.id) {
        let text = format!("{}, kept after its stores were freed", freed.resident);
        say("more in RAM", text, Role::Accused);
    }
    say("peak", tally.peak_bytes.to_string(), Role::Neutral);
    let allocated = format!("{} in {} stores", tally.created_bytes, count(tally.n_created));
    say("allocated", allocated, Role::Neutral);
    let per_second = Bytes(tally.created_bytes_per_s);
    let rates = format!("{per_second}/s, {} stores/s", rate(tally.n_created_per_s));
    say("rate", rates, Role::Neutral);
    say("survive 2 majors", survival(tally), Role::Neutral);
    say("lifetime p50 / p99", lifetimes(tally), Role::Neutral);
    page
}

/// The stacks with their share, by what called the line; `at` is the one shown below.
fn stack_list(row: &GroupRow, stacks: &[&SiteRow], at: usize, n_columns: usize) -> Page {
    let title = format!("{} stacks through it   n N another one", count(row.n_sites as u64));
    let mut page = vec![heading(&title, n_columns)];
    let (is_by_live, whole) = match row.tally.live_bytes.0 {
        0 => (false, row.tally.created_bytes.0),
        live => (true, live),
    };
    let first = at.saturating_sub(N_STACKS_LISTED - 1);
    for (n, site) in stacks.iter().enumerate().skip(first).take(N_STACKS_LISTED) {
        let tally = &site.tally;
        let bytes = if is_by_live { tally.live_bytes } else { tally.created_bytes };
        let share = percent(bytes.0 as f64 / whole.max(1) as f64);
        let is_selected = n == at;
        let role = if is_selected { Role::Title } else { Role::Neutral };
        let numbers = format!(
            "{}{}{}  ",
            pad_left(&share, 7),
            pad_left(&bytes.to_string(), 10),
            pad_left(&format!("in {}", count(tally.n_live)), 9)
        );
        let room = n_columns.saturating_sub(2 + 7 + 10 + 9 + 2);
        page.push(vec![
            span(Role::Key, if is_selected { "▸ " } else { "  " }),
            span(role, numbers),
            span(role, fit(&callers(site), room)),
        ]);
    }
    let n_below = row.n_sites.saturating_sub(stacks.len().min(first + N_STACKS_LISTED));
    if n_below > 0 || first > 0 {
        let text = format!("  {} before, {} more", count(first as u64), count(n_below as u64));
        page.push(vec![span(Role::Muted, text)]);
    }
    page
}

/// What called the user frame, the next first; Node's own frames only where there is nothing else.
fn callers(site: &SiteRow) -> String {
    let from = site.user_frame.map_or(0, |at| at + 1);
    let outer = site.frames.get(from..).unwrap_or_default();
    let of = |kind: FrameKind| outer.iter().filter(move |frame| frame.kind == kind);
    let names = |frames: &mut dyn Iterator<Item = &Frame>| -> String {
        let mut names: Vec<String> = frames.map(short_frame).collect();
        // A function that calls itself.
        names.dedup();
        names.iter().map(|name| format!("← {name}")).collect::<Vec<_>>().join(" ")
    };
    let js = names(&mut of(FrameKind::Js));
    let text = if js.is_empty() { names(&mut of(FrameKind::Node)) } else { js };
    if text.is_empty() { "(nothing of JavaScript around it)".to_owned() } else { text }
}

pub fn missing_page(n_columns: usize) -> Page {
    vec![
        heading("Site", n_columns),
        vec![span(Role::Unknown, "  this site is not among those with most live bytes any more")],
    ]
}

/// Lifetimes of the freed stores in time and in major GCs; rows without any at the ends are left out.
fn histograms(tally: &TallyRow, n_columns: usize) -> Page {
    let n_freed: u64 = tally.lifetimes.iter().sum();
    if n_freed == 0 {
        return vec![
            heading("Lifetime of freed stores", n_columns),
            vec![span(Role::Unknown, "  none was freed yet")],
        ];
    }
    let mut page =
        vec![heading(&format!("Lifetime of {} freed stores", count(n_freed)), n_columns)];
    let label = |n: usize| match lifetime_bucket_end(n) {
        Some(end) => format!("≤ {end}"),
        None => "longer".to_owned(),
    };
    page.extend(bars(&tally.lifetimes, label, n_columns));
    page.push(Line::new());
    page.push(heading("Major GCs that they survived", n_columns));
    let label = |n: usize| {
        if n + 1 < N_GC_BUCKETS { format!("{n}") } else { format!("{n} or more") }
    };
    page.extend(bars(&tally.majors_survived, label, n_columns));
    page
}

fn bars(counts: &[u64], label: impl Fn(usize) -> String, n_columns: usize) -> Page {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let largest = counts.iter().max().copied().unwrap_or(0).max(1) as f64;
    let first = counts.iter().position(|n| *n > 0).unwrap_or(0);
    let last = counts.iter().rposition(|n| *n > 0).unwrap_or(0);
    let room = n_columns.saturating_sub(35).min(60);
    counts
        .iter()
        .enumerate()
        .skip(first)
        .take(last + 1 - first)
        .map(|(n, value)| {
            let share = *value as f64;
            vec![
                span(Role::Muted, pad_left(&label(n), 14)),
                span(Role::Neutral, pad_left(&count(*value), 11)),
                span(Role::Muted, pad_left(&percent(share / total), 7)),
                span(Role::Stores, format!("  {}", bar(share / largest, room))),
            ]
        })
        .collect()
}

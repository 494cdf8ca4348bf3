//! What the user has chosen to look at. Holds no facts of the target except a frozen snapshot while paused;
//! changes only in `update`.

use std::sync::Arc;

use crate::analysis::query::{StoreFilter, StoreQuery};
use crate::analysis::snapshot::GroupId;
use crate::analysis::snapshot::Snapshot;
use crate::base::{Avma, Nanos, StackId, StoreKey};
use crate::tui::census::CensusView;
use crate::tui::census::rows::HolderKey;
use crate::tui::findings::FindingKey;
use crate::tui::keymap::{Context, Mode};
use crate::tui::memory::{MemoryView, StepKey};
use crate::tui::replay::{self, ReplayView};
use crate::tui::tree::TreeView;
use crate::tui::view::SiteSort;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Screen {
    #[default]
    Overview,
    Sites,
    Tree,
    Stores,
    Census,
    Findings,
    Memory,
    Health,
}

impl Screen {
    pub const ALL: [Self; 8] = [
        Self::Overview,
        Self::Sites,
        Self::Tree,
        Self::Stores,
        Self::Census,
        Self::Findings,
        Self::Memory,
        Self::Health,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Sites => "Sites",
            Self::Tree => "Tree",
            Self::Stores => "Stores",
            Self::Census => "Census",
            Self::Findings => "Findings",
            Self::Memory => "Memory",
            Self::Health => "Health",
        }
    }
}

/// Selection in a list whose rows come and go: once moved, it stays with its row, not with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<K> {
    pub selected: usize,
    /// First row on screen.
    pub offset: usize,
    /// The row to follow; `None` follows the top of the list.
    pub key: Option<K>,
}

impl<K> Default for List<K> {
    fn default() -> Self {
        Self { selected: 0, offset: 0, key: None }
    }
}

impl<K: Copy + PartialEq> List<K> {
    /// Selects row `index`, clamped, and scrolls it into the `n_visible` rows on screen.
    pub fn select(&mut self, index: usize, keys: &[K], n_visible: usize) {
        self.selected = index.min(keys.len().saturating_sub(1));
        self.key = if self.selected == 0 { None } else { keys.get(self.selected).copied() };
        self.scroll_into_view(keys.len(), n_visible);
    }

    pub fn move_by(&mut self, delta: isize, keys: &[K], n_visible: usize) {
        self.select(self.selected.saturating_add_signed(delta), keys, n_visible);
    }

    /// After the rows changed: follows its row if it is still there, otherwise keeps its place.
    pub fn settle(&mut self, keys: &[K], n_visible: usize) {
        let found = self.key.and_then(|key| keys.iter().position(|k| *k == key));
        let wanted = if self.key.is_some() { self.selected } else { 0 };
        self.selected = found.unwrap_or(wanted).min(keys.len().saturating_sub(1));
        self.scroll_into_view(keys.len(), n_visible);
    }

    fn scroll_into_view(&mut self, n_rows: usize, n_visible: usize) {
        let n_visible = n_visible.max(1);
        self.offset = self
            .offset
            .min(n_rows.saturating_sub(n_visible))
            .min(self.selected)
            .max((self.selected + 1).saturating_sub(n_visible));
    }
}

/// What is open on top of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    Site(GroupId),
    Store(StoreKey),
    /// Who keeps parents of a census alive.
    Holder(HolderKey),
    /// A parent of a census.
    Parent(Avma),
    Finding(FindingKey),
    /// A step of RSS.
    Step(StepKey),
}

/// The line in which a filter is typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterInput {
    pub text: String,
    /// What is wrong with it, as far as it is typed.
    pub error: Option<String>,
    /// The filter to go back to.
    pub before: StoreFilter,
}

#[derive(Clone, Debug, Default)]
pub struct App {
    /// Columns and rows of the terminal, without those of the time axis.
    pub size: (u16, u16),
    /// A recording is looked at; `None`: a live process.
    pub replay: Option<ReplayView>,
    pub screen: Screen,
    pub detail: Option<Detail>,
    /// The pages that the open one was reached through, with the first line that was on screen.
    pub trail: Vec<(Detail, usize)>,
    /// The store that the session was asked to look after.
    pub asked_store: Option<StoreKey>,
    pub is_help_open: bool,
    /// The sites of the overview, of the sites screen, and the stores.
    pub top_sites: List<GroupId>,
    pub sites: List<GroupId>,
    pub stores: List<StoreKey>,
    pub tree: TreeView,
    pub census: CensusView,
    pub findings: List<FindingKey>,
    pub memory: MemoryView,
    /// The stack shown on the page of a site; `None` for the heaviest.
    pub site_stack: Option<StackId>,
    pub site_sort: SiteSort,
    pub is_site_order_ascending: bool,
    pub query: StoreQuery,
    pub filter_input: Option<FilterInput>,
    /// First line on screen of the page that is open: a detail, health or help.
    pub page_offset: usize,
    /// What is shown instead of the newest snapshot.
    pub frozen: Option<Arc<Snapshot>>,
    pub is_session_ended: bool,
    /// How many censuses there had been when one was asked for that has not come yet.
    pub awaited_census: Option<u64>,
    /// When it was asked for: older failures are of other tries.
    pub asked_at: Nanos,
    /// One line of answer to the last key, shown until the next one.
    pub answer: Option<String>,
    /// Text for the clipboard, taken by whoever owns the terminal.
    pub copied: Option<String>,
}

impl App {
    pub fn new(width: u16, height: u16) -> Self {
        Self { size: (width, height), ..Self::default() }
    }

    /// Over a recording.
    pub fn replaying(width: u16, height: u16, replay: ReplayView) -> Self {
        let answer = "space plays, t goes to a time, ? tells more keys".to_owned();
        let answer = Some(answer);
        let mut app = Self { replay: Some(replay), answer, ..Self::default() };
        app.resize(width, height);
        app
    }

    pub fn resize(&mut self, width: u16, height: u16) {
        let n_rows = if self.replay.is_some() { replay::bar_rows(height) } else { 0 };
        self.size = (width, height.saturating_sub(n_rows));
    }

    pub fn mode(&self) -> Mode {
        if self.replay.is_some() { Mode::Replay } else { Mode::Live }
    }

    /// Time goes on by itself.
    pub fn is_playing(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| replay.is_playing)
    }

    /// The snapshot on screen, given the newest.
    pub fn shown<'a>(&'a self, latest: &'a Snapshot) -> &'a Snapshot {
        self.frozen.as_deref().unwrap_or(latest)
    }

    /// True while keys are text.
    pub fn is_typing(&self) -> bool {
        let is_time = self.replay.as_ref().is_some_and(|replay| replay.input.is_some());
        is_time || self.filter_input.is_some() || self.tree.search.before.is_some()
    }

    pub fn is_paused(&self) -> bool {
        self.frozen.is_some()
    }

    pub fn context(&self) -> Context {
        if self.is_help_open {
            return Context::Help;
        }
        match self.detail {
            Some(Detail::Site(_)) => return Context::SitePage,
            Some(Detail::Store(_)) => return Context::Detail,
            Some(Detail::Step(_)) => return Context::StepPage,
            Some(Detail::Holder(_)) => return Context::HolderPage,
            Some(Detail::Parent(_)) => return Context::ParentPage,
            Some(Detail::Finding(_)) => return Context::FindingPage,
            None => {}
        }
        match self.screen {
            Screen::Overview => Context::Overview,
            Screen::Sites => Context::Sites,
            Screen::Tree => Context::Tree,
            Screen::Stores => Context::Stores,
            Screen::Census => Context::Census,
            Screen::Findings => Context::Findings,
            Screen::Memory => Context::Memory,
            Screen::Health => Context::Text,
        }
    }
}

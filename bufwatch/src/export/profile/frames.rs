//! Frames as profiles name them, each once. All of it is foreign text, made safe to print here.

use crate::base::{FastMap, sanitize};
use crate::event::place::{ANONYMOUS, full_frame, function, path, short_frame};
use crate::event::{Frame, FrameKind};

/// A function of a program, or what stands for one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileFrame {
    /// The function alone; with `~` and the line if that is only about right. An anonymous one with its place.
    pub name: String,
    /// With its whole place: `onChunk /srv/ingest/ingest.js:31:9`.
    pub full: String,
    /// What a source map says, else what runs.
    pub file: Option<String>,
    /// 1-based. `None` for lines that are only about right, since no format can say so.
    pub line: Option<u32>,
    /// 1-based.
    pub column: Option<u32>,
    /// `None`: this stands for no function.
    pub kind: Option<FrameKind>,
}

impl ProfileFrame {
    fn of(frame: &Frame) -> Self {
        let original = frame.original.as_deref();
        let file = original.map(|place| &place.source).or(frame.script.as_ref());
        let line = original.map(|place| place.line).or(frame.line);
        let column = original.map(|place| place.column).or(frame.column);
        let name = function(frame);
        let exact = |n: Option<u32>| n.filter(|_| !frame.is_approximate);
        Self {
            name: match line {
                // Its line is all the name it has.
                Some(_) if name == ANONYMOUS => short_frame(frame),
                Some(line) if frame.is_approximate => format!("{name} (~{line})"),
                _ => name,
            },
            full: full_frame(frame),
            file: file.map(|file| path(file)),
            line: exact(line),
            column: exact(column),
            kind: Some(frame.kind),
        }
    }
}

/// All frames of a profile.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pub(super) all: Vec<ProfileFrame>,
    by_frame: FastMap<Frame, usize>,
    by_words: FastMap<String, usize>,
}

impl Frames {
    pub(super) fn add(&mut self, frame: &Frame) -> usize {
        if let Some(known) = self.by_frame.get(frame) {
            return *known;
        }
        self.all.push(ProfileFrame::of(frame));
        let index = self.all.len() - 1;
        self.by_frame.insert(frame.clone(), index);
        index
    }

    /// What is no function: `(no stack)`.
    pub(super) fn add_words(&mut self, words: &str) -> usize {
        if let Some(known) = self.by_words.get(words) {
            return *known;
        }
        let name = sanitize(words);
        self.all.push(ProfileFrame { full: name.clone(), name, ..ProfileFrame::default() });
        let index = self.all.len() - 1;
        self.by_words.insert(words.to_owned(), index);
        index
    }
}

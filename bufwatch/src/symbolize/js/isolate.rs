//! What is known of one isolate's scripts and functions, by identities that outlive every move of V8's collector. Reads through
//! `v8::Heap`; places frames of unoptimised code itself.

use std::sync::Arc;

use crate::base::{Avma, FastMap, ReadMemory, sanitize};
use crate::event::place::EVALUATED_AT;
use crate::v8::{
    BytecodePositions, Encoding, EvalPosition, FunctionFacts, FunctionId, Heap, IsolateFacts,
    ScriptFacts, ScriptList, Tagged,
};

/// Functions remembered in one isolate; a large server has 50,000, of which few are ever on a stack.
const FUNCTIONS_MAX: usize = 100_000;

/// Scripts remembered in one isolate; programs that evaluate all the time have no end of them.
const SCRIPTS_MAX: usize = 20_000;

/// Evaluated code that evaluates, in a name.
const EVAL_DEPTH_MAX: usize = 3;

/// Longest `//# sourceMappingURL=` read: an inline map is as long as the source.
const MAP_URL_UNITS_MAX: usize = 64 << 20;

/// A script with the name that is shown.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) facts: ScriptFacts,
    /// Sanitized.
    pub(super) name: Arc<str>,
    pub(super) is_internal: bool,
    /// Text behind `//# sourceMappingURL=`, if it has one.
    pub(super) map_url: Option<Arc<str>>,
}

/// A function with its script.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) id: FunctionId,
    /// Sanitized.
    pub(super) name: Arc<str>,
    /// In the script, the end included.
    pub(super) range: Option<(u32, u32)>,
    pub(super) script: Arc<Script>,
    /// `None`: V8 has no position table for it, or it could not be read.
    pub(super) positions: Option<BytecodePositions>,
    /// Its tables decode, and its source ends where it says. Only asked of functions of Node's own scripts.
    pub(super) is_plausible: bool,
}

/// 1-based line and column in a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) line: u32,
    pub(super) column: u32,
    /// The line of the function's beginning, or one that the compiler may have got wrong.
    pub(super) is_approximate: bool,
}

impl Function {
    pub(super) fn spot_at(&self, position: u32) -> Option<Spot> {
        let (line, column) = self.script.facts.place(position)?;
        Some(Spot { line, column, is_approximate: false })
    }

    /// A position that compiled code states: of another function if the code is not this one's.
    pub(super) fn spot_within(&self, position: u32) -> Option<Spot> {
        let (start, end) = self.range.unwrap_or((0, u32::MAX));
        if start <= position && position <= end { self.spot_at(position) } else { None }
    }

    /// Where bytecode runs; where the function begins if that is not known.
    pub(super) fn spot_of_bytecode(&self, offset: Option<u32>) -> Option<Spot> {
        let exact = offset
            .and_then(|offset| self.positions.as_ref()?.find(offset))
            .and_then(|position| self.spot_at(position));
        exact.or_else(|| self.beginning())
    }

    pub(super) fn beginning(&self) -> Option<Spot> {
        let (start, _) = self.range?;
        let spot = self.spot_at(start)?;
        Some(Spot { is_approximate: true, ..spot })
    }
}

/// A script and where it is: V8 moves it in major collections.
#[derive(Debug)]
struct Placed {
    script: Arc<Script>,
    at: Avma,
    /// Major collections that this place was seen after.
    n_majors: u32,
}

/// Caches of one isolate.
#[derive(Debug, Default)]
pub(super) struct Isolate {
    functions: FastMap<FunctionId, Arc<Function>>,
    scripts: FastMap<i32, Placed>,
    n_majors: u32,
    facts: Option<IsolateFacts>,
    script_list: Option<ScriptList>,
    /// Times that was looked for.
    n_searches: u32,
    /// Functions whose positions could not be read so far.
    n_missed: FastMap<FunctionId, u32>,
}

impl Isolate {
    pub(super) fn new(facts: Option<IsolateFacts>) -> Self {
        Self { facts, ..Self::default() }
    }

    /// V8 may have moved scripts.
    pub(super) fn scripts_may_have_moved(&mut self) {
        self.n_majors = self.n_majors.wrapping_add(1);
    }

    /// The function with this identity: remembered, or read at `shared` if it is still there.
    pub(super) fn function<M: ReadMemory>(
        &mut self,
        heap: Heap<'_, M>,
        encodings: [Encoding; 2],
        id: FunctionId,
        shared: Tagged,
    ) -> Option<Arc<Function>> {
        if let Some(function) = self.functions.get(&id).map(Arc::clone) {
            self.see_script(heap, id, shared);
            return Some(function);
        }
        let read = |shared: Tagged| heap.function(shared).filter(|facts| facts.id == id);
        // V8 may have moved it since, and something else is there now.
        let facts = read(shared).or_else(|| {
            let placed = self.scripts.get(&id.script)?;
            read(heap.find_function(placed.at, id)?)
        });
        let facts = facts.or_else(|| {
            let script = heap.listed_script(self.script_list?, id.script)?;
            read(heap.find_function(script, id)?)
        })?;
        let function = Arc::new(self.read_function(heap, encodings, &facts, 0)?);
        if self.functions.len() >= FUNCTIONS_MAX {
            self.functions.clear();
            self.n_missed.clear();
        }
        if function.positions.is_some() || self.is_given_up(id) {
            self.functions.insert(id, Arc::clone(&function));
        }
        Some(function)
    }

    /// While a script is where it is thought to be: later none may.
    fn find_script_list<M: ReadMemory>(&mut self, heap: Heap<'_, M>, script: Avma) {
        /// V8 may be moving what leads there.
        const SEARCHES: u32 = 4;
        if self.script_list.is_none() && self.n_searches < SEARCHES {
            self.n_searches += 1;
            self.script_list = self.facts.and_then(|facts| heap.script_list(script, facts));
        }
    }

    /// Looks where the script is by now: through it functions are found that moved before anybody knew them.
    fn see_script<M: ReadMemory>(&mut self, heap: Heap<'_, M>, id: FunctionId, shared: Tagged) {
        let Some(placed) = self.scripts.get_mut(&id.script) else { return };
        if placed.n_majors != self.n_majors
            && let Some((found, _, script)) = heap.function_id(shared)
            && found == id
        {
            (placed.at, placed.n_majors) = (script, self.n_majors);
        }
    }

    /// True if a function without positions has been tried often enough: V8 moves things, and has none for some.
    fn is_given_up(&mut self, id: FunctionId) -> bool {
        const TRIES: u32 = 8;
        let n_missed = self.n_missed.entry(id).or_default();
        *n_missed += 1;
        *n_missed >= TRIES
    }

    /// The function at `shared`, whichever it is.
    pub(super) fn function_at<M: ReadMemory>(
        &mut self,
        heap: Heap<'_, M>,
        encodings: [Encoding; 2],
        shared: Tagged,
    ) -> Option<Arc<Function>> {
        let (id, ..) = heap.function_id(shared)?;
        self.function(heap, encodings, id, shared)
    }

    fn read_function<M: ReadMemory>(
        &mut self,
        heap: Heap<'_, M>,
        encodings: [Encoding; 2],
        facts: &FunctionFacts,
        eval_depth: usize,
    ) -> Option<Function> {
        let script = self.script(heap, encodings, facts.id.script, facts.script, eval_depth)?;
        let positions = facts
            .bytecode
            .and_then(|bytecode| heap.bytecode_positions(bytecode, facts.range, encodings));
        let ends_with_brace = || {
            let (_, end) = facts.range?;
            let source = heap.tagged(facts.script, heap.layout.script_source)?;
            Some(heap.unit_at(source, end.checked_sub(1)?)? == u16::from(b'}'))
        };
        let is_plausible =
            script.is_internal && positions.is_some() && ends_with_brace() == Some(true);
        Some(Function {
            is_plausible,
            id: facts.id,
            name: match (&facts.name, facts.range) {
                (Some(name), _) => sanitize(name).into(),
                (None, Some(_)) => "(anonymous)".into(),
                // Its `ScopeInfo` was not understood.
                (None, None) => "(name unknown)".into(),
            },
            range: facts.range,
            script,
            positions,
        })
    }

    fn script<M: ReadMemory>(
        &mut self,
        heap: Heap<'_, M>,
        encodings: [Encoding; 2],
        id: i32,
        at: Avma,
        eval_depth: usize,
    ) -> Option<Arc<Script>> {
        let n_majors = self.n_majors;
        if let Some(placed) = self.scripts.get_mut(&id) {
            (placed.at, placed.n_majors) = (at, n_majors);
            return Some(Arc::clone(&placed.script));
        }
        let facts = heap.script(at)?;
        self.find_script_list(heap, at);
        let name = match &facts.name {
            Some(name) => sanitize(name),
            None => self
                .eval_name(heap, encodings, &facts, eval_depth)
                .unwrap_or_else(|| "(no file)".to_owned()),
        };
        let map_url = match &facts.source_mapping_url {
            Some(url) => Some(url.as_str().into()),
            None if facts.has_inline_map => {
                heap.source_mapping_url(at, MAP_URL_UNITS_MAX).map(Into::into)
            }
            None => None,
        };
        let script = Arc::new(Script {
            is_internal: name.starts_with("node:"),
            name: name.into(),
            map_url,
            facts,
        });
        if self.scripts.len() >= SCRIPTS_MAX {
            self.scripts.clear();
        }
        self.scripts.insert(id, Placed { script: Arc::clone(&script), at, n_majors });
        Some(script)
    }

    /// `eval at load /srv/plugin.js:12:5`, as V8 names it in stack traces.
    fn eval_name<M: ReadMemory>(
        &mut self,
        heap: Heap<'_, M>,
        encodings: [Encoding; 2],
        facts: &ScriptFacts,
        eval_depth: usize,
    ) -> Option<String> {
        let origin = facts.eval_origin?;
        if eval_depth >= EVAL_DEPTH_MAX {
            return Some("eval".to_owned());
        }
        let caller = heap.function(origin.shared)?;
        let caller = self.read_function(heap, encodings, &caller, eval_depth + 1)?;
        let spot = match origin.position {
            EvalPosition::Script(position) => caller.spot_at(position),
            EvalPosition::Bytecode(offset) => caller.spot_of_bytecode(Some(offset)),
        };
        let (function, script) = (&caller.name, &caller.script.name);
        Some(match spot {
            Some(spot) => {
                format!("{EVALUATED_AT}{function} ({script}:{}:{})", spot.line, spot.column)
            }
            None => format!("{EVALUATED_AT}{function} ({script})"),
        })
    }
}

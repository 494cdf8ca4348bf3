//! Names that a programmer knows for objects in a copied heap: classes and keys; with those of functions and properties, which are read
//! elsewhere. Which objects lie on a path is not decided here.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use crate::base::FastMap;
use crate::v8::census::function_name::{Author, Functions};
use crate::v8::census::mark::HeapView;
use crate::v8::census::property::Properties;
use crate::v8::census::sizes::is_function;
use crate::v8::census::text;
use crate::v8::object::Tagged;

/// Maps from an object's own one back to the one that its constructor made.
const BACK_POINTERS_MAX: usize = 128;

/// Classes remembered; then they are forgotten and read again.
const REMEMBERED_MAX: usize = 1 << 17;

/// A class of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClassName {
    pub(super) text: Arc<str>,
    /// Its constructor is a function of the application.
    pub(super) is_of_application: bool,
}

/// Names, remembered.
#[derive(Debug)]
pub struct Names<'a> {
    view: HeapView<'a>,
    classes: FastMap<usize, ClassName>,
    pub(super) properties: Properties<'a>,
    pub(super) functions: Functions<'a>,
}

impl<'a> Names<'a> {
    pub fn new(view: HeapView<'a>) -> Self {
        Self {
            view,
            classes: FastMap::default(),
            properties: Properties::new(view),
            functions: Functions::new(view),
        }
    }

    /// A key of a Map or object as it is shown: `"key 17"`, `17`, the class of an object.
    pub fn key(&mut self, word: u64) -> String {
        if let Some(number) = Tagged(word).as_smi() {
            return number.to_string();
        }
        if let Some(text) = text::string(self.view, word) {
            return text::quoted(&text);
        }
        if let Some(symbol) = text::name(self.view, word) {
            return format!("Symbol({symbol})");
        }
        match self.view.object(word) {
            Some(object) => self.class_of(object).to_string(),
            None => "?".to_owned(),
        }
    }

    /// The class that an object was made by.
    pub fn class_of(&mut self, object: usize) -> Arc<str> {
        self.class(object).text
    }

    pub(super) fn class(&mut self, object: usize) -> ClassName {
        let view = self.view;
        let map = view.heap.word(object).and_then(|word| view.walk.map_of(view.heap, word));
        let Some(map) = map else {
            return ClassName { text: "Object".into(), is_of_application: false };
        };
        if let Some(name) = self.classes.get(&map) {
            return name.clone();
        }
        let class = self.read_class(map);
        if self.classes.len() >= REMEMBERED_MAX {
            self.classes.clear();
        }
        self.classes.insert(map, class.clone());
        class
    }

    fn read_class(&mut self, map: usize) -> ClassName {
        let candidates = [self.constructor_by_prototype(map), self.constructor_by_map(map)];
        for constructor in candidates.into_iter().flatten() {
            let name = self.functions.short_name(constructor).filter(|name| !name.is_empty());
            if let Some(name) = name {
                let author = self.functions.function(constructor).map(|it| it.author);
                // Node makes a `Module` for each CommonJS module of the application, none for its own.
                let is_of_application = author == Some(Author::Application)
                    || author == Some(Author::Node) && name == "Module";
                return ClassName { text: name.into(), is_of_application };
            }
        }
        ClassName { text: "Object".into(), is_of_application: false }
    }

    /// What the prototype's own property `constructor` says: right for classes that extend others, as Node's `FastBuffer` does.
    fn constructor_by_prototype(&mut self, map: usize) -> Option<usize> {
        /// `Map::prototype`.
        const PROTOTYPE: u64 = 24;
        let prototype = self.view.field(map, PROTOTYPE)?;
        self.properties.value(prototype, ".constructor")
    }

    fn constructor_by_map(&self, map: usize) -> Option<usize> {
        let view = self.view;
        let mut at = map;
        for _ in 0..BACK_POINTERS_MAX {
            let next = view.field(at, view.layout.map_constructor)?;
            let kind = view.kind(next)?;
            if is_function(kind, view.layout) {
                return Some(next);
            }
            if kind != view.layout.type_map {
                return None;
            }
            at = next;
        }
        None
    }

    /// The name of a global variable's cell.
    pub fn global(&self, cell: usize) -> Option<String> {
        let word = self.view.heap.word_at(cell, self.view.layout.property_cell_name)?;
        text::name(self.view, word)
    }

    /// A global variable that the application made: Node's and JavaScript's own cannot be enumerated, but for a few.
    pub(super) fn is_global_of_application(&self, cell: usize) -> bool {
        /// `PropertyCell::property_details_raw` (src/objects/property-cell.tq).
        const DETAILS: u64 = 16;
        /// `PropertyDetails::AttributesField` begins at bit 2 (src/objects/property-details.h).
        const DONT_ENUM: u64 = 2 << 2;
        let view = self.view;
        let Some(details) = view.heap.word_at(cell, DETAILS).and_then(|it| Tagged(it).as_smi())
        else {
            return false;
        };
        let key = view.heap.word_at(cell, view.layout.property_cell_name);
        let Some(name) = key.and_then(|key| text::string(view, key)) else { return false };
        u64::from(details.cast_unsigned()) & DONT_ENUM == 0
            && !ENUMERABLE_GLOBALS.contains(&name.as_str())
    }
}

/// What `Object.keys(globalThis)` gives in Node 18 to 26.
const ENUMERABLE_GLOBALS: [&str; 17] = [
    "atob",
    "btoa",
    "clearImmediate",
    "clearInterval",
    "clearTimeout",
    "crypto",
    "fetch",
    "global",
    "localStorage",
    "navigator",
    "performance",
    "queueMicrotask",
    "sessionStorage",
    "setImmediate",
    "setInterval",
    "setTimeout",
    "structuredClone",
];

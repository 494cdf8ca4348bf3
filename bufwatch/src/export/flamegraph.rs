//! A flame graph as one SVG file that opens in a browser, with search and zoom and no outside requests; drawn by inferno.

use std::io::{self, Write};

use inferno::flamegraph::color::{BasicPalette, Palette};
use inferno::flamegraph::{Options, from_lines};

use crate::export::collapsed;
use crate::export::profile::{Measure, Profile};

/// What there is to see when there are no stacks: inferno draws none then.
const NOTHING: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" width="1200" height="60"><text x="20" y="36" font-family="monospace" font-size="14">nothing of this measure at this moment</text></svg>"#;

pub fn write(profile: &Profile, measure: Measure, out: &mut dyn Write) -> io::Result<()> {
    let lines = collapsed::lines(profile, measure);
    if lines.is_empty() {
        return writeln!(out, "{NOTHING}");
    }
    let mut options = Options::default();
    options.title = format!("{} by stack", measure.name());
    options.subtitle = Some(profile.title.clone());
    options.colors = Palette::Basic(BasicPalette::Mem);
    // The same function has the same color in each graph.
    options.hash = true;
    options.deterministic = true;
    let unit = if measure.is_bytes() { "bytes" } else { "stores" };
    unit.clone_into(&mut options.count_name);
    "Frame:".clone_into(&mut options.name_type);
    from_lines(&mut options, lines.iter().map(String::as_str), out)
}

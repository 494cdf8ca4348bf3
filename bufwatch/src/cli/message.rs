//! What the user is told when something fails: the only place that writes to stderr.

use std::error::Error;
use std::io::Write as _;

use crate::base::sanitize;

/// Prints `error: …` with its causes and, if there is one, `hint: …`.
pub fn print_error(error: &dyn Error, hint: Option<&str>) {
    let mut text = sanitize(&error.to_string());
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = sanitize(&inner.to_string());
        // Some libraries repeat the cause in their own text.
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    print_line(&format!("error: {text}"));
    if let Some(hint) = hint {
        print_line(&format!("hint: {hint}"));
    }
}

/// Prints a remark.
pub fn print_line(text: &str) {
    // Nobody is left to tell if stderr is gone.
    if writeln!(std::io::stderr().lock(), "{text}").is_err() {
        tracing::debug!("stderr is closed");
    }
}

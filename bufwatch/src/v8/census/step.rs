//! One step of a retaining path as text, with and without what differs between views of the same holder.

/// What differs between views of the same holder.
pub(super) const ANY_KEY: &str = "[…]";

/// Steps told: of a longer path the middle is left out.
const STEPS_MAX: usize = 16;

/// One step of a path, and the same without keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub text: String,
    pub pattern: String,
}

impl Step {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { pattern: text.clone(), text }
    }

    pub(super) fn keyed(text: String) -> Self {
        Self { text, pattern: ANY_KEY.to_owned() }
    }

    /// It says a key, which differs between views.
    pub(super) fn is_keyed(&self) -> bool {
        self.text != self.pattern
    }

    pub(super) fn append(mut self, more: &str) -> Self {
        self.text.push_str(more);
        self.pattern.push_str(more);
        self
    }
}

/// Of a long path the two ends.
pub(super) fn shorten(steps: Vec<Step>) -> Vec<Step> {
    if steps.len() <= STEPS_MAX {
        return steps;
    }
    let n_end = STEPS_MAX / 2;
    let n_left_out = steps.len().saturating_sub(n_end).saturating_sub(n_end);
    let tail = steps.iter().skip(n_end.saturating_add(n_left_out)).cloned();
    let gap = Step { text: format!("… {n_left_out} more …"), pattern: "…".to_owned() };
    steps.iter().take(n_end).cloned().chain([gap]).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_path_both_ends_are_told() {
        let steps: Vec<Step> = (0..20).map(|n| Step::plain(n.to_string())).collect();
        let short = shorten(steps.clone());
        let texts: Vec<&str> = short.iter().map(|step| step.text.as_str()).collect();
        assert_eq!(texts[..9], ["0", "1", "2", "3", "4", "5", "6", "7", "… 4 more …"]);
        assert_eq!(texts[9..], ["12", "13", "14", "15", "16", "17", "18", "19"]);
        assert_eq!(shorten(steps[..16].to_vec()).len(), 16);
    }
}

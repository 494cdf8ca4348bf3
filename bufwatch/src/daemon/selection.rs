//! Which processes are watched: rules over command line, user and control group. Knows rules only, not processes of the host.

use serde::Deserialize;

/// What is asked of a process; what is not said is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Pattern for the command line, with `*` for anything.
    pub command: Option<String>,
    /// Name or number.
    pub user: Option<String>,
    /// Pattern for the path of the control group.
    pub cgroup: Option<String>,
    /// What the processes of this rule are called in metrics.
    pub name: Option<String>,
}

/// What rules are about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    pub command: String,
    pub uid: Option<u32>,
    pub user: Option<String>,
    pub cgroup: Option<String>,
}

impl Rule {
    pub fn is_empty(&self) -> bool {
        self.command.is_none() && self.user.is_none() && self.cgroup.is_none()
    }

    fn matches(&self, traits: &Traits) -> bool {
        let is_user = |wanted: &str| {
            traits.user.as_deref() == Some(wanted)
                || traits.uid.is_some_and(|uid| wanted.parse() == Ok(uid))
        };
        let is_like = |pattern: &Option<String>, text: &str| {
            pattern.as_deref().is_none_or(|pattern| is_match(pattern, text))
        };
        is_like(&self.command, &traits.command)
            && self.user.as_deref().is_none_or(is_user)
            && is_like(&self.cgroup, traits.cgroup.as_deref().unwrap_or_default())
    }
}

/// The rule that takes a process in: `None` if it is not to be watched, `Some(None)` if no rule was needed.
pub fn select<'a>(
    include: &'a [Rule],
    exclude: &[Rule],
    traits: &Traits,
) -> Option<Option<&'a Rule>> {
    if exclude.iter().any(|rule| rule.matches(traits)) {
        return None;
    }
    if include.is_empty() {
        return Some(None);
    }
    include.iter().find(|rule| rule.matches(traits)).map(Some)
}

/// `*` stands for any text, everything else for itself. Takes no longer than both lengths multiplied.
fn is_match(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    // There is always a first one.
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text) in [
            ("*", ""),
            ("node *", "node a.js"),
            ("*api*", "node /srv/api/x.js"),
            ("a*b*c", "a1b2c"),
        ] {
            assert!(is_match(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("a", "ab"), ("a*b", "aba"), ("ab*ba", "aba"), ("*x*", "y")]
        {
            assert!(!is_match(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn exclusion_counts_more() {
        let rule = |command: &str| Rule { command: Some(command.to_owned()), ..Rule::default() };
        let traits = Traits { command: "node /srv/api.js".to_owned(), ..Traits::default() };
        assert_eq!(select(&[], &[], &traits), Some(None));
        assert_eq!(select(&[], &[rule("*api*")], &traits), None);
        assert_eq!(select(&[rule("*api*")], &[rule("node*")], &traits), None);
        assert_eq!(select(&[rule("*web*")], &[], &traits), None);
        let rules = [rule("*web*"), rule("*api*")];
        assert_eq!(select(&rules, &[], &traits), Some(rules.get(1)));
    }

    #[test]
    fn users_and_groups_must_all_fit() {
        let rule = Rule {
            user: Some("1000".to_owned()),
            cgroup: Some("*/web.service".to_owned()),
            ..Rule::default()
        };
        let mut traits = Traits {
            uid: Some(1_000),
            user: Some("ann".to_owned()),
            cgroup: Some("/system.slice/web.service".to_owned()),
            ..Traits::default()
        };
        assert!(rule.matches(&traits));
        assert!(Rule { user: Some("ann".to_owned()), ..rule.clone() }.matches(&traits));
        assert!(!Rule { user: Some("bob".to_owned()), ..rule.clone() }.matches(&traits));
        traits.cgroup = None;
        assert!(!rule.matches(&traits));
    }
}

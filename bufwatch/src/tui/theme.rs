//! How roles look. Only the 16 colours of the terminal's own palette, so that it fits any background;
//! without colour only weight and reversal are left.

use ratatui::style::{Color, Modifier, Style};

use crate::tui::text::Role;

#[derive(Clone, Copy, Debug)]
pub struct Theme {
    is_color: bool,
}

impl Theme {
    /// `is_color` is false when `NO_COLOR` is set; the command line reads it.
    pub const fn new(is_color: bool) -> Self {
        Self { is_color }
    }

    pub fn style(self, role: Role) -> Style {
        let style = match role {
            Role::Title | Role::Key | Role::Accused => Style::new().add_modifier(Modifier::BOLD),
            // Not a grey: in some palettes the dark one is the background.
            Role::Muted | Role::Unknown => Style::new().add_modifier(Modifier::DIM),
            Role::Found => Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
            _ => Style::new(),
        };
        if !self.is_color {
            return style;
        }
        match role {
            Role::Neutral | Role::Title | Role::Muted | Role::Unknown | Role::Rss => style,
            Role::Accused => style.fg(Color::Red),
            Role::Healthy => style.fg(Color::Green),
            Role::Key => style.fg(Color::Cyan),
            Role::Found => style.fg(Color::Yellow),
            Role::ArrayBuffers => style.fg(Color::Cyan),
            Role::Stores => style.fg(Color::Yellow),
            Role::Heap => style.fg(Color::Magenta),
            Role::Rest => style.fg(Color::Blue),
            Role::Freed => style.fg(Color::Green),
        }
    }

    /// The selected row, on top of what its text has.
    pub fn selected(self) -> Style {
        let style = Style::new().remove_modifier(Modifier::DIM).add_modifier(Modifier::BOLD);
        if self.is_color {
            style.bg(Color::Blue).fg(Color::White)
        } else {
            style.add_modifier(Modifier::REVERSED)
        }
    }

    /// The tab of the screen that is shown.
    pub fn active_tab(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_there_is_none() {
        let theme = Theme::new(false);
        for style in [theme.style(Role::Accused), theme.style(Role::Stores), theme.selected()] {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}

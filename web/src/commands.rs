//! Every action of the page as data: name, shortcut, what it is for.

/// Something the user can do from anywhere on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Take the last step back.
    Undo,
    /// Take it again.
    Redo,
    /// Stop the running simulation.
    Stop,
    /// Back to the scenario the page starts with.
    Reset,
    /// Copy the address of this very scenario and view.
    CopyLink,
    /// Open a trace, a scenario or a model's `config.json`.
    OpenFile,
    /// Switch between light, dark and the system's choice.
    NextTheme,
    /// Show the list of shortcuts.
    ShowShortcuts,
}

/// A key with its modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortcut {
    /// `KeyboardEvent.key`, lower case for letters.
    pub key: &'static str,
    /// Whether Ctrl (or Command) is held.
    pub has_ctrl: bool,
    /// Whether Shift is held; ignored for signs that need it to be typed.
    pub has_shift: bool,
}

impl Command {
    /// All commands in the order listed.
    pub const ALL: [Command; 8] = [
        Command::Undo,
        Command::Redo,
        Command::Stop,
        Command::OpenFile,
        Command::CopyLink,
        Command::NextTheme,
        Command::Reset,
        Command::ShowShortcuts,
    ];

    /// Name for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Command::Undo => "Undo",
            Command::Redo => "Redo",
            Command::Stop => "Stop the simulation",
            Command::Reset => "Reset to the default scenario",
            Command::CopyLink => "Copy link",
            Command::OpenFile => "Open a file",
            Command::NextTheme => "Light, dark or system colors",
            Command::ShowShortcuts => "Keyboard shortcuts",
        }
    }

    /// Keys that invoke it.
    #[must_use]
    pub fn shortcuts(self) -> &'static [Shortcut] {
        const fn ctrl(key: &'static str, has_shift: bool) -> Shortcut {
            Shortcut { key, has_ctrl: true, has_shift }
        }
        const fn plain(key: &'static str) -> Shortcut {
            Shortcut { key, has_ctrl: false, has_shift: false }
        }
        match self {
            Command::Undo => const { &[ctrl("z", false)] },
            Command::Redo => const { &[ctrl("z", true), ctrl("y", false)] },
            Command::Stop => const { &[plain("Escape")] },
            Command::OpenFile => const { &[ctrl("o", false)] },
            Command::ShowShortcuts => const { &[plain("?")] },
            Command::Reset | Command::CopyLink | Command::NextTheme => &[],
        }
    }

    /// The command a key press means.
    ///
    /// While the user types in a field only Escape counts: undo there belongs to the text.
    #[must_use]
    pub fn of_key(key: &str, has_ctrl: bool, has_shift: bool, is_typing: bool) -> Option<Self> {
        let key = if key.len() == 1 { key.to_ascii_lowercase() } else { key.to_owned() };
        Self::ALL.into_iter().find(|command| {
            (!is_typing || *command == Command::Stop)
                && command.shortcuts().iter().any(|shortcut| {
                    shortcut.key == key
                        && shortcut.has_ctrl == has_ctrl
                        && (shortcut.has_shift == has_shift || shortcut.key == "?")
                })
        })
    }
}

impl Shortcut {
    /// The keys as a list shows them.
    #[must_use]
    pub fn text(self) -> String {
        let key = if self.key == "Escape" { "Esc".to_owned() } else { self.key.to_ascii_uppercase() };
        format!("{}{}{key}", if self.has_ctrl { "Ctrl+" } else { "" }, if self.has_shift { "Shift+" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_their_commands() {
        assert_eq!(Command::of_key("z", true, false, false), Some(Command::Undo));
        assert_eq!(Command::of_key("Z", true, true, false), Some(Command::Redo));
        assert_eq!(Command::of_key("?", false, true, false), Some(Command::ShowShortcuts));
        assert_eq!(Command::of_key("z", false, false, false), None);
    }

    #[test]
    fn typing_is_left_alone() {
        assert_eq!(Command::of_key("z", true, false, true), None);
        assert_eq!(Command::of_key("?", false, true, true), None);
        assert_eq!(Command::of_key("Escape", false, false, true), Some(Command::Stop));
    }

    #[test]
    fn no_two_commands_share_a_key() {
        let all: Vec<Shortcut> = Command::ALL.into_iter().flat_map(|command| command.shortcuts().to_vec()).collect();
        for (index, shortcut) in all.iter().enumerate() {
            assert!(!all[..index].contains(shortcut), "{}", shortcut.text());
        }
    }
}

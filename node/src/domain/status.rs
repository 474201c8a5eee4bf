//! What a user wants to be seen as.

/// What a user wants to be seen as while connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChosenStatus {
    Online,
    Away,
    Busy,
    Invisible,
}

impl ChosenStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Away => "away",
            Self::Busy => "busy",
            Self::Invisible => "invisible",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Online, Self::Away, Self::Busy, Self::Invisible].into_iter().find(|status| status.as_str() == text)
    }
}

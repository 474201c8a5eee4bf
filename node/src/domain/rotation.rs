//! What presenting a refresh token does to its login: each token works once, but a lost answer or a second tab must not end it.

use std::time::Duration;

use super::timestamp::Timestamp;

/// How long the token before gives the same successor again.
pub const GRACE: Duration = Duration::from_secs(30);

/// SHA-256 of a refresh token.
pub type TokenHash = [u8; 32];

/// A login's row, as far as this decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationState {
    /// Of the token that is good now.
    pub current: Vec<u8>,
    /// Of the one before.
    pub previous: Option<Vec<u8>>,
    pub rotated_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// Disabled or deleted.
    pub is_user_out: bool,
}

/// What was presented.
#[derive(Clone, Debug)]
pub struct Presented {
    pub hash: TokenHash,
    /// We made it, whenever that was.
    pub is_genuine: bool,
    /// What would follow it: by the key that signs now, and by the others, which signed before.
    pub successors: Vec<TokenHash>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The first use: the first successor is good from now on.
    Advance,
    /// Within the grace: this successor was given already, and is given again.
    Repeat(usize),
    /// A token that was used before is used again: someone else has it, so the login ends.
    End,
    Refuse,
}

/// Decides. `life` is how long a token that nobody uses stays good.
pub fn rotate(state: &RotationState, presented: &Presented, now: Timestamp, life: Duration) -> Rotation {
    let is_expired = now >= state.rotated_at.unwrap_or(state.created_at).plus(life);
    if state.ended_at.is_some() || state.is_user_out || is_expired {
        return Rotation::Refuse;
    }
    if state.current == presented.hash {
        return Rotation::Advance;
    }
    let is_previous = state.previous.as_deref() == Some(presented.hash.as_slice());
    let is_recent = state.rotated_at.is_some_and(|rotated_at| now <= rotated_at.plus(GRACE));
    if is_previous && is_recent {
        // The successor is unused, else it would not be the current one.
        let given = presented.successors.iter().position(|successor| state.current == successor);
        return given.map_or(Rotation::Refuse, Rotation::Repeat);
    }
    if is_previous || presented.is_genuine { Rotation::End } else { Rotation::Refuse }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_hours(720);
    const BEGIN: Timestamp = Timestamp(1_000_000_000_000);

    fn hash(number: u8) -> TokenHash {
        [number; 32]
    }

    /// Token `number` of a chain whose successors are the next numbers.
    fn token(number: u8) -> Presented {
        Presented { hash: hash(number), is_genuine: true, successors: vec![hash(99), hash(number + 1)] }
    }

    fn state(current: u8) -> RotationState {
        RotationState {
            current: hash(current).to_vec(),
            previous: current.checked_sub(1).map(|previous| hash(previous).to_vec()),
            rotated_at: (current > 0).then_some(BEGIN),
            created_at: BEGIN,
            ended_at: None,
            is_user_out: false,
        }
    }

    fn after(seconds: u64) -> Timestamp {
        BEGIN.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn each_token_works_once_and_the_one_before_for_half_a_minute() {
        assert_eq!(rotate(&state(0), &token(0), after(60), LIFE), Rotation::Advance);
        assert_eq!(rotate(&state(1), &token(0), after(30), LIFE), Rotation::Repeat(1));
        assert_eq!(rotate(&state(1), &token(0), after(31), LIFE), Rotation::End);
        assert_eq!(rotate(&state(2), &token(0), after(1), LIFE), Rotation::End, "its successor was used");
        assert_eq!(rotate(&state(2), &token(1), after(1), LIFE), Rotation::Repeat(1));
    }

    #[test]
    fn what_is_not_ours_ends_nothing() {
        let forged = Presented { is_genuine: false, ..token(50) };
        assert_eq!(rotate(&state(1), &forged, after(1), LIFE), Rotation::Refuse);
    }

    #[test]
    fn ended_and_expired_logins_stay_so() {
        let ended = RotationState { ended_at: Some(BEGIN), ..state(0) };
        assert_eq!(rotate(&ended, &token(0), after(1), LIFE), Rotation::Refuse);
        let out = RotationState { is_user_out: true, ..state(0) };
        assert_eq!(rotate(&out, &token(0), after(1), LIFE), Rotation::Refuse);
        assert_eq!(rotate(&state(1), &token(1), BEGIN.plus(LIFE), LIFE), Rotation::Refuse);
    }
}

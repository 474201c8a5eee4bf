//! What a message of a run says about itself, so that whoever receives it knows what was sent when, without shared state.

/// A run's own mark: messages of other runs in the same conversation are not judged.
pub type RunId = [u8; 8];

const MARK: &[u8; 4] = b"ht1 ";
/// Mark, run, sender, number and intended time, each followed by a space.
pub const STAMP_LENGTH: usize = 4 + 9 + 9 + 9 + 17;

/// Where a message comes from: the sender's place in the run, its number there, and when it was meant to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub sender: u32,
    pub number: u32,
    pub intended_ns: u64,
}

impl Stamp {
    /// Sender and number in one word, the identity of a message within its run.
    pub fn key(self) -> u64 {
        message_key(self.sender, self.number)
    }
}

pub fn message_key(sender: u32, number: u32) -> u64 {
    (u64::from(sender) << 32) | u64::from(number)
}

/// Writes the stamp over the first `STAMP_LENGTH` bytes of `content`.
pub fn write_stamp(run: RunId, stamp: Stamp, content: &mut [u8]) {
    let mut text = [b' '; STAMP_LENGTH];
    if let Some(mark) = text.first_chunk_mut::<4>() {
        *mark = *MARK;
    }
    if let Some(place) = text.get_mut(4..12) {
        place.copy_from_slice(&run);
    }
    write_hex(u64::from(stamp.sender), text.get_mut(13..21));
    write_hex(u64::from(stamp.number), text.get_mut(22..30));
    write_hex(stamp.intended_ns, text.get_mut(31..47));
    if let Some(place) = content.first_chunk_mut::<STAMP_LENGTH>() {
        *place = text;
    }
}

/// The stamp of a message of this run, or nothing for any other text.
pub fn read_stamp(run: RunId, content: &[u8]) -> Option<Stamp> {
    let text = content.first_chunk::<STAMP_LENGTH>()?;
    if !text.starts_with(MARK) || text.get(4..12) != Some(run.as_slice()) {
        return None;
    }
    Some(Stamp {
        sender: u32::try_from(read_hex(text.get(13..21)?)?).ok()?,
        number: u32::try_from(read_hex(text.get(22..30)?)?).ok()?,
        intended_ns: read_hex(text.get(31..47)?)?,
    })
}

/// Writes lower-case hex, filling the place from the right.
pub fn write_hex(value: u64, place: Option<&mut [u8]>) {
    let mut left = value;
    for byte in place.into_iter().flatten().rev() {
        let digit = left.to_le_bytes()[0] & 0xF;
        *byte = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        left >>= 4;
    }
}

/// Reads lower-case hex of at most 16 digits.
pub fn read_hex(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |sum, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some((sum << 4) | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stamp_is_read_as_it_was_written(sender in any::<u32>(), number in any::<u32>(), intended_ns in any::<u64>()) {
            let stamp = Stamp { sender, number, intended_ns };
            let mut content = vec![b'x'; 120];
            write_stamp(*b"cafe0123", stamp, &mut content);
            prop_assert_eq!(read_stamp(*b"cafe0123", &content), Some(stamp));
            prop_assert_eq!(read_stamp(*b"cafe0124", &content), None);
            prop_assert!(content.iter().all(u8::is_ascii_graphic) || content.contains(&b' '));
        }

        #[test]
        fn other_texts_are_not_ours(text in ".{0,80}") {
            prop_assert_eq!(read_stamp(*b"cafe0123", text.as_bytes()), None);
        }
    }
}

//! Follows frame headers in the bytes that pass by, so that the reader knows when no frame is half read: then it may give its
//! buffer back. Also sees what the parser does not tell: a client's frame must be masked (RFC 6455, 5.1).

/// Where in a frame the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    First,
    Second,
    /// Bytes of a longer length that are to come, and what came of it.
    Length {
        left: u8,
        value: u64,
    },
    /// Mask and payload bytes that are to come.
    Rest(u64),
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    place: Place,
    /// Whole frames that have passed.
    pub frames: u64,
    pub has_unmasked: bool,
}

const MASK_BYTES: u64 = 4;

impl Meter {
    pub fn is_between_frames(&self) -> bool {
        self.place == Place::First
    }

    pub fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((byte, rest)) = bytes.split_first() {
            if let Place::Rest(left) = self.place {
                let passed = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                bytes = bytes.get(passed..).unwrap_or_default();
                self.rest(left.saturating_sub(u64::try_from(passed).unwrap_or(u64::MAX)));
                continue;
            }
            bytes = rest;
            match self.place {
                Place::First => self.place = Place::Second,
                Place::Second => {
                    self.has_unmasked |= byte & 0x80 == 0;
                    match byte & 0x7f {
                        126 => self.place = Place::Length { left: 2, value: 0 },
                        127 => self.place = Place::Length { left: 8, value: 0 },
                        length => self.rest(u64::from(length) + MASK_BYTES),
                    }
                }
                Place::Length { left, value } => {
                    let value = value << 8 | u64::from(*byte);
                    if left > 1 {
                        self.place = Place::Length { left: left - 1, value };
                    } else {
                        self.rest(value.saturating_add(MASK_BYTES));
                    }
                }
                Place::Rest(_) => {}
            }
        }
    }

    fn rest(&mut self, left: u64) {
        if left == 0 {
            self.frames += 1;
            self.place = Place::First;
        } else {
            self.place = Place::Rest(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(length: usize) -> Vec<u8> {
        let mut bytes = vec![0x81];
        match length {
            0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap()),
            126..=0xffff => {
                bytes.push(0xfe);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(0xff);
                bytes.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        bytes.extend(vec![0xff; length + 4]);
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn frames_are_counted_however_they_are_cut(lengths in proptest::collection::vec(0_usize..70_000, 1..6), cut in 1_usize..5_000) {
            let bytes: Vec<u8> = lengths.iter().flat_map(|length| frame(*length)).collect();
            let mut meter = Meter::default();
            for piece in bytes.chunks(cut) {
                meter.pass(piece);
            }
            prop_assert_eq!(meter.frames, u64::try_from(lengths.len()).unwrap());
            prop_assert!(meter.is_between_frames() && !meter.has_unmasked);
            meter.pass(&[0x81]);
            prop_assert!(!meter.is_between_frames());
            meter.pass(&[0x00]);
            prop_assert!(meter.has_unmasked);
        }
    }
}

//! The few conversions between whole and floating numbers, in one place because they may lose precision.

/// As a floating number; exact up to 2^53, far beyond any count or nanosecond measured here.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "counts and durations stay below 2^53")]
pub fn float(n: u64) -> f64 {
    n as f64
}

/// The whole part; negative and undefined become 0, too large becomes the largest.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates here, which is what is wanted"
)]
pub fn whole(f: f64) -> u64 {
    f as u64
}

/// A length as a count.
pub fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// A count as an index; one that cannot be an index finds nothing.
pub fn index(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// `part / whole`, 0 where there is no whole.
pub fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

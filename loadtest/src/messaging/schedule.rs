//! When messages are meant to leave. The plan does not wait for answers, so a slow server cannot hide its slowness.

use crate::cli::Arrivals;
use crate::clock::Dice;
use crate::numbers::{float, whole};

/// Intended times, from a start on, as offsets that do not add up rounding errors of the interval.
pub struct Schedule {
    start_ns: u64,
    interval_ns: f64,
    offset_ns: f64,
    arrivals: Arrivals,
    dice: Dice,
}

impl Schedule {
    /// `phase` in 0..1 shifts the start by a part of the interval, so that threads do not send at the same moment.
    pub fn new(start_ns: u64, per_second: f64, phase: f64, arrivals: Arrivals, seed: u64) -> Self {
        let interval_ns = 1e9 / per_second;
        Self { start_ns, interval_ns, offset_ns: interval_ns * phase, arrivals, dice: Dice::seeded(seed) }
    }

    /// The next intended time.
    pub fn next_ns(&self) -> u64 {
        self.start_ns + whole(self.offset_ns)
    }

    pub fn advance(&mut self) {
        self.offset_ns += match self.arrivals {
            Arrivals::Even => self.interval_ns,
            Arrivals::Poisson => -self.dice.unit().ln() * self.interval_ns,
        };
    }
}

/// A thread's part of the whole rate, by its part of the senders.
pub fn share_of_rate(per_second: f64, senders_here: u64, senders_in_all: u64) -> f64 {
    per_second * float(senders_here) / float(senders_in_all.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(arrivals: Arrivals, per_second: f64) -> Vec<u64> {
        let mut schedule = Schedule::new(1_000, per_second, 0.5, arrivals, 7);
        (0..10_000)
            .map(|_| {
                let next = schedule.next_ns();
                schedule.advance();
                next
            })
            .collect()
    }

    #[test]
    fn even_times_keep_the_rate_to_the_end() {
        let times = times(Arrivals::Even, 3_000.0);
        assert_eq!(times[0], 1_000 + 166_666);
        assert!(times[9_999].abs_diff(1_000 + 3_333_166_666) < 10, "{}", times[9_999]);
    }

    #[test]
    fn poisson_times_have_the_rate_on_average_and_vary() {
        let times = times(Arrivals::Poisson, 1_000.0);
        let last_s = float(times[9_999]) / 1e9;
        assert!((9.0..11.0).contains(&last_s), "{last_s}");
        let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().any(|&gap| gap < 100_000) && gaps.iter().any(|&gap| gap > 3_000_000));
    }
}

//! The lines of refused strangers: so few in a second that they do not push out the lines of those
//! who may ask.

use std::time::Duration;

/// Most lines of refused strangers in a second.
const LINES_PER_SECOND_MAX: u32 = 10;

/// The lines of this second.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    second: u64,
    lines: u32,
    left_out: u64,
}

impl Strangers {
    /// Asks for a line; `now` is the time since 1970. Returns the number of lines that were left
    /// out before it, or `None` when it is left out too.
    pub(super) fn line(&mut self, now: Duration) -> Option<u64> {
        let second = now.as_secs();
        if second != self.second {
            (self.second, self.lines) = (second, 0);
        }
        if self.lines == LINES_PER_SECOND_MAX {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_over_the_limit_are_counted_in_the_next_line() {
        let mut strangers = Strangers::default();
        let at = Duration::from_millis;
        let first: Vec<Option<u64>> = (0..13).map(|n| strangers.line(at(5000 + n))).collect();
        assert_eq!(first[..10], [Some(0); 10]);
        assert_eq!(first[10..], [None; 3]);
        assert_eq!(strangers.line(at(6000)), Some(3));
        assert_eq!(strangers.line(at(6001)), Some(0));
    }
}

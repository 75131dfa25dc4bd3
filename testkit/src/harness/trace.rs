//! The log of a run, with virtual times.

use std::cell::RefCell;
use std::rc::Rc;

use antiphon_base::time::{Clock, SystemClock};
use tokio::time::Instant;

/// The log of a run; cheap to clone.
#[derive(Debug, Clone)]
pub struct Trace {
    lines: Rc<RefCell<Vec<String>>>,
    start: Instant,
}

impl Trace {
    /// An empty log, whose times count from `start`.
    pub fn new(start: Instant) -> Self {
        Self { lines: Rc::default(), start }
    }

    pub fn say(&self, line: String) {
        let at = SystemClock.now() - self.start;
        self.lines.borrow_mut().push(format!("{:>10.6} {line}", at.as_secs_f64()));
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }
}

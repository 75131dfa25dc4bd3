//! Decides which rows of reminders are read, and which are handed to their entities when.
//!
//! ```text
//!            holds the lease, time is over           rows that are due
//!   waits ------------------------------> reads ----------------------> hands over, waits
//! ```
//!
//! An entity answers nothing: it removes the row when the reminder has fired. So a row is *under
//! way* from the first time that it is handed over until a read does not find it any more. If it is
//! still there after a wait, it is handed over again; the wait grows with each time.
//!
//! A read begins with the row that is due first. A page full of rows that are all known is followed
//! by the page behind it. A row that was handed over more than once is *stuck*: it takes no room of
//! the new ones, so that entities that fail do not keep out others. When too many are stuck, the
//! one with the most tries is forgotten.
//!
//! The scanner goes *round*: a row that is not known is handed over when it is behind all that this
//! round has handed over, so each row has its turn before any has a second one, however many are
//! stuck. The round ends when no further row is due; where all rows find room, each read is a
//! round. Within a round, reads begin at the first row that is under way.
//!
//! Invariants: at most `in_flight_max` rows are under way and not stuck, and at most as many are
//! stuck; one page at a time is read; without the lease nothing is read, under way or handed over.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon_base::backoff::{Backoff, Jitter};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::store::ReminderRow;
use tokio::time::Instant;

/// Limits of a scanner.
#[derive(Debug, Clone)]
pub struct ScannerSettings {
    /// Time between two reads when nothing is due.
    pub interval: Duration,
    /// Most rows that are under way and not stuck, most that are stuck, and most of one read.
    pub in_flight_max: usize,
    /// First wait before a row that is still there is handed over again; doubles each time.
    pub retry_min: Duration,
    /// Longest such wait.
    pub retry_max: Duration,
}

/// The rows of a read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The rows of this place, in their order.
    pub rows: Vec<ReminderRow>,
    /// The last row of a full page, of whatever place; `None`: no further row is due.
    pub last: Option<ReminderRow>,
}

/// A fact for the scanner.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// This node holds the lease of its place, or not.
    Lease(bool),
    /// Time has passed.
    Tick,
    /// The answer to `Read`; `None`: the read failed.
    Page(Option<Page>),
}

/// A request of the scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Read the due rows behind this one, at most this number. Answered by `Page`.
    Read(Option<ReminderRow>, usize),
    /// Hand the row to its entity; true: for the first time, as far as is known.
    HandOver(ReminderRow, bool),
}

/// A row that is under way.
#[derive(Debug)]
struct UnderWay {
    /// The number of times that it was handed over.
    tries: u32,
    /// The time at which it is handed over again, if it is still there.
    again_at: Instant,
}

impl UnderWay {
    fn is_stuck(&self) -> bool {
        self.tries > 1
    }
}

/// The scanner of one entity type at one place.
#[derive(Debug)]
pub struct Scanner {
    settings: ScannerSettings,
    holds: bool,
    /// The time of the next read; `None` while a page is read.
    read_at: Option<Instant>,
    /// The row behind which the next page begins.
    after: Option<ReminderRow>,
    /// The last row that this round has handed over for the first time; `None`: the round begins.
    reached: Option<ReminderRow>,
    under_way: BTreeMap<ReminderRow, UnderWay>,
    /// Number of rows that are under way and not stuck.
    new_count: usize,
    /// The reads in a row that failed.
    failures: u32,
}

impl Scanner {
    /// A scanner without the lease.
    pub fn new(now: Instant, settings: ScannerSettings) -> Self {
        Self {
            settings,
            holds: false,
            read_at: Some(now),
            after: None,
            reached: None,
            under_way: BTreeMap::new(),
            new_count: 0,
            failures: 0,
        }
    }

    /// Number of rows that are under way.
    pub fn under_way_count(&self) -> usize {
        self.under_way.len()
    }

    /// The time of the next `Tick` that does something.
    pub fn due(&self) -> Option<Instant> {
        self.read_at.filter(|_| self.holds)
    }

    /// Advances the scanner by one input.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let effects = match input {
            Input::Lease(holds) => {
                self.lease(now, holds);
                Vec::new()
            }
            Input::Tick => self.tick(now),
            Input::Page(page) => self.page(now, page),
        };
        self.check();
        effects
    }

    fn lease(&mut self, now: Instant, holds: bool) {
        if holds == self.holds {
            return;
        }
        // another holder goes on without knowledge of the rows that are under way
        self.holds = holds;
        self.under_way.clear();
        (self.after, self.reached, self.new_count, self.failures) = (None, None, 0, 0);
        if self.read_at.is_some() {
            self.read_at = Some(now);
        }
    }

    fn tick(&mut self, now: Instant) -> Vec<Effect> {
        if !self.holds || self.read_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.read_at = None;
        vec![Effect::Read(self.after.clone(), self.settings.in_flight_max)]
    }

    fn page(&mut self, now: Instant, page: Option<Page>) -> Vec<Effect> {
        assert!(self.read_at.is_none(), "a page that nobody has asked for");
        if !self.holds {
            self.read_at = Some(now);
            return Vec::new();
        }
        let Some(Page { rows, last }) = page else {
            self.failures = self.failures.saturating_add(1);
            let wait = self.backoff().delay(self.failures, Jitter::NONE);
            self.read_at = Some(now + wait.max(self.settings.interval));
            return Vec::new();
        };
        self.failures = 0;
        self.forget_gone(&rows, last.as_ref());
        let mut effects = Vec::new();
        let mut has_room = true;
        for row in rows {
            // a new row without room keeps out the new ones behind it, but not those that are under
            // way: these make room when they become stuck
            if !has_room && !self.under_way.contains_key(&row) {
                continue;
            }
            match self.hand_over(now, &row) {
                Some(true) => {
                    let is_first = self.under_way[&row].tries == 1;
                    effects.push(Effect::HandOver(row, is_first));
                }
                Some(false) => {}
                None => has_room = false,
            }
        }
        // more may be due behind a full page, also when there is no new row in it; and rows that
        // are under way there may be gone
        let is_open = has_room && (self.has_room() || effects.is_empty());
        if last.is_none() && has_room {
            self.reached = None;
        }
        self.after = last.filter(|last| is_open || self.is_under_way_behind(last));
        let wait = if self.after.is_some() {
            self.settings.interval / 10
        } else {
            self.after = self.begin_behind();
            self.settings.interval
        };
        self.read_at = Some(now + wait);
        effects
    }

    /// The row behind which the first page begins: all that this round has handed over and that are
    /// not under way any more need no read.
    fn begin_behind(&self) -> Option<ReminderRow> {
        let reached = self.reached.as_ref()?;
        let first = self.under_way.first_key_value().map(|(row, _)| row);
        let Some(first) = first.filter(|first| *first <= reached) else {
            return Some(reached.clone());
        };
        let before = first.set_by.value().checked_sub(1)?;
        Some(ReminderRow { set_by: SequenceNr::new(before), ..first.clone() })
    }

    /// Forgets the rows that a read has passed by without finding them.
    fn forget_gone(&mut self, rows: &[ReminderRow], last: Option<&ReminderRow>) {
        let after = self.after.as_ref();
        let is_read = |row: &ReminderRow| {
            after.is_none_or(|after| row > after) && last.is_none_or(|last| row <= last)
        };
        // the rows of a page are sorted
        self.under_way.retain(|row, _| !is_read(row) || rows.binary_search(row).is_ok());
        self.new_count = self.under_way.values().filter(|known| !known.is_stuck()).count();
    }

    /// Returns whether a row is handed over now; `None`: there is no room for it. A row that had
    /// its turn in this round is not.
    fn hand_over(&mut self, now: Instant, row: &ReminderRow) -> Option<bool> {
        let backoff = self.backoff();
        if let Some(known) = self.under_way.get_mut(row) {
            let is_again = now >= known.again_at;
            if is_again {
                self.new_count -= usize::from(!known.is_stuck());
                known.tries = known.tries.saturating_add(1);
                known.again_at = now + backoff.delay(known.tries, Jitter::NONE);
                self.forget_a_stuck_one(row);
            }
            return Some(is_again);
        }
        if self.reached.as_ref().is_some_and(|reached| row <= reached) {
            return Some(false);
        }
        if !self.has_room() {
            return None;
        }
        self.reached = Some(row.clone());
        let again_at = now + backoff.delay(1, Jitter::NONE);
        self.under_way.insert(row.clone(), UnderWay { tries: 1, again_at });
        self.new_count += 1;
        Some(true)
    }

    /// Forgets the stuck row with the most tries, other than `row`, which was just handed over
    /// again, if too many are stuck.
    fn forget_a_stuck_one(&mut self, row: &ReminderRow) {
        if self.under_way.len() - self.new_count <= self.settings.in_flight_max {
            return;
        }
        let others =
            self.under_way.iter().filter(|(other, known)| *other != row && known.is_stuck());
        if let Some(most) = others.max_by_key(|(_, known)| known.tries).map(|(row, _)| row.clone())
        {
            self.under_way.remove(&most);
        }
    }

    fn is_under_way_behind(&self, row: &ReminderRow) -> bool {
        self.under_way.last_key_value().is_some_and(|(last, _)| last > row)
    }

    /// Returns whether another row could be handed over.
    fn has_room(&self) -> bool {
        self.new_count < self.settings.in_flight_max
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.settings.retry_min, self.settings.retry_max)
    }

    /// Panics when an invariant is broken.
    fn check(&self) {
        let (count, max) = (self.under_way.len(), self.settings.in_flight_max);
        let new = self.under_way.values().filter(|known| !known.is_stuck()).count();
        assert_eq!(new, self.new_count, "counted right");
        assert!(new <= max, "{new} rows are under way, of at most {max}");
        assert!(count - new <= max, "{} rows are stuck, of at most {max}", count - new);
        let is_idle = count == 0 && self.after.is_none() && self.reached.is_none();
        assert!(self.holds || is_idle, "at work without the lease");
        assert!(self.under_way.values().all(|known| known.tries > 0), "handed over never");
    }
}

//! Decides when the name of a node is free: no earlier incarnation of the name is in the members
//! table, or the earlier ones are dead and sealed.
//!
//! ```text
//!           rows of the name               time over, no renewal
//!   New ----------------------> Watching ----------------------> Declaring --> Sealing --> Writing
//!    |                             | |                            ^  | another node   (each row)|
//!    | none      a row was renewed | | all are gone               |  | was faster               |
//!    v              or is new      v v                            +--+--------------------------+
//!   free                     in use  free                                  none left: free
//! ```
//!
//! A row that is renewed belongs to a node that lives. A row that was not renewed for
//! `renew_timeout` and a tenth belongs to a node that answers nothing any more, so that its writer
//! can be sealed.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon_base::time::Timestamp;
use antiphon_persistence::store::RowVersion;
use tokio::time::Instant;

use crate::NodeId;
use crate::membership::{MemberRow, MemberState, Outcome, Versioned};
use crate::node::settings::NodeSettings;

/// A fact for the core.
#[derive(Debug)]
pub(crate) enum Input {
    /// The members table of the place.
    Read(Vec<Versioned>),
    /// The end of a change.
    Changed(Outcome),
    /// The writer is sealed. The value is the time of day.
    Sealed(Timestamp),
}

/// A request of the core. Each but the last two is answered by an input.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Read the table after this time.
    ReadAfter(Duration),
    /// Change the row that has this version.
    Change(NodeId, RowVersion, Box<MemberRow>),
    /// Seal the writer of the node.
    Seal(NodeId),
    /// The name is used by this node, which lives.
    InUse(NodeId),
    /// The name is free.
    Free,
}

#[derive(Debug)]
enum State {
    New,
    Watching { renewals: BTreeMap<NodeId, u64>, until: Instant },
    Declaring { row: Box<MemberRow>, rest: Vec<Versioned>, until: Instant },
    Sealing { version: RowVersion, row: Box<MemberRow>, rest: Vec<Versioned>, until: Instant },
    Writing { rest: Vec<Versioned>, until: Instant },
    Over,
}

/// The wait for the earlier incarnations of one name.
#[derive(Debug)]
pub(crate) struct NamesakeCore {
    name: String,
    /// Time without a renewal after which an incarnation is sealed.
    seal_after: Duration,
    /// Time between two reads of the table.
    interval: Duration,
    state: State,
}

impl NamesakeCore {
    /// Begins for the node of these settings.
    pub(crate) fn new(settings: &NodeSettings) -> Self {
        Self {
            name: settings.name.clone(),
            seal_after: settings.membership().seal_after(),
            interval: settings.tick_interval.max(settings.renew_timeout / 20),
            state: State::New,
        }
    }

    /// Advances by one input.
    pub(crate) fn step(&mut self, now: Instant, input: Input) -> Effect {
        let effect = match (std::mem::replace(&mut self.state, State::Over), input) {
            (State::New, Input::Read(rows)) => self.begin(now, &rows),
            (State::Watching { renewals, until }, Input::Read(rows)) => {
                self.watched(now, renewals, until, rows)
            }
            (State::Declaring { row, rest, until }, Input::Changed(outcome)) => {
                self.declared(outcome, row, rest, until)
            }
            (State::Sealing { version, mut row, rest, until }, Input::Sealed(wall)) => {
                (row.sealed, row.ended_micros) = (true, wall.as_micros());
                self.state = State::Writing { rest, until };
                Effect::Change(row.id.clone(), version, row)
            }
            // another node may have written that it is sealed
            (State::Writing { rest, until }, Input::Changed(_)) => self.next(rest, until),
            (state, input) => panic!("`{}` in {state:?} cannot take {input:?}", self.name),
        };
        self.check(now);
        effect
    }

    fn is_namesake(&self, row: &MemberRow) -> bool {
        row.id.name() == self.name && row.state != MemberState::Dead
    }

    fn begin(&mut self, now: Instant, rows: &[Versioned]) -> Effect {
        let namesakes = rows.iter().map(|(_, row)| row).filter(|row| self.is_namesake(row));
        let renewals: BTreeMap<_, _> =
            namesakes.map(|row| (row.id.clone(), row.renewals)).collect();
        if renewals.is_empty() {
            return Effect::Free;
        }
        self.state = State::Watching { renewals, until: now + self.seal_after };
        Effect::ReadAfter(self.interval)
    }

    fn watched(
        &mut self,
        now: Instant,
        renewals: BTreeMap<NodeId, u64>,
        until: Instant,
        mut rows: Vec<Versioned>,
    ) -> Effect {
        rows.retain(|(_, row)| self.is_namesake(row));
        let lives = |row: &MemberRow| renewals.get(&row.id) != Some(&row.renewals);
        if let Some((_, row)) = rows.iter().find(|(_, row)| lives(row)) {
            return Effect::InUse(row.id.clone());
        }
        if now < until && !rows.is_empty() {
            self.state = State::Watching { renewals, until };
            return Effect::ReadAfter(self.interval);
        }
        rows.reverse();
        self.next(rows, until)
    }

    /// Ends the last of the rows.
    fn next(&mut self, mut rest: Vec<Versioned>, until: Instant) -> Effect {
        let Some((version, mut row)) = rest.pop() else { return Effect::Free };
        row.state = MemberState::Dead;
        row.ended_why = "by the next incarnation of its name: it did not renew its row".into();
        self.state = State::Declaring { row: Box::new(row.clone()), rest, until };
        Effect::Change(row.id.clone(), version, Box::new(row))
    }

    fn declared(
        &mut self,
        outcome: Outcome,
        row: Box<MemberRow>,
        rest: Vec<Versioned>,
        until: Instant,
    ) -> Effect {
        match outcome {
            Outcome::Applied(version) => {
                let id = row.id.clone();
                self.state = State::Sealing { version, row, rest, until };
                Effect::Seal(id)
            }
            // the earlier incarnation was frozen, and woke at the last moment
            Outcome::Conflict(Some((_, row))) if row.state != MemberState::Dead => {
                Effect::InUse(row.id)
            }
            // another node was faster: the lease holder seals it
            Outcome::Conflict(_) => self.next(rest, until),
            // the row says alive or dead: it is watched again
            Outcome::Failed => {
                self.state = State::New;
                Effect::ReadAfter(self.interval)
            }
        }
    }

    /// Asserts the invariants, in release builds too: a writer that is sealed too early loses the
    /// answers of a node that lives.
    pub(crate) fn check(&self, now: Instant) {
        match &self.state {
            State::Declaring { row, until, .. } | State::Sealing { row, until, .. } => {
                assert!(now >= *until, "`{}` is ended before its time is over", row.id);
                assert!(
                    row.state == MemberState::Dead && row.id.name() == self.name,
                    "`{}` is ended, although {:?} is no dead `{}`",
                    row.id,
                    row.state,
                    self.name
                );
            }
            State::New | State::Watching { .. } | State::Writing { .. } | State::Over => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::{Clock, SystemClock};

    use std::sync::Arc;

    use super::*;

    fn row(name: &str, incarnation: u64, renewals: u64) -> Versioned {
        let row = MemberRow {
            id: NodeId::new(name, incarnation).unwrap(),
            place: "p".into(),
            roles: Vec::new(),
            proxy_only: false,
            replicas: Arc::default(),
            address: String::new(),
            http_address: None,
            state: MemberState::Up,
            sealed: false,
            renewals,
            unreachable: Vec::new(),
            hosted: 0,
            ended_why: String::new(),
            ended_micros: 0,
        };
        (renewals, row)
    }

    /// A core whose time to watch is 2.2 s, and the time of its first read.
    fn watching(rows: Vec<Versioned>) -> (NamesakeCore, Instant) {
        let settings = NodeSettings { name: "a".into(), ..NodeSettings::default() };
        let (mut core, now) = (NamesakeCore::new(&settings), SystemClock.now());
        let effect = core.step(now, Input::Read(rows));
        assert_eq!(effect, Effect::ReadAfter(Duration::from_millis(100)));
        (core, now)
    }

    const SOON: Duration = Duration::from_millis(2199);
    const OVER: Duration = Duration::from_millis(2200);

    #[test]
    fn name_without_a_living_incarnation_is_free_at_once() {
        let settings = NodeSettings { name: "a".into(), ..NodeSettings::default() };
        let mut core = NamesakeCore::new(&settings);
        let mut dead = row("a", 1, 5);
        dead.1.state = MemberState::Dead;
        let rows = vec![row("b", 1, 5), dead];
        assert_eq!(core.step(SystemClock.now(), Input::Read(rows)), Effect::Free);
    }

    #[test]
    fn row_that_is_renewed_or_new_means_that_the_name_is_in_use() {
        for now_there in [row("a", 1, 6), row("a", 2, 0)] {
            let id = now_there.1.id.clone();
            let (mut core, now) = watching(vec![row("a", 1, 5)]);
            let effect = core.step(now + OVER, Input::Read(vec![now_there]));
            assert_eq!(effect, Effect::InUse(id));
        }
    }

    #[test]
    fn silent_incarnation_is_sealed_after_the_margin_and_not_before() {
        let (mut core, now) = watching(vec![row("a", 1, 5)]);
        let effect = core.step(now + SOON, Input::Read(vec![row("a", 1, 5)]));
        assert_eq!(effect, Effect::ReadAfter(Duration::from_millis(100)));
        let effect = core.step(now + OVER, Input::Read(vec![row("a", 1, 5)]));
        let Effect::Change(id, 5, declared) = effect else { panic!("{effect:?}") };
        assert!(declared.state == MemberState::Dead && !declared.sealed);

        let effect = core.step(now + OVER, Input::Changed(Outcome::Applied(6)));
        assert_eq!(effect, Effect::Seal(id));
        let effect = core.step(now + OVER, Input::Sealed(Timestamp::from_micros(7)));
        let Effect::Change(_, 6, sealed) = effect else { panic!("{effect:?}") };
        assert!(sealed.sealed && sealed.ended_micros == 7);
        let effect = core.step(now + OVER, Input::Changed(Outcome::Applied(7)));
        assert_eq!(effect, Effect::Free);
    }

    #[test]
    fn incarnation_that_wakes_at_the_last_moment_keeps_its_name() {
        let (mut core, now) = watching(vec![row("a", 1, 5)]);
        core.step(now + OVER, Input::Read(vec![row("a", 1, 5)]));
        let awake = Outcome::Conflict(Some(row("a", 1, 6)));
        let effect = core.step(now + OVER, Input::Changed(awake));
        assert_eq!(effect, Effect::InUse(NodeId::new("a", 1).unwrap()));
    }

    #[test]
    fn row_that_another_node_ends_is_left_to_that_node() {
        let (mut core, now) = watching(vec![row("a", 1, 5), row("a", 2, 5)]);
        core.step(now + OVER, Input::Read(vec![row("a", 1, 5), row("a", 2, 5)]));
        let effect = core.step(now + OVER, Input::Changed(Outcome::Conflict(None)));
        assert!(matches!(&effect, Effect::Change(id, 5, _) if id.incarnation() == 2), "{effect:?}");
    }

    #[test]
    fn change_of_unknown_outcome_is_followed_by_another_watch() {
        let (mut core, now) = watching(vec![row("a", 1, 5)]);
        core.step(now + OVER, Input::Read(vec![row("a", 1, 5)]));
        let effect = core.step(now + OVER, Input::Changed(Outcome::Failed));
        assert_eq!(effect, Effect::ReadAfter(Duration::from_millis(100)));
        let again = core.step(now + OVER, Input::Read(vec![row("a", 1, 5)]));
        assert_eq!(again, Effect::ReadAfter(Duration::from_millis(100)), "watched anew");
    }

    #[test]
    #[should_panic(expected = "cannot take Sealed")]
    fn seal_that_nobody_asked_for_is_a_bug() {
        let (mut core, now) = watching(vec![row("a", 1, 5)]);
        core.step(now, Input::Sealed(Timestamp::from_micros(7)));
    }
}

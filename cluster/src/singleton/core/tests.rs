//! The core of a singleton, by exact effects.

use antiphon_base::time::{Clock, SystemClock};
use antiphon_runtime::Member;

use super::*;

const LIVE: bool = true;

fn node(name: &str) -> NodeId {
    NodeId::new(name, 1).unwrap()
}

/// A name for which the nodes come in this order.
fn name_for(first: &NodeId, second: &NodeId) -> Arc<str> {
    let names = (0..).map(|number| format!("s{number}"));
    { names }.find(|name| order::is_before(name, first, second)).unwrap().into()
}

fn members(all: &[(&NodeId, MemberState, bool)]) -> Input {
    let member = |(id, state, sealed): &(&NodeId, MemberState, bool)| Member {
        id: (*id).clone(),
        place: "p".into(),
        roles: Vec::new(),
        proxy_only: false,
        replicas: Arc::default(),
        address: String::new(),
        http_address: None,
        state: *state,
        sealed: *sealed,
    };
    Input::Members(Arc::new(Membership::new(all.iter().map(member))))
}

fn held_by(holder: Option<&NodeId>, token: u64) -> LeaseRow {
    LeaseRow { holder: holder.cloned(), token, asked_by: None }
}

struct Bench {
    core: SingletonCore,
    now: Instant,
    me: NodeId,
    other: NodeId,
}

impl Bench {
    /// A node that comes first or second in the order, beside another one; both are up.
    fn new(is_first: bool) -> Self {
        let (me, other) = (node("a"), node("b"));
        let name = if is_first { name_for(&me, &other) } else { name_for(&other, &me) };
        let times = Times {
            turn: Duration::from_millis(200),
            settle: Duration::from_secs(10),
            unknown: Duration::from_secs(4),
            retry_delay_max: Duration::from_secs(2),
            restart_delay_max: Duration::from_secs(30),
        };
        let core = SingletonCore::new(me.clone(), name, times);
        let mut bench = Self { core, now: SystemClock.now(), me, other };
        let up =
            members(&[(&bench.me, MemberState::Up, false), (&bench.other, MemberState::Up, false)]);
        assert_eq!(bench.step(up), []);
        bench
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        self.core.step(self.now, LIVE, input)
    }

    fn read(&mut self, row: VersionedLease) -> Vec<Effect> {
        let changes = self.core.changes();
        self.step(Input::Read(row, changes))
    }

    /// Takes the free lease, and starts the actor with token 1.
    fn take(&mut self) {
        let taken = held_by(Some(&self.me), 1);
        assert_eq!(self.read(None), [Effect::Change(None, taken.clone())]);
        let started = self.step(Input::Changed(Some(Some((1, taken)))));
        assert_eq!(started, [Effect::Start { run: 1, token: 1 }]);
    }
}

#[test]
fn the_first_in_the_order_takes_a_free_lease_at_once_and_the_second_a_turn_later() {
    Bench::new(true).take();
    let mut second = Bench::new(false);
    assert_eq!(second.read(None), []);
    second.now += Duration::from_millis(199);
    assert_eq!(second.step(Input::Tick), []);
    second.now += Duration::from_millis(1);
    let taken = held_by(Some(&second.me), 1);
    assert_eq!(second.step(Input::Tick), [Effect::Change(None, taken)]);
}

#[test]
fn the_lease_of_a_member_is_taken_when_it_is_dead_and_sealed_and_not_before() {
    let mut bench = Bench::new(true);
    let row = Some((4, held_by(Some(&bench.other.clone()), 7)));
    assert_eq!(bench.read(row), []);
    for (state, sealed) in [(MemberState::Leaving, false), (MemberState::Dead, false)] {
        let view = members(&[
            (&bench.me.clone(), MemberState::Up, false),
            (&bench.other.clone(), state, sealed),
        ]);
        assert_eq!(bench.step(view), []);
    }
    let gone = members(&[
        (&bench.me.clone(), MemberState::Up, false),
        (&bench.other.clone(), MemberState::Dead, true),
    ]);
    let taken = held_by(Some(&bench.me), 8);
    assert_eq!(bench.step(gone), [Effect::Change(Some(4), taken)]);
}

#[test]
fn a_holder_that_nobody_knows_counts_as_gone_after_a_while() {
    let mut bench = Bench::new(true);
    let stranger = node("stranger");
    assert_eq!(bench.read(Some((4, held_by(Some(&stranger), 7)))), []);
    bench.now += Duration::from_secs(4);
    let taken = held_by(Some(&bench.me), 8);
    assert_eq!(bench.step(Input::Tick), [Effect::Change(Some(4), taken)]);
}

#[test]
fn a_node_that_may_not_answer_kills_the_actor_and_starts_it_when_it_is_live_again() {
    let mut bench = Bench::new(true);
    bench.take();
    let killed = bench.core.step(bench.now, false, Input::Tick);
    assert_eq!(killed, [Effect::Kill { run: 1 }, Effect::Ends(Why::NotLive)]);
    assert_eq!(bench.step(Input::Tick), [], "it waits for the end");
    assert_eq!(bench.step(Input::Ended(1)), [Effect::Start { run: 2, token: 1 }]);
}

#[test]
fn an_actor_whose_lease_another_one_has_is_killed() {
    let mut bench = Bench::new(true);
    bench.take();
    let killed = bench.read(Some((2, held_by(Some(&bench.other.clone()), 2))));
    assert_eq!(killed, [Effect::Kill { run: 1 }, Effect::Ends(Why::NotLive)]);
}

#[test]
fn a_node_that_leaves_gives_the_lease_back_after_the_actor_has_ended() {
    let mut bench = Bench::new(true);
    bench.take();
    let stopped = bench.step(Input::Leave);
    assert_eq!(stopped, [Effect::Stop { run: 1 }, Effect::Ends(Why::Leaving)]);
    let free = held_by(None, 1);
    assert_eq!(bench.step(Input::Ended(1)), [Effect::Change(Some(1), free.clone())]);
    assert!(!bench.core.has_left());
    assert_eq!(bench.step(Input::Changed(Some(Some((2, free))))), []);
    assert!(bench.core.has_left());
    bench.now += Duration::from_secs(60);
    assert_eq!(bench.step(Input::Tick), [], "it does not take it again");
}

#[test]
fn an_earlier_member_asks_when_it_has_settled_and_the_holder_hands_over() {
    let mut bench = Bench::new(true);
    let (me, other) = (bench.me.clone(), bench.other.clone());
    assert_eq!(bench.read(Some((4, held_by(Some(&other), 7)))), []);
    bench.now += Duration::from_secs(10);
    let asked = LeaseRow { asked_by: Some(me.clone()), ..held_by(Some(&other), 7) };
    assert_eq!(bench.step(Input::Tick), [Effect::Change(Some(4), asked)]);

    let mut holder = Bench::new(false);
    let taken = held_by(Some(&me), 7);
    assert_eq!(holder.read(Some((4, taken))), [Effect::Start { run: 1, token: 7 }]);
    let asked = LeaseRow { asked_by: Some(other.clone()), ..held_by(Some(&me), 7) };
    let stopped = holder.read(Some((5, asked.clone())));
    assert_eq!(stopped, [Effect::Stop { run: 1 }, Effect::Ends(Why::Moved)]);
    let free = LeaseRow { holder: None, ..asked };
    assert_eq!(holder.step(Input::Ended(1)), [Effect::Change(Some(5), free)]);
}

#[test]
fn no_actor_starts_while_a_release_may_still_take_effect() {
    let mut bench = Bench::new(false);
    let (me, other) = (bench.me.clone(), bench.other.clone());
    let mine = held_by(Some(&me), 7);
    bench.read(Some((4, mine.clone())));
    let asked = LeaseRow { asked_by: Some(other.clone()), ..mine };
    bench.read(Some((5, asked.clone())));
    bench.step(Input::Ended(1));
    assert_eq!(bench.step(Input::Changed(None)), [], "the release has no known outcome");
    // the one that has asked is dead, and the row is as it was
    let alone = members(&[(&me, MemberState::Up, false), (&other, MemberState::Dead, true)]);
    assert_eq!(bench.step(alone), []);
    bench.now += Duration::from_secs(2);
    let again = bench.read(Some((5, asked.clone())));
    assert_eq!(again, [Effect::Change(Some(5), asked.clone())], "a new version first");
    let started = bench.step(Input::Changed(Some(Some((6, asked)))));
    assert_eq!(started, [Effect::Start { run: 2, token: 7 }]);
}

#[test]
fn an_actor_that_ends_by_itself_is_started_again_after_waits_that_grow() {
    let mut bench = Bench::new(true);
    bench.take();
    for (run, wait) in [(1, 100), (2, 200), (3, 400)] {
        assert_eq!(bench.step(Input::Ended(run)), [Effect::Ends(Why::Failed)]);
        assert_eq!(bench.step(Input::Tick), []);
        bench.now += Duration::from_millis(wait);
        let started = bench.step(Input::Tick);
        assert_eq!(started, [Effect::Start { run: run + 1, token: 1 }]);
    }
}

//! Routes the commands of one shard.
//!
//! ```text
//!   Nowhere --At(me)--> Here --Moving(me)--> Draining --Drained--> Nowhere (reports)
//!      |  ^               |
//!  At(b)  Moving(b)       +--At(b): this node was taken for dead; its shard is killed
//!      v  |
//!    Remote(b)
//! ```
//!
//! `At(me)` while the shard drains comes from a newer coordinator, which knows nothing of the move:
//! the shard starts anew when it has drained. A node that leaves stops its shards with `StopHere`;
//! after that `At(me)` starts none of them: the homes may be older than the word that it leaves.
//!
//! A command that arrives takes the path [`Route::send`], which allocates nothing: most commands
//! are for an active entity of a shard that lives here. All other facts take [`Route::step`].
//!
//! Invariants: a command ends in exactly one `Local`, `LocalIfActive`, `Remote` or refusal, unless
//! `take_where` takes it out; commands that wait go before later commands; at most
//! `shard_buffer_max` commands wait; a fenced node hosts nothing.

use std::collections::VecDeque;
use std::time::Duration;

use antiphon_runtime::NodeId;
use tokio::time::Instant;

use crate::coordinator::{Home, MoveId};

/// Limits of a route.
#[derive(Debug, Clone)]
pub struct RouteSettings {
    /// Most commands that wait for a home.
    pub shard_buffer_max: usize,
    /// Longest time that a command waits.
    pub home_timeout: Duration,
}

/// The connection to the home of the shard, direct or through a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Commands can go there now.
    Reached,
    /// Commands have to wait.
    Unreached,
}

/// The work that is put aside for the shard at this node (`slot`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backlog {
    /// More can be put aside.
    Low,
    /// Only an active entity, for which nothing is put aside, may get a command.
    High,
}

/// A fact for the route.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The home that the coordinator names; `None`: the shard has no home.
    Home(Option<Home>),
    /// The shard that had to stop here has stopped.
    Drained,
    /// Stop the shard here without a hand-off, if it is here, and do not start it again: the node
    /// leaves.
    StopHere,
    /// The node must not host anything any more.
    Fenced,
    /// Time has passed; whether the home can be reached now.
    Tick(Reach),
}

/// A request of the route.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect<T> {
    /// Handle the command here.
    Local(T),
    /// Handle the command here if its entity is active; else refuse it as in `RefuseFull`.
    LocalIfActive(T),
    /// Send the command to the node.
    Remote(NodeId, T),
    /// Refuse the command: too many wait, or too much work is put aside.
    RefuseFull(T),
    /// Refuse the command: no home was found in time.
    RefuseNotHere(T),
    /// Begin to host the shard.
    Start,
    /// Let all entities finish and stop; answered by `Drained`.
    Drain,
    /// Stop all entities at once.
    Kill,
    /// Tell the coordinator that the shard has stopped here.
    ReportStopped(MoveId),
}

#[derive(Debug, Clone, PartialEq)]
enum Target {
    Nowhere,
    Remote(NodeId),
    Here,
    /// The id of the coordinator's move; `None` when the node stops the shard by itself.
    Draining(Option<MoveId>),
}

/// The route of the commands of one shard.
#[derive(Debug)]
pub struct Route<T> {
    me: NodeId,
    settings: RouteSettings,
    target: Target,
    waiting: VecDeque<(Instant, T)>,
    /// The report that is repeated until the coordinator has heard it.
    report: Option<MoveId>,
    /// True when the shard starts anew here after it has drained: a newer coordinator knows nothing
    /// of the move.
    begins_anew: bool,
    /// True when the node leaves and has stopped the shard by itself.
    is_over: bool,
    is_fenced: bool,
}

impl<T> Route<T> {
    /// A route without a home.
    pub fn new(me: NodeId, settings: RouteSettings) -> Self {
        Self {
            me,
            settings,
            target: Target::Nowhere,
            waiting: VecDeque::new(),
            report: None,
            begins_anew: false,
            is_over: false,
            is_fenced: false,
        }
    }

    /// The home, if it is another node.
    pub fn remote(&self) -> Option<&NodeId> {
        if let Target::Remote(node) = &self.target { Some(node) } else { None }
    }

    /// Returns whether the shard lives here and takes commands.
    pub fn is_here(&self) -> bool {
        self.target == Target::Here
    }

    /// Returns whether a command that arrives now is `Local` or `LocalIfActive`.
    pub fn is_open(&self) -> bool {
        self.waiting.is_empty() && self.is_here()
    }

    /// Returns whether the shard is here, draining or not.
    pub fn is_hosting(&self) -> bool {
        matches!(self.target, Target::Here | Target::Draining(_))
    }

    /// Number of commands that wait.
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// Takes out the waiting commands for which `is_over` is true, in order.
    pub fn take_where(&mut self, is_over: impl Fn(&T) -> bool) -> Vec<T> {
        if !self.waiting.iter().any(|(_, message)| is_over(message)) {
            return Vec::new();
        }
        let waiting = std::mem::take(&mut self.waiting);
        let (over, left): (VecDeque<_>, VecDeque<_>) =
            waiting.into_iter().partition(|(_, message)| is_over(message));
        self.waiting = left;
        over.into_iter().map(|(_, message)| message).collect()
    }

    /// Takes a command that arrives, and returns its way; `None`: the command waits. `reach` is
    /// asked only when the home is another node.
    pub fn send(
        &mut self,
        now: Instant,
        message: T,
        backlog: Backlog,
        reach: impl FnOnce(&NodeId) -> Reach,
    ) -> Option<Effect<T>> {
        let is_first = self.waiting.is_empty();
        if self.is_open() {
            return Some(match backlog {
                Backlog::Low => Effect::Local(message),
                Backlog::High => Effect::LocalIfActive(message),
            });
        }
        if backlog == Backlog::High {
            return Some(Effect::RefuseFull(message));
        }
        if let Target::Remote(node) = &self.target
            && is_first
            && reach(node) == Reach::Reached
        {
            return Some(Effect::Remote(node.clone(), message));
        }
        if self.is_fenced {
            return Some(Effect::RefuseNotHere(message));
        }
        if self.waiting.len() >= self.settings.shard_buffer_max {
            return Some(Effect::RefuseFull(message));
        }
        self.waiting.push_back((now, message));
        self.check();
        None
    }

    /// Advances the route by one input.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Effect<T>> {
        let mut effects = Vec::new();
        match input {
            Input::Home(home) => self.home(home, &mut effects),
            Input::Drained => self.drained(&mut effects),
            Input::StopHere => {
                (self.is_over, self.begins_anew) = (true, false);
                if self.target == Target::Here {
                    self.target = Target::Draining(None);
                    effects.push(Effect::Drain);
                }
            }
            Input::Fenced => {
                self.is_fenced = true;
                self.kill(&mut effects);
                self.refuse_all(&mut effects);
            }
            Input::Tick(reach) => self.tick(now, reach, &mut effects),
        }
        self.check();
        effects
    }

    fn home(&mut self, home: Option<Home>, effects: &mut Vec<Effect<T>>) {
        self.report = None;
        if self.is_fenced {
            return;
        }
        match home {
            Some(Home::At(node)) if node == self.me => match self.target {
                Target::Here | Target::Draining(None) => {}
                // homes that were published before the coordinator knew that the node leaves
                Target::Draining(Some(_)) if self.is_over => {}
                Target::Nowhere | Target::Remote(_) if self.is_over => {
                    self.target = Target::Nowhere;
                }
                Target::Nowhere | Target::Remote(_) => {
                    self.target = Target::Here;
                    effects.push(Effect::Start);
                    self.flush(effects);
                }
                Target::Draining(Some(_)) => self.begins_anew = true,
            },
            Some(Home::Moving(node, id)) if node == self.me => match self.target {
                Target::Here => {
                    self.target = Target::Draining(Some(id));
                    effects.push(Effect::Drain);
                }
                Target::Draining(_) => {
                    self.target = Target::Draining(Some(id));
                    self.begins_anew = false;
                }
                Target::Nowhere | Target::Remote(_) => {
                    self.target = Target::Nowhere;
                    self.report = Some(id);
                    effects.push(Effect::ReportStopped(id));
                }
            },
            Some(Home::At(node)) => {
                self.kill(effects);
                self.target = Target::Remote(node);
            }
            Some(Home::Moving(..)) | None => {
                self.kill(effects);
                self.target = Target::Nowhere;
            }
        }
    }

    fn kill(&mut self, effects: &mut Vec<Effect<T>>) {
        if self.is_hosting() {
            effects.push(Effect::Kill);
            self.target = Target::Nowhere;
            self.begins_anew = false;
        }
    }

    fn drained(&mut self, effects: &mut Vec<Effect<T>>) {
        let Target::Draining(id) = self.target else { return };
        if std::mem::take(&mut self.begins_anew) {
            self.target = Target::Here;
            effects.push(Effect::Start);
            return self.flush(effects);
        }
        self.target = Target::Nowhere;
        if let Some(id) = id {
            self.report = Some(id);
            effects.push(Effect::ReportStopped(id));
        }
    }

    fn tick(&mut self, now: Instant, reach: Reach, effects: &mut Vec<Effect<T>>) {
        if reach == Reach::Reached || self.target == Target::Here {
            self.flush(effects);
        }
        while let Some((since, _)) = self.waiting.front() {
            if now.duration_since(*since) < self.settings.home_timeout {
                break;
            }
            let (_, message) = self.waiting.pop_front().expect("just seen");
            effects.push(Effect::RefuseNotHere(message));
        }
        effects.extend(self.report.map(Effect::ReportStopped));
    }

    fn flush(&mut self, effects: &mut Vec<Effect<T>>) {
        match &self.target {
            Target::Here => {
                effects.extend(self.waiting.drain(..).map(|(_, message)| Effect::Local(message)));
            }
            Target::Remote(node) => {
                let waiting = self.waiting.drain(..);
                effects.extend(waiting.map(|(_, message)| Effect::Remote(node.clone(), message)));
            }
            Target::Nowhere | Target::Draining(_) => {}
        }
    }

    fn refuse_all(&mut self, effects: &mut Vec<Effect<T>>) {
        effects.extend(self.waiting.drain(..).map(|(_, message)| Effect::RefuseNotHere(message)));
    }

    /// Panics when an invariant is broken.
    fn check(&self) {
        assert!(self.waiting.len() <= self.settings.shard_buffer_max, "too many commands wait");
        assert!(!(self.is_fenced && self.is_hosting()), "a fenced node hosts a shard");
        assert!(!(self.is_over && self.is_here()), "a node that leaves has begun a shard again");
        assert!(!self.is_fenced || self.waiting.is_empty(), "a fenced node lets commands wait");
        assert!(
            !self.begins_anew || matches!(self.target, Target::Draining(Some(_))),
            "only a shard that drains begins anew"
        );
        assert!(
            self.report.is_none() || self.target == Target::Nowhere,
            "a shard is reported as stopped and has a home: {:?}",
            self.target
        );
    }
}

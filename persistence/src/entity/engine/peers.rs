//! The other replicas of an entity, as far as they are known here.

use std::collections::BTreeMap;

use antiphon_base::backoff::{Backoff, Jitter};
use tokio::time::Instant;

use super::news::News;
use super::shared::Shared;
use super::{Action, Now};
use crate::entity::{EntityCounters, EntitySettings, EventSourced, HeldEvent, PeerHas};
use crate::event::SequenceNr;
use crate::identity::ReplicaId;
use crate::version::VersionVector;

/// The state of one other replica, as far as it is known here.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) position: SequenceNr,
    /// True when the replica's journal is to be read because the entity has started.
    pub(super) at_start: bool,
    pub(super) reading: bool,
    /// True when the read under way does not count, and the next one begins at the first row.
    pub(super) is_anew_due: bool,
    /// Reads in a row whose first event waited for others.
    pub(super) causeless: u8,
    /// The highest number of the replica's stream at which the position was found to be of another
    /// history, and was begun anew.
    pub(super) anew_at: SequenceNr,
    /// True when the last read was begun only because commands wait for events of their sessions.
    for_session: bool,
    /// True when the last read has failed.
    pub(super) failed: bool,
    /// Reads in a row that gave nothing.
    attempts: u16,
    pub(super) retry_at: Option<Instant>,
    /// The origin whose held event keeps the replica's journal from being read on.
    pub(super) held: Option<ReplicaId>,
    /// The highest number for which the host was told of `held`.
    pub(super) held_told: SequenceNr,
    /// The look behind a held event in the replica's journal, in doubt.
    pub(super) beyond: Option<Box<Beyond>>,
    /// The events that the replica is known to have: for deleting events, never for delivery.
    pub(super) has: VersionVector,
}

/// A look for own events behind an event that is held back.
///
/// If the own journal may have gone back, the journal of a doubted replica must be read to its
/// end before the first command. An event that cannot be applied here must not prevent that: the
/// stream is read to its end, and the doubt stays open only if there is a new own event that has to
/// wait for the held event.
#[derive(Debug, Default)]
pub(super) struct Beyond {
    pub(super) position: SequenceNr,
    /// The number of an own event that the journal has not, and that cannot be taken yet.
    pub(super) waiting_own: Option<u64>,
}

impl Peer {
    /// Notes that the next read gives nothing at once, and waits longer each time.
    pub(super) fn retry_later(&mut self, now: Now, settings: &EntitySettings) {
        self.attempts = self.attempts.saturating_add(1);
        let backoff = Backoff::new(settings.pull_retry_min, settings.pull_retry_max);
        self.retry_at = Some(now.instant + backoff.delay(self.attempts.into(), Jitter::NONE));
    }

    /// Notes that a page was read. A session may name events that never come: the reads for it wait
    /// longer each time, until there is an event.
    pub(super) fn page_read(&mut self, has_moved: bool) {
        self.failed = false;
        if has_moved || !self.for_session {
            self.attempts = 0;
        }
    }

    /// Waits until a held event is taken again. Never at once: the event may have to wait until the
    /// entity is idle.
    pub(super) fn retry_held(&mut self, at: Instant, now: Now, settings: &EntitySettings) {
        self.retry_at = Some(at.max(now.instant + settings.held_retry_min));
    }

    /// Reads the journal from its beginning, now or after the read that is under way.
    pub(super) fn begin_anew(&mut self) {
        if self.reading {
            self.is_anew_due = true;
        } else {
            self.begin_at_first();
        }
    }

    /// Begins the next read at once, at the first row.
    pub(super) fn begin_at_first(&mut self) {
        (self.retry_at, self.attempts) = (None, 0);
        (self.position, self.held, self.beyond) = (SequenceNr::ZERO, None, None);
    }

    /// The number in the replica's stream after which the next read begins.
    fn read_after(&self) -> SequenceNr {
        self.beyond.as_ref().map_or(self.position, |beyond| beyond.position)
    }
}

/// The other replicas.
pub(super) struct Peers {
    /// A boxed slice, since the replicas are few and do not change while the entity runs: a tree
    /// would keep room for eleven.
    peers: Box<[(ReplicaId, Peer)]>,
    news: News,
    /// The time at which the shell will wake the engine for a repeated read.
    wake_at: Option<Instant>,
    /// True when no event was missing at the last look and nothing was heard since.
    is_calm: bool,
}

impl Peers {
    pub(super) fn new<E: EventSourced>(
        shared: &Shared<E>,
        positions: &BTreeMap<ReplicaId, SequenceNr>,
    ) -> Self {
        let others = shared.replicas().iter().filter(|replica| !shared.is_own(replica));
        // events that came before a restart and were not stored have to be read again
        let at_start = shared.settings.pull_at_start || shared.generation > 0;
        let peer = |replica: &ReplicaId| Peer {
            position: positions.get(replica).copied().unwrap_or_default(),
            at_start,
            ..Peer::default()
        };
        let peers = others.map(|replica| (replica.clone(), peer(replica))).collect();
        Self { peers, news: News::default(), wake_at: None, is_calm: false }
    }

    pub(super) fn into_news(self) -> News {
        self.news
    }

    pub(super) fn heard(&mut self, news: PeerHas) {
        self.is_calm = false;
        if let Some(peer) = self.get_mut(&news.replica) {
            peer.has.merge(&news.seen);
            peer.held_told = SequenceNr::ZERO;
            self.news.hear(news);
        }
    }

    /// Ends all waits before repeated reads: the reads are done now.
    pub(super) fn retry_now(&mut self) {
        self.is_calm = false;
        for (_, peer) in &mut *self.peers {
            peer.retry_at = None;
        }
    }

    /// Reads for one more command that waits for events of its session: at once, or
    /// `pull_retry_min` later when reads for other such commands gave nothing.
    pub(super) fn look_for_session<E: EventSourced>(&mut self, shared: &Shared<E>, now: Now) {
        self.is_calm = false;
        let soon = now.instant + shared.settings.pull_retry_min;
        for (_, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.for_session) {
            peer.retry_at = peer.retry_at.map(|at| at.min(soon));
        }
    }

    /// Returns whether the events of this origin can only be in the journals of others: its own one
    /// is not read, or the last read of it failed.
    pub(super) fn is_out_of_reach(&self, origin: &ReplicaId) -> bool {
        self.get(origin).is_none_or(|peer| peer.failed)
    }

    pub(super) fn positions(&self) -> BTreeMap<ReplicaId, SequenceNr> {
        self.peers.iter().map(|(replica, peer)| (replica.clone(), peer.position)).collect()
    }

    /// Returns whether every other replica is known to have all of `version`.
    pub(super) fn all_have(&self, version: &VersionVector) -> bool {
        self.peers.iter().all(|(_, peer)| version.is_included_in(&peer.has))
    }

    pub(super) fn is_reading(&self, replica: &ReplicaId) -> bool {
        self.get(replica).is_some_and(|peer| peer.reading)
    }

    /// Returns whether nothing is to be read, and nothing to be told.
    pub(super) fn is_calm(&self) -> bool {
        self.is_calm
    }

    pub(super) fn look_again(&mut self) {
        self.is_calm = false;
    }

    /// Returns whether another replica has told of events of this replica that are not in `seen`.
    pub(super) fn knows_more<E: EventSourced>(
        &self,
        shared: &Shared<E>,
        seen: &VersionVector,
    ) -> bool {
        let own = shared.id.replica_id();
        self.news.iter().any(|news| news.seen.get(own) > seen.get(own))
    }

    /// Returns whether there are news that were not answered yet.
    pub(super) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// Takes the news whose events are in `seen`. Returns their replicas and highest numbers.
    pub(super) fn answered_news(&mut self, seen: &VersionVector) -> Vec<(ReplicaId, SequenceNr)> {
        let mut covered = Vec::new();
        let mut news = std::mem::take(&mut self.news);
        news.retain(|news| {
            let position = self.get(&news.replica).map_or(SequenceNr::ZERO, |peer| peer.position);
            let is_read = position >= news.read_to;
            let has = is_read && news.seen.is_included_in(seen);
            if position >= news.highest && !has {
                self.begin_anew(&news.replica, news.highest);
            }
            if has {
                covered.push((news.replica.clone(), news.highest));
            }
            !has
        });
        self.news = news;
        covered
    }

    /// Tells the host which held event keeps the entity from catching up, once for each news.
    /// `held` is the held event of an origin.
    pub(super) fn tell_held<'a, E: EventSourced>(
        &mut self,
        held: impl Fn(&ReplicaId) -> Option<&'a HeldEvent>,
        actions: &mut Vec<Action<E>>,
    ) {
        for news in self.news.iter() {
            let mut peers = self.peers.iter_mut();
            let peer = peers.find(|(replica, _)| *replica == news.replica);
            let (_, peer) = peer.expect("news of unknown replicas are not taken");
            if let Some(held) = peer.held.as_ref().and_then(&held)
                && peer.held_told < news.highest
            {
                peer.held_told = news.highest;
                let replica = news.replica.clone();
                actions.push(Action::Held(replica, news.highest, held.clone()));
            }
        }
    }

    /// Reads on in the journals where events are missing; `is_needed` adds to the reasons that the
    /// peers know by themselves, and `is_wanted` is true when commands wait for events of their
    /// sessions.
    pub(super) fn begin_reads<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        (is_needed, is_wanted): (impl Fn(&ReplicaId) -> bool, impl Fn(&ReplicaId) -> bool),
        actions: &mut Vec<Action<E>>,
    ) {
        let mut wake_at = None;
        let mut is_calm = true;
        for (replica, peer) in &mut *self.peers {
            let replica = &*replica;
            let is_missed = peer.at_start || self.news.is_of(replica) || is_needed(replica);
            let due = is_missed || is_wanted(replica);
            if peer.for_session == is_missed {
                // a need is not delayed by an earlier one, but for that of one session by another
                (peer.retry_at, peer.attempts) = (None, 0);
                peer.for_session = false;
            }
            is_calm &= !due && !peer.reading;
            if !due || peer.reading {
                continue;
            }
            match peer.retry_at {
                Some(at) if now.instant < at => {
                    wake_at = Some(wake_at.map_or(at, |other: Instant| other.min(at)));
                    continue;
                }
                _ => peer.retry_at = None,
            }
            (peer.reading, peer.for_session) = (true, !is_missed);
            EntityCounters::add(&shared.counters.pulls, 1);
            actions.push(Action::Pull(shared.generation, replica.clone(), peer.read_after()));
        }
        self.is_calm = is_calm;
        // every input leads to this function, so a timer that is set already is enough
        let timer = self.wake_at.filter(|timer| *timer > now.instant);
        if let Some(at) = wake_at
            && timer.is_none_or(|timer| at < timer)
        {
            self.wake_at = Some(at);
            actions.push(Action::WakeAfter(at - now.instant));
        }
    }

    /// The replica whose read has ended. Only a replica that is known is read, one read at a time.
    pub(super) fn read_ended(&mut self, replica: &ReplicaId) -> &mut Peer {
        self.is_calm = false;
        let peer = self.get_mut(replica);
        let peer = peer.unwrap_or_else(|| panic!("a read of `{replica}`, which is not known"));
        assert!(peer.reading, "no read of `{replica}` was under way, and one has ended");
        peer.reading = false;
        peer
    }

    /// A replica that was read, and so is known.
    pub(super) fn known(&mut self, replica: &ReplicaId) -> &mut Peer {
        self.get_mut(replica).unwrap_or_else(|| panic!("replica `{replica}` is not known"))
    }

    pub(super) fn get(&self, replica: &ReplicaId) -> Option<&Peer> {
        self.peers.iter().find(|(name, _)| name == replica).map(|(_, peer)| peer)
    }

    pub(super) fn get_mut(&mut self, replica: &ReplicaId) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|(name, _)| name == replica).map(|(_, peer)| peer)
    }

    /// Begins to read the other replica's journal anew, once for each length that it has. Called
    /// when the entity has not seen every event up to the position: the journal went back, and has
    /// other events in these rows now.
    pub(super) fn begin_anew(&mut self, replica: &ReplicaId, highest: SequenceNr) {
        if let Some(peer) = self.get_mut(replica)
            && peer.anew_at < highest
            && !peer.reading
        {
            (peer.anew_at, peer.position) = (highest, SequenceNr::ZERO);
        }
    }

    pub(super) fn reached(&mut self, replica: &ReplicaId, position: SequenceNr) {
        if let Some(peer) = self.get_mut(replica) {
            peer.position = peer.position.max(position);
        }
    }

    /// Asserts that only replicas that are known are waited for.
    pub(super) fn check(&self) {
        for news in self.news.iter() {
            assert!(self.get(&news.replica).is_some(), "news of `{}`, not known", news.replica);
        }
        for (replica, peer) in &*self.peers {
            let is_beyond = peer.beyond.is_none() || peer.held.is_some();
            assert!(is_beyond, "a look behind a held event of `{replica}`, and none is held");
        }
    }
}

//! The decision about a command whose asker waits: either the handler takes the command, or the
//! asker gives up. Never both.
//!
//! ```text
//!            take (entity, link)          act (entity)
//!   Waiting --------------------> Taken ----------------> Acted
//!      |  ^                         | |
//!      |  +------ give back --------+ +-- end (entity) --> Ended   (nothing stored, nothing runs)
//!      |     (stashed, or came back unhandled)
//!      +--> Void                        (the asker gave up, or its time was over)
//! ```
//!
//! An asker that finds its command void knows that nobody will handle it. An asker that finds its
//! command taken knows nothing of the effect.
//!
//! A command has acted when its events are durable, or when a side effect or a future of it runs.
//! From then on, every error for its asker has an unknown effect, wherever the `ReplyTo` is by
//! then: in the command that a future made, or in a command to another entity.
//!
//! A handler can pass its `ReplyTo` on before its command has acted, and the command that carries
//! the `ReplyTo` can fail first. That failure says nothing about the asker's own command, which
//! still may act: so each error is told with the claim of the command that failed
//! ([`Claim::truth_of`]).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Askers, ReplyError, Session};
use crate::event::Metadata;
use crate::version::VersionVector;

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const VOID: u8 = 2;
const ACTED: u8 = 3;
const ENDED: u8 = 4;

/// The right to handle one command, and the metadata of the command, shared by its asker and by all
/// holders of the command. Cheap to clone.
///
/// ```
/// use std::time::Duration;
///
/// use antiphon_base::time::{Clock, SystemClock};
/// use antiphon_persistence::reply::Claim;
///
/// let now = SystemClock.now();
/// let claim = Claim::lasting(now, Duration::from_secs(1));
/// assert!(claim.take(now), "the handler takes the command");
/// assert!(!claim.void(), "so its asker does not know the effect when it gives up");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Claim(Option<Arc<Shared>>);

/// Tells the sender of a command whether the command was taken by its handler, or the reason why
/// it never will be. Dropped without a call when nothing is known.
pub type Notice = Box<dyn FnOnce(Result<(), ReplyError>) + Send>;

struct Shared {
    state: AtomicU8,
    /// The number of `ReplyTo`s of a command that was decoded.
    places: AtomicU8,
    deadline: Option<Instant>,
    metadata: Metadata,
    /// `None`: nobody wants to be told.
    notice: Option<Mutex<Option<Notice>>>,
    /// `None`: no entity holds up its commands until the command is answered.
    askers: Option<Askers>,
    /// `None`: the command is of no session.
    session: Option<Arc<Session>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, places: _, deadline, metadata, notice, askers, session } = self;
        let is_noticed = notice.is_some();
        write!(
            f,
            "Shared({state:?}, until {deadline:?}, {metadata:?}, is noticed: {is_noticed}, {askers:?}, {session:?})"
        )
    }
}

static NO_METADATA: Metadata = Metadata::new();

impl Claim {
    /// The claim of a command without a limit of time: it is never void.
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// The claim of a command whose asker waits without a limit.
    pub fn open() -> Self {
        Self::of(WAITING, None)
    }

    fn of(state: u8, deadline: Option<Instant>) -> Self {
        Self::with(state, deadline, Metadata::new(), None)
    }

    fn with(
        state: u8,
        deadline: Option<Instant>,
        metadata: Metadata,
        notice: Option<Notice>,
    ) -> Self {
        let state = AtomicU8::new(state);
        let notice = notice.map(|notice| Mutex::new(Some(notice)));
        let (places, askers, session) = (AtomicU8::new(0), None, None);
        let shared = Shared { state, places, deadline, metadata, notice, askers, session };
        Self(Some(Arc::new(shared)))
    }

    /// The same as [`Self::unlimited`] for a command with metadata, which goes with the command to
    /// its entity, also over links ([`EntityHandle::try_claimed`] takes a claim).
    ///
    /// [`EntityHandle::try_claimed`]: crate::entity::EntityHandle::try_claimed
    ///
    /// ```
    /// use antiphon_persistence::event::Metadata;
    /// use antiphon_persistence::reply::Claim;
    ///
    /// let metadata = Metadata::new().with("correlation-id", "order-7")?;
    /// let claim = Claim::unlimited_with(metadata);
    /// assert_eq!(claim.metadata().get("correlation-id"), Some("order-7"));
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    pub fn unlimited_with(metadata: Metadata) -> Self {
        if metadata.is_empty() { Self::unlimited() } else { Self::open_with(metadata) }
    }

    /// The same as [`Self::open`] for a command with metadata.
    pub fn open_with(metadata: Metadata) -> Self {
        Self::with(WAITING, None, metadata, None)
    }

    /// The same as [`Self::lasting`] for a command with metadata.
    pub fn lasting_with(now: Instant, time: Duration, metadata: Metadata) -> Self {
        Self::with(WAITING, now.checked_add(time), metadata, None)
    }

    /// The same as [`Self::noticed`] for a command with metadata.
    pub fn noticed_with(
        now: Instant,
        time: Option<Duration>,
        notice: Notice,
        metadata: Metadata,
    ) -> Self {
        let deadline = time.and_then(|time| now.checked_add(time));
        Self::with(WAITING, deadline, metadata, Some(notice))
    }

    /// The metadata of the command.
    pub fn metadata(&self) -> &Metadata {
        self.0.as_ref().map_or(&NO_METADATA, |shared| &shared.metadata)
    }

    /// Notes one more `ReplyTo` in the command, which is decoded.
    pub(crate) fn add_place(&self) {
        if let Some(shared) = &self.0 {
            let more = |places: u8| Some(places.saturating_add(1));
            let _ = shared.places.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        }
    }

    /// Forgets the places that were counted: the command is decoded once more.
    pub(crate) fn forget_places(&self) {
        if let Some(shared) = &self.0 {
            shared.places.store(0, Ordering::Release);
        }
    }

    /// Returns whether the command, which was decoded, has more than one `ReplyTo`.
    pub(crate) fn has_places(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.places.load(Ordering::Acquire) > 1)
    }

    /// The request id of the command, if it has one.
    #[inline]
    pub(crate) fn request(&self) -> Option<&str> {
        self.metadata().request()
    }

    /// The claim of a command whose asker waits until `deadline` (exclusive).
    pub fn until(deadline: Instant) -> Self {
        Self::of(WAITING, Some(deadline))
    }

    /// The claim of a command whose asker waits for `time` from `now` on; a time beyond the clock's
    /// range is no limit.
    pub fn lasting(now: Instant, time: Duration) -> Self {
        Self::lasting_with(now, time, Metadata::new())
    }

    /// The claim of a command whose sender waits for `time` from `now` on to be told whether the
    /// handler took the command; `None`: without a limit. `notice` is called once, with `Ok` when
    /// the handler begins, or with the reason why it never will.
    ///
    /// ```
    /// use std::sync::mpsc;
    ///
    /// use antiphon_base::time::{Clock, SystemClock};
    /// use antiphon_persistence::reply::{Claim, ReplyError, refuse_claimed};
    ///
    /// let (sender, notices) = mpsc::channel();
    /// let notice = Box::new(move |taken| sender.send(taken).unwrap());
    /// let claim = Claim::noticed(SystemClock.now(), None, notice);
    /// refuse_claimed("the command", &claim, ReplyError::NotHere("no home".into()));
    /// assert_eq!(notices.recv(), Ok(Err(ReplyError::NotHere("no home".into()))));
    /// ```
    pub fn noticed(now: Instant, time: Option<Duration>, notice: Notice) -> Self {
        Self::noticed_with(now, time, notice, Metadata::new())
    }

    /// Takes the notice out, to carry it to the next holder of the command.
    pub fn take_notice(&self) -> Option<Notice> {
        self.0.as_ref()?.notice.as_ref()?.lock().take()
    }

    /// Puts the notice of a command back that has come back unhandled.
    pub fn put_notice(&self, notice: Notice) {
        if let Some(place) = self.0.as_ref().and_then(|shared| shared.notice.as_ref()) {
            *place.lock() = Some(notice);
        }
    }

    /// Tells the sender that the handler begins, or the reason why it never will.
    pub(crate) fn tell(&self, taken: Result<(), ReplyError>) {
        if let Some(notice) = self.take_notice() {
            notice(taken);
        }
    }

    /// The same claim, which was just made, of a command for whose answer these entities hold up
    /// their commands. A claim that was cloned before stays without them: a circle of waiting
    /// entities ends at a time limit then.
    #[must_use]
    pub fn asked_by(mut self, askers: Option<Askers>) -> Self {
        if askers.is_none() {
            return self;
        }
        if self.0.is_none() {
            self = Self::open();
        }
        if let Some(shared) = self.0.as_mut().and_then(Arc::get_mut) {
            shared.askers = askers;
        }
        self
    }

    /// The same claim, which was just made, of a command of this session. A claim that was cloned
    /// before stays without it.
    #[must_use]
    pub fn in_session(mut self, session: Option<Arc<Session>>) -> Self {
        if session.is_none() {
            return self;
        }
        if self.0.is_none() {
            self = Self::open();
        }
        if let Some(shared) = self.0.as_mut().and_then(Arc::get_mut) {
            shared.session = session;
        }
        self
    }

    /// The session of the command, if it is of one.
    pub fn session(&self) -> Option<&Arc<Session>> {
        self.0.as_ref()?.session.as_ref()
    }

    /// The events that the entity must have before it takes the command, if there are any.
    pub(crate) fn needs(&self) -> Option<&VersionVector> {
        self.session()?.needs()
    }

    /// Returns whether the asker wants the version of the answer.
    pub(crate) fn wants_version(&self) -> bool {
        self.session().is_some_and(|session| session.wants_version())
    }

    /// The entities that hold up their commands until this command is answered, if there are any.
    pub fn askers(&self) -> Option<&Askers> {
        self.0.as_ref()?.askers.as_ref()
    }

    /// Takes the command, to handle it or to send it away. Returns false when the command is void
    /// and must be dropped.
    #[must_use]
    pub fn take(&self, now: Instant) -> bool {
        let Some(shared) = &self.0 else { return true };
        // an asker on another node cannot make it void itself
        let is_late = shared.deadline.is_some_and(|deadline| now >= deadline);
        let next = if is_late { VOID } else { TAKEN };
        match shared.state.compare_exchange(WAITING, next, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => !is_late,
            Err(state) => state != VOID,
        }
    }

    /// Gives the command back unhandled: from now on its asker can make it void again.
    pub fn give_back(&self) {
        if let Some(shared) = &self.0 {
            let _ =
                shared.state.compare_exchange(TAKEN, WAITING, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// Makes the command void, unless it is taken. Returns true when it is void: it has not taken
    /// effect and never will.
    pub fn void(&self) -> bool {
        let Some(shared) = &self.0 else { return false };
        let voided =
            shared.state.compare_exchange(WAITING, VOID, Ordering::AcqRel, Ordering::Acquire);
        matches!(voided, Ok(_) | Err(VOID))
    }

    /// Makes the command void if it may wait for events of its session and is not taken: its asker
    /// is gone, and its place is of use to others.
    pub fn leave_session(&self) {
        if self.needs().is_some() {
            self.void();
        }
    }

    /// Notes that the command, which was taken, now acts: its effect cannot be undone.
    pub fn act(&self) {
        if let Some(shared) = &self.0 {
            let before = shared.state.swap(ACTED, Ordering::AcqRel);
            assert!(before != VOID, "a command acts whose asker was told that it never will");
        }
    }

    /// Notes that the command, which was taken, is over without an effect. Nothing changes for a
    /// command that has acted.
    pub(crate) fn end(&self) {
        if let Some(shared) = &self.0 {
            let _ =
                shared.state.compare_exchange(TAKEN, ENDED, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// Returns whether the command is over, and had no effect.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.state.load(Ordering::Acquire) == ENDED)
    }

    /// The claim after [`Self::act`], which a command without an asker remembers too.
    #[must_use]
    pub(crate) fn acted(self) -> Self {
        if self.0.is_none() {
            return Self::of(ACTED, None);
        }
        self.act();
        self
    }

    /// Returns whether the command has acted: its effect cannot be undone.
    pub fn has_acted(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.state.load(Ordering::Acquire) == ACTED)
    }

    /// The error that the asker gets in place of `error`: its effect is unknown when the command
    /// has acted.
    pub(crate) fn truth(&self, error: ReplyError) -> ReplyError {
        if self.has_acted() { error.with_unknown_effect() } else { error }
    }

    /// The error that this claim's asker gets in place of `error`, which is about the command with
    /// the claim `failed`. An error of another command leaves the effect of the asker's own command
    /// open. A claim of nobody, [`Self::unlimited`], follows the other command alone.
    pub(crate) fn truth_of(&self, failed: &Self, error: ReplyError) -> ReplyError {
        if self.is_other_than(failed) { error.with_unknown_effect() } else { self.truth(error) }
    }

    /// Returns whether this is the claim of a command, and of another one than `command`.
    pub(crate) fn is_other_than(&self, command: &Self) -> bool {
        match (&self.0, &command.0) {
            (Some(own), Some(other)) => !Arc::ptr_eq(own, other),
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// Returns whether the command is void, or its asker's time is over.
    pub fn is_over(&self, now: Instant) -> bool {
        let Some(shared) = &self.0 else { return false };
        shared.state.load(Ordering::Acquire) == VOID
            || shared.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// The time that the asker still waits; `None`: without a limit.
    pub fn time_left(&self, now: Instant) -> Option<Duration> {
        let deadline = self.0.as_ref()?.deadline?;
        Some(deadline.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_base::time::{Clock, SystemClock};

    #[test]
    fn a_command_is_either_taken_or_void() {
        let now = SystemClock.now();
        let claim = Claim::lasting(now, Duration::from_secs(1));
        assert!(claim.take(now));
        assert!(!claim.void(), "somebody handles it");
        claim.give_back();
        assert!(claim.void());
        assert!(!claim.take(now), "its asker was told that nobody handles it");
        assert!(!Claim::unlimited().void());
    }

    #[test]
    fn a_command_that_has_acted_is_never_void_and_no_error_of_it_is_without_effect() {
        let now = SystemClock.now();
        let claim = Claim::lasting(now, Duration::from_secs(1));
        let overloaded = || ReplyError::Overloaded("x".into());
        assert!(claim.take(now));
        assert!(claim.truth(overloaded()).is_without_effect());
        claim.act();
        claim.give_back();
        assert!(!claim.void(), "what it did cannot be undone");
        assert!(claim.take(now + Duration::from_secs(2)), "what follows from it is handled");
        assert!(!claim.truth(overloaded()).is_without_effect());
        assert!(!Claim::unlimited().acted().truth(overloaded()).is_without_effect());
    }

    #[test]
    fn a_sender_is_told_once_and_a_notice_that_was_carried_on_comes_back() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let keep = told.clone();
        let notice: Notice = Box::new(move |taken| keep.lock().push(taken));
        let claim = Claim::noticed(SystemClock.now(), None, notice);
        let carried = claim.take_notice().unwrap();
        claim.tell(Ok(()));
        assert!(told.lock().is_empty(), "the next holder tells");
        claim.put_notice(carried);
        claim.tell(Ok(()));
        claim.tell(Err(ReplyError::Timeout));
        assert_eq!(*told.lock(), [Ok(())]);
    }

    #[test]
    fn each_form_of_a_claim_carries_metadata_to_all_of_its_clones() {
        let now = SystemClock.now();
        let metadata = || Metadata::new().with("k", "v").unwrap();
        let notice: Notice = Box::new(|_| ());
        for claim in [
            Claim::unlimited_with(metadata()),
            Claim::open_with(metadata()),
            Claim::lasting_with(now, Duration::from_secs(1), metadata()),
            Claim::noticed_with(now, None, notice, metadata()),
        ] {
            assert_eq!(*claim.clone().metadata(), metadata());
        }
        assert!(Claim::unlimited_with(Metadata::new()).0.is_none(), "it needs no allocation");
    }

    #[test]
    fn a_command_whose_time_is_over_is_not_handed_over() {
        let now = SystemClock.now();
        let claim = Claim::lasting(now, Duration::from_secs(1));
        assert_eq!(claim.time_left(now), Some(Duration::from_secs(1)));
        let late = now + Duration::from_secs(1);
        assert!(claim.is_over(late) && !claim.take(late));
        assert!(claim.void());
        assert!(
            Claim::lasting(now, Duration::MAX).take(late),
            "beyond the clock there is no limit"
        );
    }
}

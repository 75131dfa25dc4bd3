//! Commands that come with a request id: each request is handled once, and a repetition gets the
//! first one's answer.
//!
//! ```text
//!                    its turn
//!   command ------------------------+-- not done -----------> handled; its events name the request
//!      ^                            |
//!      |                            +-- done --------> answered, when all events are durable
//!      |                            |
//!      +--- the handling has ended -+-- a future of the same request is under way: waits
//! ```
//!
//! A repetition at another replica, where the first events of the handling have arrived and the
//! answer has not, is refused without effect: it is to be sent again.
//!
//! A request whose handling stored no event is not remembered: its repetition is handled anew. The
//! commands of its futures belong to the handling ([`Open`]). Such a command is a repetition only
//! when events of another handling of this replica came meanwhile, from a journal that went back.

use antiphon_base::time::Timestamp;
use bytes::Bytes;

use super::encoded::Notes;
use super::open::Open;
use super::outbox::Due;
use super::shared::Shared;
use super::stream::Stream;
use super::{Now, Queued, Release};
use crate::entity::request_note::{RequestNote, write_answer};
use crate::entity::then::{Prepared, PreparedParts};
use crate::entity::versioned::with_version;
use crate::entity::{EntityCounters, EventSourced};
use crate::event::{Labels, RequestId, StoredEvent};
use crate::reply::{Claim, CommandEffect, ReplyError, answer_again, refuse_claimed};
use crate::store::{KeptAnswer, Limits};

/// Most times `asynchronous_timeout` for which a request counts as being handled at another
/// replica.
const ELSEWHERE: u32 = 2;

/// Takes a command whose turn has come. Returns it when it is to be handled; otherwise it was
/// answered, refused, or put aside.
pub(super) fn admit<E: EventSourced>(
    shared: &Shared<E>,
    stream: &mut Stream<E>,
    open: Option<&mut Open<E::Command>>,
    (now, queued): (Now, Queued<E::Command>),
) -> Option<Queued<E::Command>> {
    let Some(id) = queued.claim.request() else { return Some(queued) };
    if queued.claim.has_acted() {
        return follow(shared, stream, open, queued);
    }
    if shared.settings.requests_max == 0 {
        let why = "a command with a request id: expected `requests_max` of at least 1, actual 0";
        queued.refuse(ReplyError::Rejected(why.to_owned()));
        return None;
    }
    let Some(sent) = queued.claim.metadata().request_id() else {
        let why = RequestId::new(id).err().map_or("a request id".into(), |error| error.to_string());
        queued.refuse(ReplyError::Rejected(why));
        return None;
    };
    let known = stream.applied.requests.content(id);
    let known = known.or_else(|| open.as_ref().and_then(|open| open.content(id)));
    if let (Some(known), Some(sent)) = (known, sent.content())
        && known != sent
    {
        let why = format!(
            "request `{id}` was another command before: expected the same command at each repetition, and a new id for a new one"
        );
        queued.refuse(ReplyError::Rejected(why));
        return None;
    }
    let done = stream.applied.requests.get(id);
    if let Some((handling, KeptAnswer::Later)) = done
        && !shared.is_own(&handling.origin)
        && !now.wall.is_ahead_of(handling.at, ELSEWHERE * shared.settings.asynchronous_timeout)
        && !handling.at.is_ahead_of(now.wall, shared.settings.time_skew_max)
    {
        let why = format!("request `{id}` is being handled at replica `{}`", handling.origin);
        queued.refuse(ReplyError::Unavailable(why));
        return None;
    }
    let done = done.map(|(_, answer)| answer.clone());
    let unstored = open.as_ref().map_or(0, |open| open.unstored());
    let open = open.filter(|open| open.has(id));
    match (done, open) {
        (None, None) if stream.applied.requests.has_room(&shared.settings, now.wall, unstored) => {
            Some(queued)
        }
        (None, None) => {
            refuse_new(shared, queued);
            None
        }
        // the answer may come from a future
        (None | Some(KeptAnswer::None | KeptAnswer::Later), Some(open)) => {
            let max = (shared.settings.mailbox_max / 2).max(1);
            let id = Box::<str>::from(id);
            open.wait(&shared.counters, now.instant, (&id, max), queued);
            None
        }
        (Some(answer), _) => {
            answer_repeated(shared, stream, queued, answer);
            None
        }
    }
}

/// Refuses a command with a new request id: none of the remembered requests may be forgotten.
fn refuse_new<E: EventSourced>(shared: &Shared<E>, queued: Queued<E::Command>) {
    EntityCounters::add(&shared.counters.requests_refused, 1);
    let (max, kept) = (shared.settings.requests_max, shared.settings.requests_kept_min);
    let why = format!(
        "{max} requests of the entity (`requests_max`) are younger than {kept:?} (`requests_kept_min`): send it again later"
    );
    queued.refuse(ReplyError::Overloaded(why));
}

/// Takes the command of a future, which belongs to a handling that has begun. When another handling
/// of this replica is remembered, the command is a repetition.
fn follow<E: EventSourced>(
    shared: &Shared<E>,
    stream: &mut Stream<E>,
    open: Option<&mut Open<E::Command>>,
    queued: Queued<E::Command>,
) -> Option<Queued<E::Command>> {
    let id = queued.claim.request()?;
    let known = own_first(shared, stream, id);
    if known.is_none() || open.is_some_and(|open| open.goes_on(id, known)) {
        return Some(queued);
    }
    let answer = stream.applied.requests.get(id).map(|(_, answer)| answer.clone());
    answer_repeated(shared, stream, queued, answer.unwrap_or(KeptAnswer::None));
    None
}

/// The number of the first event of the request's handling at this replica, if it is remembered.
pub(super) fn own_first<E: EventSourced>(
    shared: &Shared<E>,
    stream: &Stream<E>,
    id: &str,
) -> Option<u64> {
    let (handling, _) = stream.applied.requests.get(id)?;
    shared.is_own(&handling.origin).then_some(handling.first)
}

/// Answers a repetition as the first command was answered, when everything is durable.
fn answer_repeated<E: EventSourced>(
    shared: &Shared<E>,
    stream: &mut Stream<E>,
    Queued { command, slot, claim }: Queued<E::Command>,
    answer: KeptAnswer,
) {
    EntityCounters::add(&shared.counters.commands_repeated, 1);
    claim.tell(Ok(()));
    let not_kept = |why: String| {
        let id = claim.request().unwrap_or_default();
        Err(ReplyError::Done(format!("request `{id}`, whose answer is not kept: {why}")))
    };
    let answer = match answer {
        KeptAnswer::Bytes(bytes) => Ok(bytes),
        KeptAnswer::None => not_kept("its effect had none".to_owned()),
        KeptAnswer::Later => {
            not_kept("it was begun, and its end stored no event: read the state".to_owned())
        }
        KeptAnswer::TooLarge(bytes) => {
            let limit = shared.settings.request_answer_bytes_max;
            not_kept(format!("it had {bytes} bytes, `request_answer_bytes_max` is {limit}"))
        }
    };
    // the events of the request are among those up to the newest one
    let stored = Some(stream.applied.newest);
    let mut prepared = PreparedParts::new();
    prepared.push(Box::new(Repeated { command, answer }));
    let prepared = with_version(prepared, &claim, (&shared.id, stream.applied.seen()));
    stream.defer(Due::Release(Release { prepared, stored, claim, _slot: slot }));
}

/// A repetition with the answer of the first command.
struct Repeated<C> {
    command: C,
    answer: Result<Bytes, ReplyError>,
}

impl<C: Send> Prepared for Repeated<C> {
    fn release(self: Box<Self>, claim: &Claim, _: CommandEffect) {
        let Self { command, answer } = *self;
        match answer {
            Ok(bytes) => answer_again(command, claim, bytes),
            Err(done) => refuse_claimed(command, claim, done),
        }
    }

    fn fail(self: Box<Self>, claim: &Claim, error: ReplyError) {
        // it may be the error of another command, behind the events of the request
        refuse_claimed(self.command, claim, error.with_unknown_effect());
    }
}

/// The notes for the events of a command with this claim, which are stored at this time.
pub(super) fn notes<E: EventSourced>(
    shared: &Shared<E>,
    stream: &Stream<E>,
    time: Timestamp,
    (claim, reminders): (&Claim, Option<Box<str>>),
) -> Notes {
    let Some(id) = claim.metadata().request_id() else {
        return Notes { reminders, request: None };
    };
    let next = stream.applied.seen().get(shared.id.replica_id()) + 1;
    let known = stream.applied.requests.get(id.as_str());
    let own = known.map(|(handling, _)| handling).filter(|one| shared.is_own(&one.origin));
    // the command of a future goes on with the handling that the first command has begun
    let (back, later) = own.map_or((0, 0), |handling| {
        (next - handling.first, time.as_micros().saturating_sub(handling.at.as_micros()))
    });
    Notes { reminders, request: Some(RequestNote { id, back, later }) }
}

/// Puts the answer to a request into the first event of its command, which was applied, and takes
/// note of it; or the note that the answer comes later, from a future. Without an event, the answer
/// is kept in memory alone, if an earlier command of the handling has stored one.
pub(super) fn keep_answer<E: EventSourced>(
    shared: &Shared<E>,
    stream: &mut Stream<E>,
    (request, prepared, goes_on): (&str, &PreparedParts, bool),
    group: &mut [StoredEvent],
) {
    let answer = prepared.iter().find_map(|prepared| prepared.answer_to(request));
    let Some(KeptAnswer::Bytes(bytes)) = answer else {
        if goes_on && put_answer(&shared.limits, group, &KeptAnswer::Later) {
            stream.applied.note_request(shared, &group[0]);
        }
        return;
    };
    let count = bytes.len();
    let limit = shared.settings.request_answer_bytes_max;
    let whole = (count <= limit).then_some(KeptAnswer::Bytes(bytes));
    if group.is_empty() {
        let answer = whole.unwrap_or(KeptAnswer::TooLarge(count as u64));
        return stream.applied.requests.answered(request, answer);
    }
    let mut forms = whole.into_iter().chain([KeptAnswer::TooLarge(count as u64)]);
    let is_whole = |kept: Option<KeptAnswer>| matches!(kept, Some(KeptAnswer::Bytes(_)));
    let kept = forms.find(|form| put_answer(&shared.limits, group, form));
    if !is_whole(kept) {
        EntityCounters::add(&shared.counters.answers_unkept, 1);
    }
    stream.applied.note_request(shared, &group[0]);
}

/// Puts an answer into the labels of the first event. Returns whether the store takes the events
/// with it; otherwise the event is as before.
fn put_answer(limits: &Limits, group: &mut [StoredEvent], answer: &KeptAnswer) -> bool {
    let (Some(text), Some(first)) = (write_answer(answer), group.first_mut()) else { return false };
    let before = first.meta.labels.clone();
    let metadata = before.metadata().with_answer(text);
    let Ok(labels) = Labels::new(metadata, before.tags().clone()) else { return false };
    first.meta.labels = labels;
    let fits = Limits::event_bytes(&first.meta, &first.payload) <= limits.event_bytes_max
        && Limits::append_bytes(group) <= limits.append_bytes_max;
    if !fits && let Some(first) = group.first_mut() {
        first.meta.labels = before;
    }
    fits
}

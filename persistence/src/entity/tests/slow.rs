//! Commands whose handlers take long, together in the mailbox: a step ends after a millisecond.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock, Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{open_writer, parts, quiet};
use crate::entity::{
    CommandContext, Effect, EntityHandle, EntityParts, EntityRuntime, EventContext, EventSourced,
    StandaloneHost,
};
use crate::identity::{ReplicaId, ReplicationId};
use crate::memory::MemoryStores;
use crate::reply::{Claim, PendingReply, ReplyError, ReplyTo, claimed_reply_channel};

/// The time that the handler of `Work` takes.
const WORK: Duration = Duration::from_millis(10);

/// A clock that goes on in the handlers only.
struct WorkClock(Instant, AtomicU64);

impl Clock for WorkClock {
    fn now(&self) -> Instant {
        self.0 + Duration::from_millis(self.1.load(Ordering::Relaxed))
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(1_000_000)
    }
}

enum Command {
    /// Takes [`WORK`], and notes its handling and its answer.
    Work(ReplyTo<()>),
    /// Kills the entity.
    Kill(ReplyTo<()>),
    /// Takes no time.
    Look(ReplyTo<()>),
}

struct Slow {
    clock: Arc<WorkClock>,
    /// The events so far, in order.
    notes: Arc<Mutex<Vec<&'static str>>>,
    me: Arc<OnceLock<EntityHandle<Slow>>>,
}

impl EventSourced for Slow {
    type Command = Command;
    type Event = ();
    type State = ();

    fn on_command(&self, _: &CommandContext, (): &(), command: Command) -> Effect<Self> {
        self.notes.lock().push("handled");
        let reply_to = match command {
            Command::Work(reply_to) => {
                self.clock.1.fetch_add(u64::from(WORK.subsec_millis()), Ordering::Relaxed);
                reply_to
            }
            Command::Kill(reply_to) => {
                self.me.get().unwrap().kill();
                reply_to
            }
            Command::Look(reply_to) => reply_to,
        };
        let notes = self.notes.clone();
        Effect::none().then_run(
            |_| (),
            move |()| {
                notes.lock().push("answered");
                reply_to.reply(());
            },
        )
    }

    fn on_event(&self, _: &EventContext, (): &mut (), (): &()) {}
}

struct Fixture {
    clock: Arc<WorkClock>,
    notes: Arc<Mutex<Vec<&'static str>>>,
    entity: EntityHandle<Slow>,
}

/// An entity at work.
async fn fixture() -> Fixture {
    let stores = MemoryStores::new().stores();
    let writer = open_writer(&stores).await;
    let clock = Arc::new(WorkClock(SystemClock.now(), AtomicU64::new(0)));
    let parts =
        EntityParts { clock: clock.clone(), ..parts(&stores, writer, Arc::new(StandaloneHost)) };
    let (notes, me) = (Arc::<Mutex<_>>::default(), Arc::<OnceLock<_>>::default());
    let (of, to, by) = (clock.clone(), notes.clone(), me.clone());
    let make =
        move |_: &ReplicationId| Slow { clock: of.clone(), notes: to.clone(), me: by.clone() };
    let runtime = EntityRuntime::new([ReplicaId::empty()], make, quiet(), parts).unwrap();
    let entity = runtime.spawn(ReplicationId::parse("slow|s-1").unwrap()).unwrap();
    assert!(me.set(entity.clone()).is_ok());
    entity.ask(Command::Look).await.unwrap();
    notes.lock().clear();
    Fixture { clock, notes, entity }
}

/// Sends a command whose asker waits for `limit`.
fn send(
    fixture: &Fixture,
    limit: Duration,
    command: impl FnOnce(ReplyTo<()>) -> Command,
) -> PendingReply<()> {
    let claim = Claim::lasting(fixture.clock.now(), limit);
    let (reply_to, reply) = claimed_reply_channel(&claim);
    fixture.entity.try_claimed(command(reply_to), claim).unwrap();
    reply
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_a_slow_command_leaves_before_the_next_one_is_handled() {
    let fixture = fixture().await;
    let replies: Vec<_> =
        (0..5).map(|_| send(&fixture, Duration::from_secs(5), Command::Work)).collect();
    for reply in replies {
        assert_eq!(reply.wait().await, Ok(()));
    }
    assert_eq!(*fixture.notes.lock(), ["handled", "answered"].repeat(5));
}

#[tokio::test(start_paused = true)]
async fn a_command_behind_slow_ones_is_void_when_its_time_is_over() {
    let fixture = fixture().await;
    let limit = 3 * WORK + WORK / 2;
    let replies: Vec<_> = (0..10).map(|_| send(&fixture, limit, Command::Work)).collect();
    let mut handled = 0;
    for reply in replies {
        match reply.wait().await {
            Ok(()) => handled += 1,
            Err(error) => assert!(matches!(error, ReplyError::Expired(_)), "{error}"),
        }
    }
    assert_eq!(handled, 4);
}

#[tokio::test(start_paused = true)]
async fn a_kill_is_seen_between_the_commands_of_a_step() {
    let fixture = fixture().await;
    let limit = Duration::from_secs(5);
    let mut replies = vec![send(&fixture, limit, Command::Kill)];
    replies.extend((0..9).map(|_| send(&fixture, limit, Command::Look)));
    for reply in replies {
        assert!(reply.wait().await.is_err());
    }
    assert_eq!(*fixture.notes.lock(), ["handled"]);
}

#[tokio::test(start_paused = true)]
async fn quick_commands_that_come_together_are_handled_in_one_step() {
    let fixture = fixture().await;
    let limit = Duration::from_secs(5);
    let replies: Vec<_> = (0..20).map(|_| send(&fixture, limit, Command::Look)).collect();
    for reply in replies {
        assert_eq!(reply.wait().await, Ok(()));
    }
    assert_eq!(fixture.notes.lock()[..20], ["handled"; 20]);
}

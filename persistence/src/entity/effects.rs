//! Effects as a handler makes them: as methods of the behaviour, so that the compiler knows the
//! entity of the whole chain.

use std::future::Future;

use serde::Serialize;

use super::{AsynchronousFailure, Effect, EventSourced};
use crate::reply::ReplyTo;

/// Makes the effect of a command, as methods of the behaviour. Every [`EventSourced`] has them.
///
/// Each method does the same as the function of [`Effect`] with its name. A method names the entity
/// from the start, so a closure of the chain can call methods of the state and read its fields.
/// After `Effect::persist(event)` the compiler does not know yet whose effect it is, and refuses
/// such a closure ("type annotations needed").
///
/// ```
/// use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext, EventSourced};
/// use antiphon_persistence::reply::ReplyTo;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Default, Serialize, Deserialize)]
/// struct Post { title: String, likes: u32 }
///
/// impl Post {
///     fn summary(&self) -> String {
///         format!("{} ({})", self.title, self.likes)
///     }
/// }
///
/// enum Command {
///     Rename(String, ReplyTo<String>),
///     Read(ReplyTo<(String, u32)>),
/// }
/// struct Blog;
///
/// impl EventSourced for Blog {
///     type Command = Command;
///     type Event = String;
///     type State = Post;
///
///     fn on_command(&self, _: &CommandContext, _: &Post, command: Command) -> Effect<Self> {
///         match command {
///             Command::Rename(title, reply_to) => {
///                 self.persist(title).then_reply(reply_to, |post| post.summary())
///             }
///             Command::Read(reply_to) => {
///                 self.none().then_reply(reply_to, |post| (post.title.clone(), post.likes))
///             }
///         }
///     }
///
///     fn on_event(&self, _: &EventContext, post: &mut Post, title: &String) {
///         post.title.clone_from(title);
///     }
/// }
///
/// use antiphon_persistence::entity::testkit::EntityTest;
///
/// let mut post = EntityTest::local(Blog, "blog|p-1");
/// let summary = post.ask(|reply_to| Command::Rename("Trees".into(), reply_to));
/// assert_eq!(summary, Ok("Trees (0)".into()));
/// assert_eq!(post.ask(Command::Read), Ok(("Trees".into(), 0)));
/// ```
///
/// The same chain without the behaviour does not compile:
///
/// ```compile_fail,E0282
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// # use antiphon_persistence::reply::ReplyTo;
/// # struct Notes;
/// # impl EventSourced for Notes {
/// #     type Command = ReplyTo<usize>;
/// #     type Event = String;
/// #     type State = Vec<String>;
/// #     fn on_event(&self, _: &EventContext, _: &mut Vec<String>, _: &String) {}
/// #     fn on_command(
/// #         &self, _: &CommandContext, _: &Vec<String>, reply_to: ReplyTo<usize>,
/// #     ) -> Effect<Self> {
/// Effect::persist("milk".to_owned()).then_reply(reply_to, |list| list.len())
/// #     }
/// # }
/// ```
pub trait Effects: EventSourced {
    /// Stores one event and applies it, see [`Effect::persist`].
    fn persist(&self, event: Self::Event) -> Effect<Self> {
        Effect::persist(event)
    }

    /// Stores events together or not at all, see [`Effect::persist_all`].
    fn persist_all(&self, events: impl IntoIterator<Item = Self::Event>) -> Effect<Self> {
        Effect::persist_all(events)
    }

    /// Stores nothing, see [`Effect::none`].
    fn none(&self) -> Effect<Self> {
        Effect::none()
    }

    /// Stores nothing and answers, see [`Effect::reply`].
    fn reply<R: Serialize + Send + 'static>(&self, reply_to: ReplyTo<R>, value: R) -> Effect<Self> {
        Effect::reply(reply_to, value)
    }

    /// Drops the command: it is not for this entity, or not now; see [`Effect::unhandled`].
    fn unhandled(&self) -> Effect<Self> {
        Effect::unhandled()
    }

    /// Keeps the command for later, see [`Effect::stash`].
    fn stash(&self, command: Self::Command) -> Effect<Self> {
        Effect::stash(command)
    }

    /// Runs a future while other commands wait, and handles the command that it yields before them;
    /// see [`Effect::asynchronous`].
    fn asynchronous(
        &self,
        future: impl Future<Output = Self::Command> + Send + 'static,
    ) -> Effect<Self> {
        Effect::asynchronous(future)
    }

    /// The same; `failed` makes a command of a failure of the future. See
    /// [`Effect::asynchronous_or`].
    fn asynchronous_or(
        &self,
        future: impl Future<Output = Self::Command> + Send + 'static,
        failed: impl FnOnce(AsynchronousFailure) -> Self::Command + Send + 'static,
    ) -> Effect<Self> {
        Effect::asynchronous_or(future, failed)
    }
}

impl<E: EventSourced> Effects for E {}

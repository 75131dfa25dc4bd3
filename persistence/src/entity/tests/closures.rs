//! Each effect with closures that call methods of the state, read its fields and borrow from it:
//! the test is that they compile, and that they see the state after the events.

use std::sync::mpsc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::entity::testkit::EntityTest;
use crate::entity::{CommandContext, Effect, Effects, EventContext, EventSourced};
use crate::reply::ReplyTo;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Post {
    title: String,
    lines: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Summary {
    title: String,
    length: usize,
}

impl Post {
    fn summary(&self) -> Summary {
        Summary { title: self.title.clone(), length: self.lines.len() }
    }

    fn last(&self) -> Option<&String> {
        self.lines.last()
    }
}

enum Command {
    Persist(ReplyTo<Summary>),
    PersistAll(ReplyTo<Option<String>>),
    None(ReplyTo<String>),
    Reply(ReplyTo<Summary>),
    Unhandled(ReplyTo<usize>),
    Stash(ReplyTo<Summary>),
    Later(ReplyTo<Summary>),
}

struct Blog(Mutex<mpsc::Sender<usize>>);

impl EventSourced for Blog {
    type Command = Command;
    type Event = String;
    type State = Post;

    fn on_command(&self, _: &CommandContext, post: &Post, command: Command) -> Effect<Self> {
        let sender = self.0.lock().clone();
        match command {
            Command::Persist(to) => self
                .persist("first".to_owned())
                .then_run(|post| post.summary(), move |seen| sender.send(seen.length).unwrap())
                .then_reply(to, |post| post.summary()),
            Command::PersistAll(to) => self
                .persist_all(["second", "third"].map(str::to_owned))
                .then_unstash_all()
                .then_reply(to, |post| post.last().cloned()),
            Command::None(to) => self.none().then_reply(to, |post| post.title.to_uppercase()),
            Command::Reply(to) => self
                .reply(to, post.summary())
                .then_run(|post| post.lines.len(), move |length| sender.send(length).unwrap()),
            Command::Unhandled(to) => {
                self.unhandled().then_reply(to, |post| post.lines.iter().map(String::len).sum())
            }
            Command::Stash(to) if post.lines.len() < 3 => self.stash(Command::Stash(to)),
            Command::Stash(to) => self.none().then_reply(to, |post| post.summary()).then_stop(),
            Command::Later(to) => {
                self.asynchronous_or(async { Command::Stash(to) }, |_| unreachable!())
            }
        }
    }

    fn on_event(&self, _: &EventContext, post: &mut Post, line: &String) {
        post.title = format!("post {}", post.lines.len());
        post.lines.push(line.clone());
    }
}

#[test]
fn closures_of_each_effect_see_the_state_after_the_events() {
    let (sender, seen) = mpsc::channel();
    let mut post = EntityTest::local(Blog(Mutex::new(sender)), "blog|p-1");
    let summary = |title: &str, length| Summary { title: title.to_owned(), length };

    assert_eq!(post.ask(Command::Persist), Ok(summary("post 0", 1)));
    assert_eq!(post.ask(Command::Unhandled), Ok("first".len()));
    assert_eq!(post.ask(Command::None), Ok("POST 0".to_owned()));
    assert_eq!(post.ask(Command::Reply), Ok(summary("post 0", 1)));
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [1, 1]);
    let (reply_to, stashed) = crate::reply::reply_channel();
    post.tell(Command::Stash(reply_to));
    assert_eq!(post.ask(Command::PersistAll), Ok(Some("third".to_owned())));
    assert_eq!(stashed.now(), Ok(summary("post 2", 3)));
    post.restart();
    assert_eq!(post.ask(Command::Later), Ok(summary("post 2", 3)));
}

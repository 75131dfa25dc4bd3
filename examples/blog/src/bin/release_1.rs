//! The first release of the blog, as it was: a post is one text, and the last write that arrives
//! counts. The tests upgrade it; nobody should run it.

use std::process::ExitCode;

use antiphon::app::{Ask, Body, HttpEntity};
use antiphon::prelude::*;
use antiphon_blog::PostEventV1;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
enum Command {
    Write { text: String, reply_to: ReplyTo<Text> },
    Publish { reply_to: ReplyTo<Text> },
    Get { reply_to: ReplyTo<Text> },
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Text {
    text: String,
    published: bool,
}

struct Post;

impl EventSourced for Post {
    type Command = Command;
    type Event = PostEventV1;
    type State = Text;

    fn on_command(&self, _: &CommandContext, text: &Text, command: Command) -> Effect<Self> {
        let (event, reply_to) = match command {
            Command::Get { reply_to } => return self.reply(reply_to, text.clone()),
            Command::Write { text, reply_to } => (PostEventV1::Written { text }, reply_to),
            Command::Publish { reply_to } => (PostEventV1::Published, reply_to),
        };
        self.persist(event).then_reply(reply_to, Text::clone)
    }

    fn on_event(&self, _: &EventContext, state: &mut Text, event: &PostEventV1) {
        match event {
            PostEventV1::Written { text } => state.text.clone_from(text),
            PostEventV1::Published => state.published = true,
        }
    }

    fn event_type(&self, _: &PostEventV1) -> EventType {
        EventType { manifest: "post".into(), version: 1 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Posted {
    Write(String),
    Publish,
}

impl HttpEntity for Post {
    fn on_get() -> Option<Ask<Command>> {
        Some(Ask::new(|reply_to| Command::Get { reply_to }))
    }

    fn on_post(body: Body) -> Result<Ask<Command>> {
        Ok(match body.read()? {
            Posted::Write(text) => Ask::new(|reply_to| Command::Write { text, reply_to }),
            Posted::Publish => Ask::new(|reply_to| Command::Publish { reply_to }),
        })
    }
}

fn main() -> ExitCode {
    let posts = ReplicatedEntityProvider::at_each_place("post", |_: &ReplicationId| Post);
    antiphon::app::app("blog").version("1").entity(posts).run()
}

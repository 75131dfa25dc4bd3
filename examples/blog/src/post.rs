//! A post: its commands, and the adapter of the events that the first release stored.

use antiphon::app::{Ask, Body, HttpEntity};
use antiphon::persistence::codec::CodecId;
use antiphon::persistence::entity::UnknownVersion;
use antiphon::persistence::event::Payload;
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Article, PostEvent, PostEventV1, PostState};

/// Most bytes of a title.
pub const TITLE_BYTES_MAX: usize = 200;
/// Most bytes of a body.
pub const BODY_BYTES_MAX: usize = 100_000;
/// Most bytes of a tag.
pub const TAG_BYTES_MAX: usize = 50;
/// Most tags that a post may have when a place adds some.
pub const TAGS_MAX: usize = 15;

/// The receiver of a post as it is now, or of the reason why nothing was changed.
type Reply = ReplyTo<std::result::Result<Article, String>>;

/// The commands of a post.
#[derive(Debug, Serialize, Deserialize)]
pub enum PostCommand {
    /// Begins the post.
    Draft {
        /// The title.
        title: String,
        /// The body.
        body: String,
        /// The receiver of the answer.
        reply_to: Reply,
    },
    /// Changes the title.
    Retitle {
        /// The title.
        title: String,
        /// The receiver of the answer.
        reply_to: Reply,
    },
    /// Changes the body; refused while there are several bodies to merge.
    Edit {
        /// The body.
        body: String,
        /// The receiver of the answer.
        reply_to: Reply,
    },
    /// Makes one body of several.
    Merge {
        /// The merged body.
        body: String,
        /// The bodies that were merged: all that the post has here, in any order.
        of: Vec<String>,
        /// The receiver of the answer.
        reply_to: Reply,
    },
    /// Adds and removes tags.
    Tag {
        /// The tags that are new.
        add: Vec<String>,
        /// The tags that go.
        remove: Vec<String>,
        /// The receiver of the answer.
        reply_to: Reply,
    },
    /// Lets readers see the post. Can be repeated.
    Publish {
        /// The receiver of the answer.
        reply_to: Reply,
    },
    /// Answers with the post at this replica; `None` before its draft.
    Get {
        /// The receiver of the answer.
        reply_to: ReplyTo<Option<Article>>,
    },
}

/// The behaviour of a post.
pub struct Post;

impl Post {
    /// The name of the type.
    pub const TYPE: &str = "post";

    /// The posts: a replica at each place.
    pub fn provider() -> ReplicatedEntityProvider<Self> {
        ReplicatedEntityProvider::at_each_place(Self::TYPE, |_: &ReplicationId| Self)
    }

    /// The effect of a change, or of a refusal.
    fn change(
        &self,
        event: std::result::Result<PostEvent, String>,
        reply_to: Reply,
    ) -> Effect<Self> {
        match event {
            Ok(event) => self.persist(event).then_reply(reply_to, |post| {
                post.article().ok_or_else(|| "the post is not drafted".to_owned())
            }),
            Err(why) => self.reply(reply_to, Err(why)),
        }
    }
}

fn drafted(post: &PostState) -> std::result::Result<Article, String> {
    post.article().ok_or_else(|| "the post is not drafted here: `draft` it, or wait".to_owned())
}

fn within(name: &str, text: &str, bytes_max: usize) -> std::result::Result<(), String> {
    if text.len() <= bytes_max {
        return Ok(());
    }
    Err(format!("`{name}`: expected at most {bytes_max} bytes, actual {}: shorten it", text.len()))
}

fn draft(post: &PostState, title: String, body: String) -> std::result::Result<PostEvent, String> {
    within("title", &title, TITLE_BYTES_MAX)?;
    within("body", &body, BODY_BYTES_MAX)?;
    if post.article().is_some() {
        return Err("the post is drafted: change its `title`, or `edit` its body".to_owned());
    }
    Ok(PostEvent::Drafted { title, body })
}

fn retitle(
    context: &CommandContext,
    post: &PostState,
    title: String,
) -> std::result::Result<PostEvent, String> {
    drafted(post)?;
    within("title", &title, TITLE_BYTES_MAX)?;
    let operation = post.title().set(title, context.current_time(), context.replica_id());
    Ok(PostEvent::Retitled(operation))
}

fn edit(post: &PostState, body: String) -> std::result::Result<PostEvent, String> {
    let bodies = drafted(post)?.bodies.len();
    within("body", &body, BODY_BYTES_MAX)?;
    if bodies > 1 {
        return Err(format!("there are {bodies} bodies: `merge` them first"));
    }
    Ok(PostEvent::BodyWritten(post.body().write(body)))
}

fn merge(
    post: &PostState,
    body: String,
    mut of: Vec<String>,
) -> std::result::Result<PostEvent, String> {
    let mut bodies = drafted(post)?.bodies;
    within("body", &body, BODY_BYTES_MAX)?;
    bodies.sort();
    of.sort();
    if bodies != of {
        return Err("`of`: not the bodies that the post has here: read it again".to_owned());
    }
    Ok(PostEvent::BodyWritten(post.body().write(body)))
}

fn tag(
    context: &CommandContext,
    post: &PostState,
    add: Vec<String>,
    remove: &[String],
) -> std::result::Result<PostEvent, String> {
    drafted(post)?;
    if add.iter().any(String::is_empty) {
        return Err("`add`: expected tags that are not empty".to_owned());
    }
    add.iter().try_for_each(|tag| within("add", tag, TAG_BYTES_MAX))?;
    let stays = post.tags().elements().filter(|tag| !remove.contains(tag));
    let count = stays.chain(&add).collect::<std::collections::BTreeSet<_>>().len();
    if count > TAGS_MAX {
        return Err(format!("expected at most {TAGS_MAX} tags, actual {count}: remove some"));
    }
    Ok(PostEvent::TagsChanged {
        added: post.tags().add_all(add, context.replica_id()),
        removed: post.tags().remove_all(remove),
    })
}

impl EventSourced for Post {
    type Command = PostCommand;
    type Event = PostEvent;
    type State = PostState;

    fn on_command(
        &self,
        context: &CommandContext,
        post: &PostState,
        command: PostCommand,
    ) -> Effect<Self> {
        match command {
            PostCommand::Get { reply_to } => self.reply(reply_to, post.article()),
            PostCommand::Draft { title, body, reply_to } => {
                self.change(draft(post, title, body), reply_to)
            }
            PostCommand::Retitle { title, reply_to } => {
                self.change(retitle(context, post, title), reply_to)
            }
            PostCommand::Edit { body, reply_to } => self.change(edit(post, body), reply_to),
            PostCommand::Merge { body, of, reply_to } => {
                self.change(merge(post, body, of), reply_to)
            }
            PostCommand::Tag { add, remove, reply_to } => {
                self.change(tag(context, post, add, &remove), reply_to)
            }
            PostCommand::Publish { reply_to } => match drafted(post) {
                Ok(article) if article.is_published => self.reply(reply_to, Ok(article)),
                Ok(_) => self.change(Ok(PostEvent::Published), reply_to),
                Err(why) => self.reply(reply_to, Err(why)),
            },
        }
    }

    fn on_event(&self, context: &EventContext, post: &mut PostState, event: &PostEvent) {
        post.apply(context.current_time(), event, context);
    }

    fn event_type(&self, _: &PostEvent) -> EventType {
        EventType { manifest: "post".into(), version: 2 }
    }

    /// Reads also the events that the first release stored, or stores at a place that is upgraded
    /// later.
    fn from_journal(&self, payload: &Payload) -> Result<Vec<PostEvent>> {
        let codec = CodecId::from_stored(payload.codec)?;
        match (&*payload.manifest, payload.version) {
            ("post", 1) => Ok(vec![codec.decode::<PostEventV1>(&payload.bytes)?.upgrade()]),
            ("post", 2) => Ok(vec![codec.decode(&payload.bytes)?]),
            (manifest, version) => {
                let unknown = UnknownVersion { manifest: manifest.to_owned(), version };
                Err(Error::corrupt("an event of another release").with_source(unknown))
            }
        }
    }

    /// The state has another form than that of the first release. Its snapshots are passed over,
    /// and its events are read instead: nothing deletes them here.
    fn snapshot_version(&self) -> u16 {
        2
    }

    /// The tags of events, by which readers of the journal choose events: those that make a post
    /// public, and those of each tag of a post.
    fn tags(&self, event: &PostEvent) -> Tags {
        match event {
            PostEvent::Published => Tags::from(["published"]),
            PostEvent::TagsChanged { added, .. } => added_tags(added),
            PostEvent::Drafted { .. } | PostEvent::Retitled(_) | PostEvent::BodyWritten(_) => {
                Tags::none()
            }
        }
    }
}

fn added_tags(added: &crdt::OrSetOp<String>) -> Tags {
    match added {
        crdt::OrSetOp::AddedAll { elements, .. } => {
            elements.keys().map(|tag| format!("tagged:{tag}")).collect()
        }
        crdt::OrSetOp::Added { .. } | crdt::OrSetOp::Removed { .. } => Tags::none(),
    }
}

/// The body of a `POST`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Posted {
    Draft {
        title: String,
        body: String,
    },
    Title(String),
    Edit(String),
    Merge {
        body: String,
        of: Vec<String>,
    },
    Tags {
        #[serde(default)]
        add: Vec<String>,
        #[serde(default)]
        remove: Vec<String>,
    },
    Publish,
}

impl HttpEntity for Post {
    fn on_get() -> Option<Ask<PostCommand>> {
        Some(Ask::new(|reply_to| PostCommand::Get { reply_to }))
    }

    fn on_post(body: Body) -> Result<Ask<PostCommand>> {
        Ok(match body.read()? {
            Posted::Draft { title, body } => {
                Ask::fallible(|reply_to| PostCommand::Draft { title, body, reply_to })
            }
            Posted::Title(title) => {
                Ask::fallible(|reply_to| PostCommand::Retitle { title, reply_to })
            }
            Posted::Edit(body) => Ask::fallible(|reply_to| PostCommand::Edit { body, reply_to }),
            Posted::Merge { body, of } => {
                Ask::fallible(|reply_to| PostCommand::Merge { body, of, reply_to })
            }
            Posted::Tags { add, remove } => {
                Ask::fallible(|reply_to| PostCommand::Tag { add, remove, reply_to })
            }
            Posted::Publish => Ask::fallible(|reply_to| PostCommand::Publish { reply_to }),
        })
    }

    fn expected() -> &'static str {
        r#"{"draft": {"title": "..", "body": ".."}}, {"title": ".."}, {"edit": "body"}, {"merge": {"body": "..", "of": ["body", "body"]}}, {"tags": {"add": [".."], "remove": [".."]}} or "publish""#
    }
}

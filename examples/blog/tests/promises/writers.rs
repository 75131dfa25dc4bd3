//! Writers of the blog, which change posts at whichever node answers.

use antiphon::base::task;
use antiphon::base::time::{Clock, SystemClock};
use antiphon::runtime::transport::memory::SplitMix64;
use antiphon_blog::Article;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::model::Told;
use crate::places::{Addresses, Caller, PATIENCE};

/// The posts; the first release has written the first half.
pub(crate) const POSTS: [&str; 6] = ["p-0", "p-1", "p-2", "p-3", "p-4", "p-5"];
const TAGS: [&str; 4] = ["blue", "green", "red", "white"];

/// The path of a post.
pub(crate) fn path(post: &str) -> String {
    format!("/entities/post/{post}")
}

/// A writer that makes this number of changes; each is told to `done`.
pub(crate) fn write(
    number: u64,
    changes: u64,
    addresses: Addresses,
    done: mpsc::Sender<()>,
) -> JoinHandle<Told> {
    task::spawn("writer", async move {
        let turn = usize::try_from(number).expect("a small number");
        let mut writer = Writer {
            random: SplitMix64::new(number),
            caller: Caller::new(addresses, turn),
            told: Told::default(),
        };
        let mut merges = 0;
        for change in 0..changes {
            let post = POSTS[writer.below(POSTS.len())].to_owned();
            merges += writer.change(&post, &format!("w-{number}-{change}")).await;
            let _ = done.send(()).await;
        }
        eprintln!("writer {number}: {merges} merges");
        writer.told
    })
}

struct Writer {
    random: SplitMix64,
    caller: Caller,
    told: Told,
}

impl Writer {
    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.random.next_u64()).unwrap_or(0) % count
    }

    /// Returns whether the post was changed, for certain.
    async fn post(&mut self, post: &str, body: &Value) -> bool {
        matches!(self.caller.call(&path(post), Some(body)).await, Some((200, _)))
    }

    /// Makes one change; returns the number of merges.
    async fn change(&mut self, post: &str, text: &str) -> usize {
        let of_post = (post.to_owned(), text.to_owned());
        match self.below(8) {
            0..4 => return self.edit(post, text).await,
            4 => {
                if self.post(post, &json!({ "title": text })).await {
                    self.told.titles.insert(of_post);
                }
            }
            5 | 6 => {
                let (add, remove) = (TAGS[self.below(4)], TAGS[self.below(4)]);
                let tags = json!({ "tags": { "add": [add], "remove": [remove] } });
                if self.post(post, &tags).await {
                    self.told.tags.insert((post.to_owned(), add.to_owned()));
                }
            }
            _ => {
                if self.post(post, &json!("publish")).await {
                    self.told.published.insert(post.to_owned());
                }
            }
        }
        0
    }

    async fn edit(&mut self, post: &str, text: &str) -> usize {
        match self.caller.call(&path(post), Some(&json!({ "edit": text }))).await {
            Some((200, _)) => drop(self.told.bodies.insert((post.to_owned(), text.to_owned()))),
            // several bodies, or no draft here yet
            Some(_) => {
                let Some((200, read)) = self.caller.call(&path(post), None).await else { return 0 };
                let article: Option<Article> = serde_json::from_value(read).expect("a post");
                let Some(article) = article else { return 0 };
                let text = format!("{text} merged");
                let merge = json!({ "merge": { "body": text, "of": article.bodies } });
                if self.post(post, &merge).await {
                    self.told.bodies.insert((post.to_owned(), text));
                    return usize::from(article.bodies.len() > 1);
                }
            }
            None => {}
        }
        0
    }
}

/// Edits a post at both places at the same time, until it has two bodies, and merges them.
pub(crate) async fn conflict(addresses: &Addresses, post: &str, told: &mut Told) {
    let mut callers = [0, 1].map(|turn| Caller::new(addresses.clone(), turn));
    let until = SystemClock.now() + PATIENCE;
    for round in 0.. {
        assert!(SystemClock.now() < until, "{post}: no conflict");
        let texts = ["here", "there"].map(|place| format!("{place} {round}"));
        let edits = texts.clone().map(|text| json!({ "edit": text }));
        let [here, there] = &mut callers;
        let of = path(post);
        let answers =
            tokio::join!(here.call(&of, Some(&edits[0])), there.call(&of, Some(&edits[1])));
        for (answer, text) in [answers.0, answers.1].into_iter().zip(texts) {
            if matches!(answer, Some((200, _))) {
                told.bodies.insert((post.to_owned(), text));
            }
        }
        let Some((200, read)) = here.call(&of, None).await else { continue };
        let article: Article = serde_json::from_value(read).expect("a post");
        let merged = format!("merge {round}");
        let merge = json!({ "merge": { "body": merged, "of": article.bodies } });
        if article.bodies.len() > 1 && matches!(here.call(&of, Some(&merge)).await, Some((200, _)))
        {
            told.bodies.insert((post.to_owned(), merged));
            return;
        }
    }
}

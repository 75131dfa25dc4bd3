//! The events as the first release stored them, and what they are today.

use serde::{Deserialize, Serialize};

use crate::PostEvent;

/// The events of a post, version 1: a post was one text, with its title in the first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PostEventV1 {
    /// The whole text was written.
    Written {
        /// The title in the first line, and the body behind it.
        text: String,
    },
    /// Readers may see the post.
    Published,
}

impl PostEventV1 {
    /// The event of today. It must never change: replicas that read it differently differ for ever.
    pub fn upgrade(self) -> PostEvent {
        match self {
            Self::Written { text } => {
                let (title, body) = text.split_once('\n').unwrap_or((&text, ""));
                PostEvent::Drafted { title: title.to_owned(), body: body.to_owned() }
            }
            Self::Published => PostEvent::Published,
        }
    }
}

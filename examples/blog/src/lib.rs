//! The entity of a blog: posts, which every place edits at the same time.

mod article;
mod post;
mod release_1;

pub use article::{Article, PostEvent, PostState};
pub use post::{BODY_BYTES_MAX, Post, PostCommand, TAG_BYTES_MAX, TAGS_MAX, TITLE_BYTES_MAX};
pub use release_1::PostEventV1;

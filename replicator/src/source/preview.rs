//! A persistent subscription group as a dry run reads it: the events behind the group's position,
//! by a catch-up that the group does not notice. Nothing is created, taken or acknowledged.

use antiphon_eventstore as es;
use async_trait::async_trait;

use super::group::position_of;
use super::resolve::error;
use super::{CatchUpSource, Opened, Position, Source, Start, What};
use crate::Result;
use crate::position::Bookmark;

/// A group that is only looked at.
pub struct GroupPreview {
    client: es::EventStoreClient,
    stream: String,
    group: String,
    create: Option<es::GroupSettings>,
}

impl GroupPreview {
    /// The group `group` on `stream`, which `create` would create if it is missing.
    pub fn new(
        client: es::EventStoreClient,
        stream: impl Into<String>,
        group: impl Into<String>,
        create: Option<es::GroupSettings>,
    ) -> Self {
        Self { client, stream: stream.into(), group: group.into(), create }
    }

    fn catch_up(&self, start: Start) -> CatchUpSource {
        let what = match self.stream.as_str() {
            es::ALL => What::All(es::Filter::None),
            stream => What::Stream(stream.to_owned()),
        };
        CatchUpSource::new(self.client.clone(), what, start)
    }

    /// The place from which the group goes on.
    async fn place(&self) -> Result<(Start, Option<Position>)> {
        let info = match (self.client.group_info(&self.stream, &self.group).await, &self.create) {
            (Ok(info), _) => info,
            (Err(failed), Some(create)) if failed.kind() == es::ErrorKind::NotFound => {
                return Ok((start_of(create.from), None));
            }
            (Err(failed), _) => return Err(error(failed)),
        };
        if let Some(stored) = position_of(&info.checkpoint) {
            return Ok((Start::Beginning, Some(stored)));
        }
        Ok(match (info.start_from.as_str(), position_of(&info.start_from)) {
            ("-1" | "C:-1/P:-1", _) => (Start::End, None),
            (_, Some(Position::Stream(first))) => (Start::Revision(first), None),
            (_, Some(position)) => (Start::Beginning, Some(position)),
            (text, None) if text.eq_ignore_ascii_case("end") => (Start::End, None),
            (_, None) => (Start::Beginning, None),
        })
    }
}

fn start_of(from: es::ReadFrom<u64>) -> Start {
    match from {
        es::ReadFrom::Start => Start::Beginning,
        es::ReadFrom::End => Start::End,
        es::ReadFrom::At(first) => Start::Revision(first),
    }
}

#[async_trait]
impl Source for GroupPreview {
    async fn open(&self, position: Option<Bookmark>) -> Result<Opened> {
        let (start, stored) = match position {
            Some(_) => (Start::Beginning, position),
            None => {
                let (start, stored) = self.place().await?;
                (start, stored.map(Bookmark::from))
            }
        };
        self.catch_up(start).open(stored).await
    }

    async fn head(&self) -> Result<Option<Position>> {
        self.catch_up(Start::Beginning).head().await
    }

    fn settles(&self) -> bool {
        false
    }
}

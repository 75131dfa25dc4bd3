//! A checkpoint in a file, which is replaced as a whole.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::durable::{self, file_name};
use super::record::{EventRecord, Place};
use super::store::CheckpointStore;
use crate::source::{Anchor, Bookmark, Position};
use crate::{Error, Result};

/// A file with one position.
#[derive(Debug, Clone)]
pub struct FileCheckpoint {
    path: PathBuf,
    name: String,
}

/// The file: JSON with one position. Files of earlier versions have neither name nor event.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// The name of the subscription, because not every name fits into a file name as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(flatten)]
    place: Place,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<EventRecord>,
}

impl FileCheckpoint {
    /// The checkpoint of the subscription `name` in `folder`, which is created when it is missing.
    ///
    /// # Errors
    /// `Unavailable`, naming the folder, when it cannot be created.
    pub fn new(folder: impl AsRef<Path>, name: &str) -> Result<Self> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder).map_err(|error| unavailable(folder, error))?;
        let path = folder.join(format!("{}.checkpoint.json", file_name(name)));
        Ok(Self { path, name: name.to_owned() })
    }

    fn load(&self) -> Result<Option<Bookmark>> {
        let path = &self.path;
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unavailable(path, error)),
        };
        let record: Record = serde_json::from_slice(&bytes).map_err(|error| {
            Error::corrupt(format!(
                "checkpoint `{}`: expected JSON such as `{{\"stream\":{{\"revision\":7}}}}`, actual {error}: repair it, or remove it to start over",
                path.display()
            ))
            .with_source(error)
        })?;
        if record.name.as_ref().is_some_and(|name| *name != self.name) {
            return Err(Error::corrupt(format!(
                "checkpoint `{}`: expected the one of subscription `{}`, actual `{}`: give one of them another `Name`",
                path.display(),
                self.name,
                record.name.unwrap_or_default()
            )));
        }
        let event = record.event.map(Anchor::from);
        Ok(Some(Bookmark { event, ..Bookmark::from(Position::from(record.place)) }))
    }

    fn save(&self, bookmark: &Bookmark) -> Result<()> {
        let (path, position) = (&self.path, &bookmark.position);
        if let Some(saved) = self.load()?
            && position.is_before(&saved.position)
            && !bookmark.went_back
        {
            return Err(Error::bug(format!(
                "checkpoint `{}`: {position} is before the saved {}",
                path.display(),
                saved.position
            )));
        }
        let record = Record {
            name: Some(self.name.clone()),
            place: position.into(),
            event: bookmark.event.as_ref().map(EventRecord::from),
        };
        let replaced = serde_json::to_vec(&record)
            .map_err(Into::into)
            .and_then(|record| durable::replace(path, &record));
        replaced.map_err(|error| unavailable(path, error))
    }
}

fn unavailable(path: &Path, error: std::io::Error) -> Error {
    Error::unavailable(format!("checkpoint `{}`: {error}", path.display())).with_source(error)
}

#[async_trait]
impl CheckpointStore for FileCheckpoint {
    async fn load(&self) -> Result<Option<Bookmark>> {
        self.load()
    }

    async fn save(&self, bookmark: &Bookmark) -> Result<()> {
        let (file, bookmark) = (self.clone(), bookmark.clone());
        let saved = tokio::task::spawn_blocking(move || file.save(&bookmark)).await;
        saved.map_err(|error| Error::bug("saving a checkpoint failed").with_source(error))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_position_comes_back_and_goes_backwards_only_with_its_source() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileCheckpoint::new(folder.path(), "$ce-customer::a/b").unwrap();
        assert_eq!(store.load().unwrap(), None);
        let id = uuid::Uuid::from_u128(7);
        for position in [
            Position::Stream(7),
            Position::All { commit: 9, prepare: 8 },
            Position::Journal("o".into()),
        ] {
            let event = Anchor { stream: "a".into(), revision: 3, id, position: position.clone() };
            let bookmark = Bookmark { event: Some(event), ..Bookmark::from(position) };
            store.save(&bookmark).unwrap();
            assert_eq!(store.load().unwrap(), Some(bookmark));
        }
        let at = |revision| Bookmark::from(Position::Stream(revision));
        store.save(&at(7)).unwrap();
        let error = store.save(&at(6)).unwrap_err();
        assert!(error.to_string().ends_with("6 is before the saved 7"), "{error}");
        store.save(&Bookmark { went_back: true, ..at(6) }).unwrap();
        assert_eq!(store.load().unwrap(), Some(at(6)));
    }

    #[tokio::test]
    async fn a_file_of_an_earlier_version_is_read_and_one_of_another_name_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileCheckpoint::new(folder.path(), "a").unwrap();
        fs::write(&store.path, r#"{"all":{"commit":9,"prepare":8}}"#).unwrap();
        let position = Position::All { commit: 9, prepare: 8 };
        assert_eq!(store.load().unwrap(), Some(position.into()));
        fs::write(&store.path, r#"{"name":"A","stream":{"revision":9}}"#).unwrap();
        let error = store.load().unwrap_err();
        assert!(error.to_string().contains("subscription `a`, actual `A`"), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_not_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileCheckpoint::new(folder.path(), "a").unwrap();
        fs::write(&store.path, "{\"stream\":").unwrap();
        let error = store.load().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
        assert!(error.to_string().contains("remove it to start over"), "{error}");
    }
}

//! A checkpoint in a file, which is replaced as a whole.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::durable::{self, file_name};
use super::store::CheckpointStore;
use crate::source::Position;
use crate::{Error, Result};

/// A file with one position.
#[derive(Debug, Clone)]
pub struct FileCheckpoint {
    path: PathBuf,
}

/// The file: JSON with exactly one of the positions.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Record {
    Stream { revision: u64 },
    All { commit: u64, prepare: u64 },
    Journal { offset: String },
}

impl From<&Position> for Record {
    fn from(position: &Position) -> Self {
        match position {
            Position::Stream(revision) => Self::Stream { revision: *revision },
            Position::All { commit, prepare } => Self::All { commit: *commit, prepare: *prepare },
            Position::Journal(offset) => Self::Journal { offset: offset.clone() },
        }
    }
}

impl From<Record> for Position {
    fn from(record: Record) -> Self {
        match record {
            Record::Stream { revision } => Self::Stream(revision),
            Record::All { commit, prepare } => Self::All { commit, prepare },
            Record::Journal { offset } => Self::Journal(offset),
        }
    }
}

impl FileCheckpoint {
    /// The checkpoint of the subscription `name` in `folder`, which is created when it is missing.
    ///
    /// # Errors
    /// `Unavailable`, naming the folder, when it cannot be created.
    pub fn new(folder: impl AsRef<Path>, name: &str) -> Result<Self> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder).map_err(|error| unavailable(folder, error))?;
        Ok(Self { path: folder.join(format!("{}.checkpoint.json", file_name(name))) })
    }
}

fn unavailable(path: &Path, error: std::io::Error) -> Error {
    Error::unavailable(format!("checkpoint `{}`: {error}", path.display())).with_source(error)
}

fn load(path: &Path) -> Result<Option<Position>> {
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
    Ok(Some(record.into()))
}

fn save(path: &Path, position: &Position) -> Result<()> {
    if let Some(saved) = load(path)?
        && position.is_before(&saved)
    {
        return Err(Error::bug(format!(
            "checkpoint `{}`: {position} is before the saved {saved}",
            path.display()
        )));
    }
    let replaced = serde_json::to_vec(&Record::from(position))
        .map_err(Into::into)
        .and_then(|record| durable::replace(path, &record));
    replaced.map_err(|error| unavailable(path, error))
}

#[async_trait]
impl CheckpointStore for FileCheckpoint {
    async fn load(&self) -> Result<Option<Position>> {
        load(&self.path)
    }

    async fn save(&self, position: &Position) -> Result<()> {
        let (path, position) = (self.path.clone(), position.clone());
        let saved = tokio::task::spawn_blocking(move || save(&path, &position)).await;
        saved.map_err(|error| Error::bug("saving a checkpoint failed").with_source(error))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_position_comes_back_and_never_goes_backwards() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileCheckpoint::new(folder.path(), "$ce-customer::a/b").unwrap();
        assert_eq!(store.load().await.unwrap(), None);
        for position in [
            Position::Stream(7),
            Position::All { commit: 9, prepare: 8 },
            Position::Journal("o".into()),
        ] {
            store.save(&position).await.unwrap();
            assert_eq!(store.load().await.unwrap(), Some(position));
        }
        store.save(&Position::Stream(7)).await.unwrap();
        let error = store.save(&Position::Stream(6)).await.unwrap_err();
        assert!(error.to_string().ends_with("6 is before the saved 7"), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_not_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileCheckpoint::new(folder.path(), "a").unwrap();
        fs::write(&store.path, "{\"stream\":").unwrap();
        let error = store.load().await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
        assert!(error.to_string().contains("remove it to start over"), "{error}");
    }
}

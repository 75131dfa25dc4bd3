//! The parking lot: one file per subscription, with the parked events and the reason for each.
//!
//! Each line is one complete event as JSON, so that it can be replayed without the source. A line
//! is on the disk before its event counts as parked. The command line may change the file while the
//! replicator runs: both lock `<file>.lock` for each change.

mod record;
mod summary;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use record::ParkedEvent;
pub use summary::{Parked, ParkedOldest};

use crate::checkpoint::durable::{self, file_name, whole_lines};
use crate::{Error, Result};

/// The parked events of one subscription.
#[derive(Debug, Clone)]
pub struct ParkingLot {
    path: PathBuf,
    event_count_max: usize,
}

impl ParkingLot {
    /// The parking lot of the subscription `name` in `folder`, for at most `event_count_max`
    /// events. Creates the folder if it is missing.
    ///
    /// # Errors
    /// `Unavailable`, naming the folder, when it cannot be created.
    pub fn new(folder: impl AsRef<Path>, name: &str, event_count_max: usize) -> Result<Self> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder).map_err(|error| unavailable(folder, error))?;
        let path = folder.join(format!("{}.parked.ndjson", file_name(name)));
        Ok(Self { path, event_count_max })
    }

    /// A parking lot that keeps nothing, for a dry run.
    pub fn of_nothing() -> Self {
        Self { path: PathBuf::new(), event_count_max: 0 }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The parked events, oldest first.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt`, naming the line.
    pub fn list(&self) -> Result<Vec<ParkedEvent>> {
        let _lock = self.lock()?;
        self.read()
    }

    /// The number of parked events and the oldest.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn summary(&self) -> Result<Parked> {
        let events = self.list()?;
        let oldest = events.iter().min_by_key(|event| event.parked_at).map(|event| ParkedOldest {
            stream: event.stream.clone(),
            revision: event.revision,
            parked_at: event.parked_at,
            reason: Some(event.reason.clone()),
        });
        Ok(Parked { count: u64::try_from(events.len()).unwrap_or(u64::MAX), oldest })
    }

    /// The size and the time of the file, which change with its content; none without a file.
    pub(crate) fn version(&self) -> Option<(u64, Option<SystemTime>)> {
        let metadata = fs::metadata(&self.path).ok()?;
        Some((metadata.len(), metadata.modified().ok()))
    }

    /// Adds an event. An event that is parked already stays as it is.
    ///
    /// # Errors
    /// `Unavailable`; `Rejected` when the lot is full.
    pub fn park(&self, event: &ParkedEvent) -> Result<()> {
        if self.path.as_os_str().is_empty() {
            return Ok(());
        }
        let _lock = self.lock()?;
        let parked = self.read()?;
        if parked
            .iter()
            .any(|other| other.event_id == event.event_id && other.stream == event.stream)
        {
            return Ok(());
        }
        if parked.len() >= self.event_count_max {
            return Err(Error::rejected(format!(
                "parking lot `{}` is full: {} events, at most `Settings:ParkedMax` {}: replay or drop them with `antiphon-replicator park`",
                self.path.display(),
                parked.len(),
                self.event_count_max
            )));
        }
        let append = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            file.write_all(&line(event)?)?;
            file.sync_all()
        };
        append().map_err(|error| unavailable(&self.path, error))
    }

    /// Removes events by id. Returns the number of events that were removed.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    pub fn remove(&self, ids: &BTreeSet<uuid::Uuid>) -> Result<usize> {
        let _lock = self.lock()?;
        let parked = self.read()?;
        let before = parked.len();
        let kept: Vec<_> =
            parked.into_iter().filter(|event| !ids.contains(&event.event_id)).collect();
        let removed = before - kept.len();
        if removed > 0 {
            let lines = kept.iter().map(line).collect::<std::io::Result<Vec<_>>>();
            let replaced = lines.and_then(|lines| durable::replace(&self.path, &lines.concat()));
            replaced.map_err(|error| unavailable(&self.path, error))?;
        }
        Ok(removed)
    }

    fn read(&self) -> Result<Vec<ParkedEvent>> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unavailable(&self.path, error)),
        };
        // a crash cut off the last line: its event does not count as parked, and is delivered again
        let whole = whole_lines(&text);
        if whole < text.len() {
            let cut = OpenOptions::new().write(true).open(&self.path);
            let length = u64::try_from(whole).unwrap_or(u64::MAX);
            cut.and_then(|file| file.set_len(length))
                .map_err(|error| unavailable(&self.path, error))?;
        }
        let lines = text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .enumerate()
            .map(|(index, line)| {
                serde_json::from_slice(line).map_err(|error| {
                    let (path, number) = (self.path.display(), index + 1);
                    Error::corrupt(format!("parking lot `{path}`: line {number}: {error}"))
                        .with_source(error)
                })
            })
            .collect()
    }

    /// Locks the file until the returned handle is dropped.
    fn lock(&self) -> Result<File> {
        let path = self.path.with_extension("lock");
        let open = || -> std::io::Result<File> {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        open().map_err(|error| unavailable(&path, error))
    }
}

fn line(event: &ParkedEvent) -> std::io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    Ok(line)
}

fn unavailable(path: &Path, error: std::io::Error) -> Error {
    Error::unavailable(format!("parking lot `{}`: {error}", path.display())).with_source(error)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::event::{Envelope, Event};

    fn parked(id: u128) -> ParkedEvent {
        let event = Event {
            id: Uuid::from_u128(id),
            is_json: false,
            data: Bytes::from_static(b"\xff\x00"),
            ..Event::example("customer-1", 7, "")
        };
        ParkedEvent::new(&Envelope::of(event), "too large", 5)
    }

    #[test]
    fn an_event_is_parked_once_comes_back_whole_and_is_removed_by_id() {
        let folder = tempfile::tempdir().unwrap();
        let lot = ParkingLot::new(folder.path(), "a", 10).unwrap();
        lot.park(&parked(1)).unwrap();
        lot.park(&parked(1)).unwrap();
        lot.park(&parked(2)).unwrap();

        assert_eq!(lot.list().unwrap(), [parked(1), parked(2)]);
        let summary = lot.summary().unwrap();
        let oldest = summary.oldest.unwrap();
        assert_eq!((summary.count, oldest.parked_at, oldest.revision), (2, 5, 7));
        let event = lot.list().unwrap()[0].to_event().unwrap();
        assert_eq!((&event.data[..], event.revision), (&b"\xff\x00"[..], 7));

        assert_eq!(lot.remove(&BTreeSet::from([Uuid::from_u128(1)])).unwrap(), 1);
        assert_eq!(lot.list().unwrap(), [parked(2)]);
    }

    #[test]
    fn a_full_lot_refuses_with_the_setting() {
        let folder = tempfile::tempdir().unwrap();
        let lot = ParkingLot::new(folder.path(), "a", 1).unwrap();
        lot.park(&parked(1)).unwrap();
        let error = lot.park(&parked(2)).unwrap_err().to_string();
        assert!(error.contains("1 events, at most `Settings:ParkedMax` 1"), "{error}");
    }

    #[test]
    fn a_torn_line_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let lot = ParkingLot::new(folder.path(), "a", 10).unwrap();
        lot.park(&parked(1)).unwrap();
        OpenOptions::new().append(true).open(lot.path()).unwrap().write_all(b"{\"rea").unwrap();
        lot.park(&parked(2)).unwrap();
        assert_eq!(lot.list().unwrap(), [parked(1), parked(2)]);
    }
}

//! The door for stores: how a program opens a journal of a kind that it does not know.
//!
//! A crate with a store implements [`Backend`] for the settings of a journal, and [`OpenBackend`]
//! for the journal while it is open. A node takes every journal through these traits.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Row, Stores};
use crate::verify::Report;
use crate::{Error, Result};

/// Use of a journal by a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads and writes. All nodes of a place are owners of its journal. The first owner makes a
    /// journal that does not exist yet.
    #[default]
    Owner,
    /// Only reads, as the nodes of the other places do.
    Reader,
}

/// The settings of a journal, which includes all other stores of its place.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// The name of the kind of store, such as `sqlite`: the `kind` of a configuration, and the
    /// table of its settings.
    fn kind(&self) -> &'static str;

    /// The name of this journal for messages and reports: for example the path of its file. Never
    /// a secret.
    fn name(&self) -> String;

    /// Returns whether the journal is reached over a network, so that a later attempt to open it
    /// may succeed after a failed one. Default: `false`.
    fn is_remote(&self) -> bool {
        false
    }

    /// A text that two settings of the same journal share, also before the journal exists. Two
    /// places with the same text are refused. `None`, the default, when the settings do not tell.
    fn identity(&self) -> Option<String> {
        None
    }

    /// Checks every setting, and as far as it is possible without a connection, that the journal
    /// can be used in this role. Creates and changes nothing.
    ///
    /// # Errors
    /// - `Rejected`, naming the setting, its value and what was expected.
    /// - For a [`Role::Reader`], a journal that may appear later is no error.
    fn check(&self, role: Role) -> Result<()>;

    /// Checks that the journal exists already, for a command that must not create one. Default: no
    /// check, for a store whose journals are created by another command.
    ///
    /// # Errors
    /// `Rejected` when there is no such journal, `Unavailable` when it is not ready.
    fn check_exists(&self) -> Result<()> {
        Ok(())
    }

    /// Reads a row of a coordination table without opening the journal. Nothing is created or
    /// changed. `None` when there is no such row, and also, as by default, when only an open
    /// journal can be read.
    ///
    /// # Errors
    /// `Corrupt` or `Unavailable` when the row cannot be read.
    fn peek_row(&self, _table: &str, _key: &str) -> Result<Option<Row>> {
        Ok(None)
    }

    /// The statements that [`Self::apply_schema`] sends to a server whose tables an operator makes.
    /// Default: an error, for a store that makes its tables when it opens.
    ///
    /// # Errors
    /// `Rejected` for wrong settings, and for a store without such statements.
    fn schema(&self) -> Result<Vec<String>> {
        Err(without_schema(self.kind(), &self.name()))
    }

    /// Makes the tables that are missing; a repeated call changes nothing. Returns a report for the
    /// operator, in lines. Default: as [`Self::schema`].
    ///
    /// A cancelled call may have made some of the tables.
    ///
    /// # Errors
    /// `Rejected` for wrong settings, and for a store without a schema; `Unavailable` when no
    /// server answers.
    async fn apply_schema(&self) -> Result<Vec<String>> {
        Err(without_schema(self.kind(), &self.name()))
    }

    /// The same journal with a change feed whose answers are at most so old. `None`, the default,
    /// when the age of the feed's answers is no setting of this kind of store.
    fn with_feed_age(&self, _age_max: Duration) -> Option<Arc<dyn Backend>> {
        None
    }

    /// Opens the journal. A [`Role::Owner`] makes it when it does not exist, unless another command
    /// has to. A cancelled call leaves no journal open.
    ///
    /// # Errors
    /// - `Rejected` for wrong settings, or for a journal that is another program's or of another
    ///   version.
    /// - `Unavailable` when the journal cannot be reached now.
    /// - `Corrupt` when it is damaged.
    async fn open(&self, role: Role) -> Result<Arc<dyn OpenBackend>>;
}

/// A journal that is open; the drop of the last reference closes it.
#[async_trait]
pub trait OpenBackend: Any + Send + Sync {
    /// Every trait of the store.
    fn stores(&self) -> Stores;

    /// Checks that the journal is still the journal that was opened. It may block for a few calls
    /// of the operating system. Default: no check, for a store whose own answers tell.
    ///
    /// # Errors
    /// `Fenced` when the journal was taken away: it takes no more writes, and the node must end.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The problem that the store has now, such as a full disk or lost data. `None`, the default,
    /// when there is none.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// The counts of the store since it was opened, for metrics. A node warns its operator when the
    /// count `rows_damaged`, `snapshots_damaged` or `reminders_damaged` is above zero. Default:
    /// none.
    fn counts(&self) -> Vec<Count> {
        Vec::new()
    }

    /// The counts of each statement that the store sends to a server. Default: none.
    fn statements(&self) -> Vec<StatementCounts> {
        Vec::new()
    }

    /// Follows the change feed through another node of the place from now on, as long as that node
    /// answers. Called once, for a journal of another place. Default: nothing, for a store whose
    /// feed is cheap to read.
    fn follow_through(&self, _relay: Arc<dyn FeedRelay>) {}

    /// Answers the question of a node that follows the feed through this node.
    ///
    /// # Errors
    /// - `Rejected` when the question cannot be read, and, as by default, when this kind of store
    ///   asks none.
    /// - `Unavailable` or `Timeout` when the feed cannot be read.
    async fn answer(&self, _question: &[u8]) -> Result<Bytes> {
        Err(Error::rejected("this kind of store has no questions about its change feed"))
    }

    /// Reads every row, and reports the damaged rows. Nothing is changed. Default: an error, for a
    /// store that has no checksums.
    ///
    /// # Errors
    /// `Unavailable` when the journal does not answer; `Rejected` when this kind of store cannot be
    /// verified.
    async fn verify(&self) -> Result<Report> {
        Err(Error::rejected("this kind of store cannot be verified: it has no checks of its rows"))
    }
}

/// Carries questions of a store to the node of the own place that reads the change feed of another
/// place for all nodes.
#[async_trait]
pub trait FeedRelay: Send + Sync + 'static {
    /// Returns the answer, made by [`OpenBackend::answer`] of that node. `None` when this node is
    /// the reader, or when no answer comes. A cancelled call leaves nothing behind.
    async fn ask(&self, question: Bytes) -> Option<Bytes>;
}

fn without_schema(kind: &str, name: &str) -> Error {
    Error::rejected(format!(
        "`journal`: expected a kind of store whose tables are made by a command, actual {kind:?} ({name}), which makes its tables by itself"
    ))
}

/// A count of a store: its name in `snake_case`, its description, and its value.
pub type Count = (&'static str, &'static str, u64);

/// Counts of one statement since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementCounts {
    /// Name of the statement.
    pub name: &'static str,
    /// Times that it was sent; each repetition and each page counts.
    pub sent: u64,
    /// Times that it failed.
    pub failed: u64,
    /// Total time that it took.
    pub took: Duration,
}

impl Role {
    /// Checks that settings with this role fit a use: settings of an owner fit both.
    ///
    /// # Errors
    /// `Rejected`, naming the setting `role` in the table of the `kind`.
    pub fn check(self, kind: &str, used: Self) -> Result<()> {
        match (self, used) {
            (Self::Reader, Self::Owner) => Err(Error::rejected(format!(
                "`{kind}.role`: expected \"owner\" for the journal of the own place, actual \"reader\""
            ))),
            (Self::Owner, _) | (Self::Reader, Self::Reader) => Ok(()),
        }
    }
}

//! The journal of a place, as settings and opened, of any kind of store.

use std::any::Any;
use std::sync::Arc;

use antiphon_persistence::store::{
    Backend, Count, FeedRelay, OpenBackend, Registry, Role, StatementCounts, Stores, Table,
};
use antiphon_persistence::verify::Report;
use antiphon_runtime::node::{CLUSTER_ROW, check_cluster_row};
use antiphon_runtime::{NodeSettings, Result};
use bytes::Bytes;

/// The settings of a place's journal, which includes all other stores of the place. Any crate can
/// bring a kind of store: see [`Backend`].
#[derive(Debug, Clone)]
pub struct Journal(Arc<dyn Backend>);

/// A journal that is open; the last clone to go closes it.
#[derive(Clone)]
pub struct OpenJournal(Arc<dyn OpenBackend>);

impl Journal {
    /// A journal in a store of any kind.
    pub fn new(backend: impl Backend) -> Self {
        Self(Arc::new(backend))
    }

    /// The journal of a place, from the tables of a configuration: its location, and the settings
    /// that all journals of the kind share. Nothing is opened.
    ///
    /// ```
    /// use antiphon::Journal;
    /// use antiphon::persistence::store::Table;
    ///
    /// let location = Table::from_iter([("path".to_owned(), "a.db".into())]);
    /// let stores = antiphon::stores();
    /// let journal = Journal::of_kind(&stores, "sqlite", "A", &location, &Table::new()).unwrap();
    /// assert_eq!(journal.name(), "a.db");
    /// ```
    ///
    /// # Errors
    /// `Rejected`: for an unknown kind with the list of kinds, otherwise naming the key, its value
    /// and what was expected.
    pub fn of_kind(
        stores: &Registry,
        kind: &str,
        place: &str,
        location: &Table,
        settings: &Table,
    ) -> Result<Self> {
        stores.find(kind)?.journal(place, location, settings).map(Self)
    }

    /// The statements that make the tables, for a store whose tables are made by a command.
    ///
    /// # Errors
    /// `Rejected` for another kind of store.
    pub fn schema(&self) -> Result<Vec<String>> {
        self.0.schema()
    }

    /// Makes the tables that are missing, and returns a report in lines. A repeated call changes
    /// nothing; a cancelled call may have made some of the tables.
    ///
    /// # Errors
    /// `Rejected` for a store that makes its tables by itself; `Unavailable` when no server
    /// answers.
    pub async fn apply_schema(&self) -> Result<Vec<String>> {
        self.0.apply_schema().await
    }

    /// The name of the journal for messages, such as the path of its file.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// Returns whether the journal is reached over a network, so that a later attempt to open it
    /// may succeed after a failed one.
    pub fn is_remote(&self) -> bool {
        self.0.is_remote()
    }

    /// Checks the journal without opening it: for example that a file at its path can persist, is
    /// not a file of another program, and can be written unless `read_only`. Nothing is created or
    /// changed.
    ///
    /// # Errors
    /// `Rejected`, naming the path and what was expected, or the setting `role` of a journal that
    /// is to be written. With `read_only`, a file or a server that may appear later is no error.
    pub fn check(&self, read_only: bool) -> Result<()> {
        self.0.check(role(read_only))
    }

    /// Checks that the journal exists, for a command that must not create one.
    ///
    /// # Errors
    /// `Rejected` when there is no such journal, `Unavailable` when it has no tables yet.
    pub fn check_exists(&self) -> Result<()> {
        self.0.check_exists()
    }

    /// Checks that the journal belongs to this place, when a node has used the journal already. A
    /// journal on a server is not asked: its start does that. Nothing is created or changed.
    ///
    /// # Errors
    /// `Rejected`, naming the setting; `Corrupt` or `Unavailable` when the file cannot be read.
    pub fn check_place(&self, settings: &NodeSettings, place: &str) -> Result<()> {
        let (table, key) = CLUSTER_ROW;
        let row = self.0.peek_row(table, key)?;
        row.map_or(Ok(()), |row| check_cluster_row(settings, place, &row))
    }

    /// Returns whether two settings name the same journal, also before it exists, as far as the
    /// settings tell.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let identity = self.0.identity();
        identity.is_some() && self.0.kind() == other.0.kind() && identity == other.0.identity()
    }

    /// Opens the journal to write, or with `read_only` to read only.
    ///
    /// # Errors
    /// The errors of the backend: `Rejected` for wrong settings or a journal in an unexpected
    /// state, `Unavailable`, `Corrupt`.
    pub async fn open(&self, read_only: bool) -> Result<OpenJournal> {
        self.0.open(role(read_only)).await.map(OpenJournal)
    }
}

fn role(read_only: bool) -> Role {
    if read_only { Role::Reader } else { Role::Owner }
}

impl OpenJournal {
    /// Every trait of the store.
    pub fn stores(&self) -> Stores {
        self.0.stores()
    }

    /// The store itself, if it has this type.
    pub fn downcast_ref<T: OpenBackend>(&self) -> Option<&T> {
        let store: &dyn Any = &*self.0;
        store.downcast_ref()
    }

    /// Follows the change feed through another node of the place.
    pub(crate) fn follow_through(&self, relay: Arc<dyn FeedRelay>) {
        self.0.follow_through(relay);
    }

    /// Answers the question of a node that follows the feed through this node.
    pub(crate) async fn answer(&self, question: &[u8]) -> Result<Bytes> {
        self.0.answer(question).await
    }

    /// Checks that the journal is still the journal that was opened.
    ///
    /// # Errors
    /// `Fenced` when a file was moved, deleted or replaced: the journal takes no more writes, and
    /// the node must end.
    pub fn check(&self) -> Result<()> {
        self.0.check()
    }

    /// The problem that the store has, such as a full disk or lost data; `None` when there is none.
    pub fn trouble(&self) -> Option<String> {
        self.0.trouble()
    }

    /// Warnings for the operator of a store that works: the damaged rows that were met since the
    /// journal was opened.
    pub fn warnings(&self) -> Vec<String> {
        damage(&self.counts()).into_iter().collect()
    }

    /// The counts of the store for each of its statements. Empty when the store does not count.
    pub fn statements(&self) -> Vec<StatementCounts> {
        self.0.statements()
    }

    /// All counts of the store, each with its name and description. Empty when the store does not
    /// count.
    pub fn counts(&self) -> Vec<Count> {
        self.0.counts()
    }

    /// Reads every row of the journal, and reports the damaged rows. Nothing is changed, and nodes
    /// may run meanwhile.
    ///
    /// # Errors
    /// `Unavailable` when the journal does not answer; `Rejected` when its kind of store cannot be
    /// verified.
    pub async fn verify(&self) -> Result<Report> {
        self.0.verify().await
    }
}

/// The warning about damaged rows, if any were met.
fn damage(counts: &[Count]) -> Option<String> {
    let of = |wanted: &str| {
        let found = counts.iter().find(|(name, ..)| *name == wanted);
        found.map_or(0, |(.., count)| *count)
    };
    let (rows, snapshots) = (of("rows_damaged"), of("snapshots_damaged"));
    let reminders = of("reminders_damaged");
    (rows + snapshots + reminders > 0).then(|| {
        format!(
            "the journal is damaged: {rows} reads or writes of rows, {snapshots} reads of snapshots and {reminders} reads of reminders failed for that reason since the start: \
             `antiphon journal verify` lists all damage"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_rows_are_a_warning_from_the_first_one_on() {
        assert_eq!(damage(&[("reads", "", 9), ("rows_damaged", "", 0)]), None);
        let warning = damage(&[("rows_damaged", "", 2), ("snapshots_damaged", "", 1)]).unwrap();
        assert!(warning.contains("2 reads or writes") && warning.contains("verify"), "{warning}");
        assert!(damage(&[("snapshots_damaged", "", 1)]).is_some());
        assert!(damage(&[("reminders_damaged", "", 1)]).is_some());
    }
}

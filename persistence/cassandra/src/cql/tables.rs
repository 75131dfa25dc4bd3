//! The seam of the [tables](crate::tables) on a session.

use antiphon_persistence::store::StatementCounts;

use super::execute::CqlTables;
use crate::tables::Tables;

impl Tables for CqlTables {
    fn trouble(&self) -> Option<String> {
        self.answers.trouble()
    }

    fn statements(&self) -> Vec<StatementCounts> {
        let mut counts = self.statements.counts();
        counts.push(self.write_cells.snapshot("write_cells"));
        counts
    }
}

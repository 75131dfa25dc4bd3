//! The rows of the leases in the store of the place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::{Error, Result};
use antiphon_persistence::store::{CasOutcome, Coordination, Row, RowVersion};

use super::core::{LeaseRow, VersionedLease};

/// The table of the leases; a row for each name.
const TABLE: &str = "singletons";

/// All leases, by name. A row that is no lease is an error of its own.
pub(super) async fn read(
    store: &Arc<dyn Coordination>,
    limit: Duration,
) -> Result<BTreeMap<Arc<str>, Result<VersionedLease>>> {
    let rows = within(limit, store.scan(TABLE)).await?.rows;
    Ok(rows.into_iter().map(|row| (row.key.clone(), lease(row).map(Some))).collect())
}

/// Changes a lease; the row in the store afterwards.
pub(super) async fn change(
    store: &Arc<dyn Coordination>,
    limit: Duration,
    name: &str,
    expected: Option<RowVersion>,
    row: LeaseRow,
) -> Result<VersionedLease> {
    let value = serde_json::to_vec(&row).map_err(|error| Error::bug(error.to_string()))?;
    let call = store.compare_and_set(TABLE, name, expected, Some(value.into()));
    match within(limit, call).await? {
        CasOutcome::Applied(version) => Ok(Some((version, row))),
        CasOutcome::Conflict(found) => found.map(lease).transpose(),
    }
}

fn lease(row: Row) -> Result<(RowVersion, LeaseRow)> {
    let read = serde_json::from_slice(&row.value);
    let read = read.map_err(|error| {
        Error::corrupt(format!("table `{TABLE}`, row `{}`: no lease: {error}", row.key))
    })?;
    Ok((row.version, read))
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::timeout(format!(
            "table `{TABLE}`: no answer within `singleton_store_timeout` ({limit:?})"
        ))),
    }
}

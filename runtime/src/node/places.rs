//! Reads and changes of the coordination tables of a place.

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;

use std::time::Duration;

use antiphon_base::guard::Guarded;
use antiphon_persistence::store::{CasOutcome, Coordination, Row, RowVersion};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::lease::{COORDINATOR, LEASES, LeaseRow, VersionedLease};
use crate::membership::{MEMBERS, MemberRow, Outcome, Versioned};
use crate::{Error, NodeId, Result};

/// The result of one read of a place.
#[derive(Debug)]
pub(crate) struct PlaceView {
    pub(super) members: Vec<Versioned>,
    pub(super) lease: VersionedLease,
}

/// Runs a store call with a limit; when the limit is exceeded, the outcome is unknown. A store that
/// panics has failed: the store may be the application's.
pub(super) async fn limited<T>(
    limit: Duration,
    what: &'static str,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    let call = Guarded::new("a store", what.to_owned(), Box::pin(call));
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(result)) => result,
        Ok(Err(failure)) => Err(Error::unavailable(format!("{what}: {failure}"))),
        Err(_) => {
            Err(Error::timeout(format!("{what}: no answer within {limit:?} (`store_timeout`)")))
        }
    }
}

fn decode<T: DeserializeOwned>(table: &str, row: &Row) -> Result<(RowVersion, T)> {
    let value = serde_json::from_slice(&row.value).map_err(|error| {
        Error::corrupt(format!("row `{}` of table `{table}` cannot be read: {error}", row.key))
    })?;
    Ok((row.version, value))
}

pub(super) fn encode<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).expect("rows have nothing that JSON does not know").into()
}

pub(super) async fn read(store: &dyn Coordination) -> Result<PlaceView> {
    // the lease first: its holder joined before it took the lease, so it is among the members that
    // are read after
    let lease = store.read(LEASES, COORDINATOR).await?;
    let rows = store.scan(MEMBERS).await?.rows;
    let members = rows.iter().map(member).collect::<Result<_>>()?;
    let lease = lease.map(|row| decode::<LeaseRow>(LEASES, &row)).transpose()?;
    Ok(PlaceView { members, lease })
}

/// The row of a member, which must be that of its key: a row that was copied to another key is
/// damage.
fn member(row: &Row) -> Result<(RowVersion, MemberRow)> {
    let (version, member) = decode::<MemberRow>(MEMBERS, row)?;
    if member.id.to_string() != *row.key {
        return Err(Error::corrupt(format!(
            "row `{}` of table `{MEMBERS}` is that of `{}`",
            row.key, member.id
        )));
    }
    Ok((version, member))
}

pub(super) async fn change_member(
    store: &dyn Coordination,
    id: &NodeId,
    expected: Option<RowVersion>,
    row: Option<&MemberRow>,
) -> Result<Outcome> {
    let changed =
        store.compare_and_set(MEMBERS, &id.to_string(), expected, row.map(encode)).await?;
    Ok(match changed {
        CasOutcome::Applied(version) => Outcome::Applied(version),
        CasOutcome::Conflict(row) => Outcome::Conflict(row.map(|row| member(&row)).transpose()?),
    })
}

/// Changes the row of the lease. Returns the row after the call, changed or not.
pub(super) async fn change_lease(
    store: &dyn Coordination,
    expected: Option<RowVersion>,
    row: &LeaseRow,
) -> Result<VersionedLease> {
    let changed = store.compare_and_set(LEASES, COORDINATOR, expected, Some(encode(row))).await?;
    match changed {
        CasOutcome::Applied(version) => Ok(Some((version, row.clone()))),
        CasOutcome::Conflict(row) => row.map(|row| decode(LEASES, &row)).transpose(),
    }
}

//! Rows of a coordination table, to tell journals apart.

use std::path::Path;

use antiphon_persistence::store::{CasOutcome, Coordination};
use antiphon_sqlite::{SqliteSettings, SqliteStores};
use bytes::Bytes;

pub(crate) fn open(path: &Path) -> SqliteStores {
    SqliteStores::open(path, SqliteSettings::default()).expect("as the test expects")
}

pub(crate) async fn put(
    stores: &SqliteStores,
    key: &str,
    value: &str,
) -> antiphon_base::Result<()> {
    let value = Bytes::copy_from_slice(value.as_bytes());
    let put = stores.compare_and_set("t", key, None, Some(value)).await?;
    assert_eq!(put, CasOutcome::Applied(1));
    Ok(())
}

pub(crate) async fn get(stores: &SqliteStores, key: &str) -> antiphon_base::Result<Option<String>> {
    let row = Coordination::read(stores, "t", key).await?;
    Ok(row.map(|row| String::from_utf8_lossy(&row.value).into_owned()))
}

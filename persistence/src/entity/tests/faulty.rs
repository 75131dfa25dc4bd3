//! Entities on stores that fail.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Command, Counter, fixture_on, quiet, spawn};
use crate::memory::MemoryStores;
use crate::shape::{ShapeBook, kinds};
use crate::store::{
    CasOutcome, Coordination, FencedOutcome, FencingToken, Row, RowVersion, TableRows,
};
use crate::{Error, Result};

/// A coordination store that can be read, and whose writes come to no known end.
struct Late(Arc<dyn Coordination>);

#[async_trait]
impl Coordination for Late {
    async fn scan(&self, table: &str) -> Result<TableRows> {
        self.0.scan(table).await
    }

    async fn read(&self, table: &str, key: &str) -> Result<Option<Row>> {
        self.0.read(table, key).await
    }

    async fn compare_and_set(
        &self,
        _: &str,
        _: &str,
        _: Option<RowVersion>,
        _: Option<Bytes>,
    ) -> Result<CasOutcome> {
        Err(Error::timeout("the test wants it"))
    }

    async fn raise_token(&self, _: &str, _: FencingToken) -> Result<FencingToken> {
        Err(Error::timeout("the test wants it"))
    }

    async fn put_fenced(
        &self,
        _: &str,
        _: FencingToken,
        _: &[(Arc<str>, Option<Bytes>)],
    ) -> Result<FencedOutcome> {
        Err(Error::timeout("the test wants it"))
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_before_which_a_shape_could_not_be_recorded_is_without_effect() {
    let stores = MemoryStores::new().stores();
    let coordination = Arc::new(Late(stores.coordination.clone()));
    let shapes = ShapeBook::new("counter".into(), kinds(&Counter), coordination);
    let mut fixture = fixture_on(quiet(), stores).await;
    fixture.runtime = fixture.runtime.with_shapes(shapes);
    let entity = spawn(&fixture);
    let error = entity.ask(|to| Command::Add(1, to)).await.unwrap_err();
    assert!(error.is_without_effect(), "the journal was never asked: {error}");
}

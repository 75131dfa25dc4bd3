//! Example customers, for a demonstration or a first test of replication.

use antiphon_eventstore::{NewEvent, Result};

use crate::server::TestServer;

const NAMES: [&str; 10] =
    ["Ada", "Edsger", "Grace", "Barbara", "Alan", "Radia", "Leslie", "Frances", "Tony", "Margaret"];

impl TestServer {
    /// Appends a `CustomerCreated` event to each of `count` streams `customer-1`, `customer-2` and
    /// so on, so that `$ce-customer` links to them.
    ///
    /// # Errors
    /// The errors of [`Self::append`].
    pub fn seed_customers(&self, count: usize) -> Result<()> {
        for number in 1..=count {
            let name = NAMES[(number - 1) % NAMES.len()];
            let data = format!(r#"{{"id":{number},"name":"{name}"}}"#);
            let event = NewEvent::json("CustomerCreated", data).with_metadata(r#"{"by":"seed"}"#);
            self.append(&format!("customer-{number}"), vec![event])?;
        }
        Ok(())
    }
}

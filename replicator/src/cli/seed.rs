//! The command `seed`: writes customers, so that there is something to replicate.

use antiphon_eventstore as es;
use bytes::Bytes;
use clap::Args;
use uuid::Uuid;

use crate::say::say;
use crate::source::error;
use crate::{Error, Result};

/// Arguments of `seed`.
#[derive(Debug, Clone, Args)]
pub struct SeedArguments {
    /// Connection string of the event store that is written: `esdb://host:port?tls=false`
    #[arg(long)]
    pub connection: String,
    /// Number of customers, each a stream `customer-1`, `customer-2` and so on
    #[arg(long, default_value_t = 10)]
    pub customers: u32,
    /// Number of events of each customer
    #[arg(long, default_value_t = 1)]
    pub events: u32,
}

pub(super) async fn execute(arguments: SeedArguments) -> Result<()> {
    let connection = es::ConnectionString::parse(&arguments.connection).map_err(|failed| {
        Error::rejected(format!("`--connection`: {}", crate::source::message(&failed)))
    })?;
    for warning in crate::config::unknown_parameters("`--connection`", &connection) {
        eprintln!("warning: {warning}");
    }
    let client =
        es::EventStoreClient::new(connection, es::ClientSettings::default()).map_err(error)?;
    let (customers, events) = (arguments.customers, arguments.events);
    for event in 0..events {
        for customer in 1..=customers {
            let new = customer_event(customer, event);
            let stream = format!("customer-{customer}");
            client.append(&stream, es::ExpectedRevision::Any, vec![new]).await.map_err(error)?;
        }
    }
    say(&format!(
        "{} events in {customers} streams `customer-..`",
        u64::from(customers) * u64::from(events)
    ))
}

/// Event `number` of a customer; the same at every seeding, except its id.
pub(crate) fn customer_event(customer: u32, number: u32) -> es::NewEvent {
    let (event_type, data) = match number {
        0 => ("CustomerCreated", format!(r#"{{"id":{customer},"name":"Customer {customer}"}}"#)),
        _ => ("CustomerMoved", format!(r#"{{"id":{customer},"street":"Street {number}"}}"#)),
    };
    es::NewEvent::json(event_type, Bytes::from(data))
        .with_id(Uuid::new_v4())
        .with_metadata(Bytes::from_static(br#"{"by":"seed"}"#))
}

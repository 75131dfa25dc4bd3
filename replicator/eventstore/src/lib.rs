//! The client, module by module: connecting first, then the calls.
//!
#![doc = include_str!("../README.md")]

mod address;
mod append;
mod appender;
mod client;
mod connection_string;
mod connector;
mod consumer;
mod conversion;
mod discovery;
mod error;
mod event;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod greeting;
mod group;
mod group_settings;
mod legacy;
mod link;
mod messages;
mod metadata;
mod read;
mod requests;
mod settings;
mod status;
mod subscribe;
mod tls;
pub mod wire;

pub use address::NodeAddress;
pub use appender::Appender;
pub use client::EventStoreClient;
pub use connection_string::{ConnectionString, Credentials, NodePreference};
pub use consumer::{GroupAnswers, GroupEvent, GroupSubscription, NackAction};
pub use conversion::content_type;
pub use error::{Error, ErrorKind, Result};
pub use event::{
    ALL, AppendOutcome, ExpectedRevision, NewEvent, Position, RecordedEvent, ResolvedEvent,
};
pub use group_settings::{ConsumerStrategy, GroupInfo, GroupSettings};
pub use metadata::StreamMetadata;
pub use read::{Direction, EventStream, ReadFrom};
pub use settings::ClientSettings;
pub use subscribe::{Filter, Subscription, SubscriptionMessage};

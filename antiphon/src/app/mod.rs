//! The host of an application: its `main`, and all that the `antiphon` binary has.
//!
//! ```no_run
//! # use antiphon::app::{Ask, Body, HttpEntity};
//! # use antiphon::prelude::*;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)]
//! # enum Command { Get { reply_to: ReplyTo<u32> } }
//! # struct Cart;
//! # impl EventSourced for Cart {
//! #     type Command = Command;
//! #     type Event = u32;
//! #     type State = u32;
//! #     fn on_command(&self, _: &CommandContext, sum: &u32, command: Command) -> Effect<Self> {
//! #         let Command::Get { reply_to } = command;
//! #         Effect::reply(reply_to, *sum)
//! #     }
//! #     fn on_event(&self, _: &EventContext, sum: &mut u32, event: &u32) { *sum += event; }
//! # }
//! # impl HttpEntity for Cart {
//! #     fn on_get() -> Option<Ask<Command>> {
//! #         Some(Ask::new(|reply_to| Command::Get { reply_to }))
//! #     }
//! # }
//! fn main() -> std::process::ExitCode {
//!     let carts = ReplicatedEntityProvider::at_each_place("cart", |_: &ReplicationId| Cart);
//!     antiphon::app::app("shop").entity(carts).run()
//! }
//! ```
//!
//! This program has the commands `shop node --config shop.toml`, `shop check`, `shop status`, `shop
//! demo`, and those of an operator. The file is that of every node (`deploy/node.toml` documents
//! it), and `/entities/cart/{id}` answers.
//!
//! - [`App`] declares entities, routes, settings and commands.
//! - [`HttpEntity`] says how an entity is asked over HTTP, with [`Ask`] and [`Body`]; [`status`] is
//!   the status of an error.
//! - [`Caller`] and [`TraceContext`] are arguments of the application's routes.
//! - [`Section`] is a table of the configuration that belongs to the application.
//! - [`Host`] is the running node for the application's routes; [`Setup`] is what is known before
//!   its entities run.
//! - [`Tools`] are for the application's own commands.
//! - [`config`]: TOML and environment, with errors that name the key.
//! - [`client`]: a small HTTP client for commands and tests; [`header`]: names in headers.
//! - [`cluster`]: starts node processes on this machine.
//! - [`commands`]: the commands of an operator.
//! - [`output`]: what the commands print.
//! - `run`: one node, from its configuration to its end; `http`: entities as JSON.

mod apart;
mod body;
mod builder;
pub mod client;
pub mod cluster;
mod command_line;
pub mod commands;
pub mod config;
mod descriptors;
mod entity;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod http;
mod journal;
pub mod output;
mod run;
mod tools;
mod trace;
mod types;

pub use crate::header;
pub use crate::runtime::admin::{Caller, Right};
pub use axum;
pub use builder::{App, IntoRoutes};
pub use clap;
pub use config::Section;
pub use entity::{Ask, Body, HttpEntity};
pub use host::{Host, Setup};
pub use http::{request_id, status};
pub use tools::Tools;
pub use trace::TraceContext;

/// An application of this name, without entities. Its name is that of its command line.
pub fn app(name: &'static str) -> App {
    App::new(name)
}

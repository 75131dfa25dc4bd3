//! Tests of an entity's behaviour: one replica ([`EntityTest`]) or several ([`ReplicasTest`]), on
//! the engine that runs in production, without a store or a cluster.
//!
//! The tutorial is that of [`antiphon_persistence::entity::testkit`]. Here is the way to other
//! entities: a stand-in answers in their place.
//!
//! ```
//! use antiphon::prelude::*;
//! use antiphon::testkit::{Did, EntityTest, StandIns};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! enum Mail { Send(String) }
//! struct Bell;
//!
//! impl EventSourced for Bell {
//!     type Command = String;
//!     type Event = String;
//!     type State = u32;
//!
//!     fn on_command(&self, context: &CommandContext, _: &u32, who: String) -> Effect<Self> {
//!         let mail = context.entity_ref::<Mail>("mail", "porter").expect("the type is there");
//!         let text = format!("{who} is at the door");
//!         // when the event is durable
//!         self.persist(who).then_run(|_| (), move |()| mail.tell(Mail::Send(text)))
//!     }
//!
//!     fn on_event(&self, _: &EventContext, count: &mut u32, _: &String) {
//!         *count += 1;
//!     }
//! }
//!
//! let (sender, mails) = std::sync::mpsc::channel();
//! let mut bell = EntityTest::new(Bell, "bell|b-1")
//!     .with_entity::<Mail>("mail", move |_, Mail::Send(text)| sender.send(text).unwrap());
//! bell.tell("Anna".to_owned());
//! assert_eq!(bell.effects(), [Did::Persisted(1), Did::Told("mail|porter".into())]);
//! assert_eq!(mails.try_recv().as_deref(), Ok("Anna is at the door"));
//! ```

pub use antiphon_persistence::entity::testkit::{
    Asked, Did, EntityTest, ReplicasTest, check_answers, check_commands, check_event, check_stored,
};
pub use antiphon_sharding::StandIns;

//! Release 2, which reads everything of release 1, and writes its events until all nodes have
//! release 2.

use antiphon::app::{Ask, Body, HttpEntity};
use antiphon::persistence::codec::CodecId;
use antiphon::persistence::entity::UnknownVersion;
use antiphon::persistence::event::Payload;
use antiphon::persistence::shape::StoredTypes;
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Command, EXPECTED, Summary, one, posted};

/// The events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The account has a holder; an owner before.
    Opened {
        /// The name.
        holder: String,
    },
    /// The balance has changed; the first half of a transfer.
    Moved {
        /// The amount.
        cents: i64,
    },
    /// A fee was taken; the other half.
    Charged {
        /// The fee.
        cents: i64,
    },
}

/// The state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The name of the holder.
    pub holder: String,
    /// The balance without fees.
    pub balance: i64,
    /// The sum of the fees.
    pub fees: i64,
    /// The number of movements.
    pub count: u64,
}

impl State {
    fn summary(&self) -> Summary {
        let Self { holder, balance, fees, count } = self.clone();
        Summary { owner: holder, balance, fees, count }
    }
}

/// The behaviour.
pub struct Account {
    /// The codec of events and snapshots.
    pub codec: CodecId,
    /// The release whose events are written.
    pub writes: u8,
}

impl Account {
    /// The events of release 1 that say the same: for nodes that know no others.
    fn as_of_one(event: &Event) -> (&'static str, one::Event) {
        match event {
            Event::Opened { holder } => ("opened", one::Event::Opened { owner: holder.clone() }),
            Event::Moved { cents } => {
                ("transferred", one::Event::Transferred { cents: *cents, fee: 0 })
            }
            Event::Charged { cents } => {
                ("transferred", one::Event::Transferred { cents: 0, fee: *cents })
            }
        }
    }

    /// The events that an event of release 1 is today: none, one or two.
    fn of_one(event: one::Event) -> Vec<Event> {
        match event {
            one::Event::Opened { owner } => vec![Event::Opened { holder: owner }],
            one::Event::Transferred { cents, fee } => {
                let moved = (cents != 0).then_some(Event::Moved { cents });
                let charged = (fee != 0).then_some(Event::Charged { cents: fee });
                moved.into_iter().chain(charged).collect()
            }
            one::Event::Noted { .. } => Vec::new(),
        }
    }
}

impl EventSourced for Account {
    type Command = Command;
    type Event = Event;
    type State = State;

    fn on_command(&self, _: &CommandContext, state: &State, command: Command) -> Effect<Self> {
        match command {
            Command::Open { owner, reply_to } => {
                self.persist(Event::Opened { holder: owner }).then_reply(reply_to, State::summary)
            }
            Command::Transfer { cents, fee, reply_to } => {
                let charged = (fee != 0).then_some(Event::Charged { cents: fee });
                self.persist_all([Event::Moved { cents }].into_iter().chain(charged))
                    .then_reply(reply_to, State::summary)
            }
            // nodes of release 1 may send it
            Command::Note { reply_to, .. } | Command::Get { reply_to } => {
                self.reply(reply_to, state.summary())
            }
        }
    }

    fn on_event(&self, _: &EventContext, state: &mut State, event: &Event) {
        match event {
            Event::Opened { holder } => state.holder = holder.clone().max(state.holder.clone()),
            Event::Moved { cents } => {
                state.balance += cents;
                state.count += 1;
            }
            Event::Charged { cents } => {
                state.balance -= cents;
                state.fees += cents;
            }
        }
    }

    fn event_type(&self, event: &Event) -> EventType {
        let (manifest, version) = match event {
            Event::Opened { .. } => ("opened", 2),
            Event::Moved { .. } => ("moved", 1),
            Event::Charged { .. } => ("charged", 1),
        };
        EventType { manifest: manifest.into(), version }
    }

    fn to_journal(&self, event: &Event) -> Result<Payload> {
        if self.writes == 1 {
            let (manifest, event) = Self::as_of_one(event);
            return Payload::encode(self.codec, manifest, 1, &event);
        }
        let EventType { manifest, version } = self.event_type(event);
        Payload::encode(self.codec, manifest, version, event)
    }

    fn stored_types(&self) -> StoredTypes {
        if self.writes > 1 {
            return StoredTypes::new();
        }
        StoredTypes::new().event::<one::Event>("opened", 1).event::<one::Event>("transferred", 1)
    }

    fn from_journal(&self, payload: &Payload) -> Result<Vec<Event>> {
        match (&*payload.manifest, payload.version) {
            ("opened" | "transferred" | "noted", 1) => Ok(Self::of_one(payload.decode()?)),
            ("opened", 2) | ("moved" | "charged", 1) => Ok(vec![payload.decode()?]),
            (manifest, version) => {
                let unknown = UnknownVersion { manifest: manifest.to_owned(), version };
                Err(Error::corrupt("an event of a later release").with_source(unknown))
            }
        }
    }

    fn snapshot_codec(&self) -> CodecId {
        self.codec
    }

    fn snapshot_version(&self) -> u16 {
        2
    }

    fn from_snapshot(&self, payload: &Payload) -> Result<State> {
        if payload.version == 1 {
            let one::State { owner, balance, fees, count } = payload.decode()?;
            return Ok(State { holder: owner, balance, fees, count });
        }
        if payload.version != self.snapshot_version() {
            let unknown = UnknownVersion { manifest: String::new(), version: payload.version };
            return Err(Error::corrupt("a snapshot of a later release").with_source(unknown));
        }
        payload.decode()
    }
}

impl HttpEntity for Account {
    fn on_get() -> Option<Ask<Command>> {
        Some(Ask::new(|reply_to| Command::Get { reply_to }))
    }

    fn on_post(body: Body) -> Result<Ask<Command>> {
        posted(body)
    }

    fn expected() -> &'static str {
        EXPECTED
    }
}

#[cfg(test)]
mod tests {
    use antiphon::persistence::entity::testkit::{EntityTest, check_event, check_stored};

    use super::*;

    const CODECS: [CodecId; 3] = [CodecId::Bincode, CodecId::Cbor, CodecId::Json];

    fn stored(codec: CodecId, manifest: &str, event: &one::Event) -> Payload {
        Payload::encode(codec, manifest, 1, event).unwrap()
    }

    #[test]
    fn each_event_of_release_1_is_read_with_each_codec() {
        for codec in CODECS {
            let account = Account { codec: CodecId::Bincode, writes: 2 };
            let read = |manifest, event| account.from_journal(&stored(codec, manifest, &event));
            let read = |manifest, event| read(manifest, event).unwrap();
            let opened = one::Event::Opened { owner: "Ann".into() };
            assert_eq!(read("opened", opened), [Event::Opened { holder: "Ann".into() }]);
            let transferred = one::Event::Transferred { cents: 500, fee: 7 };
            let both = [Event::Moved { cents: 500 }, Event::Charged { cents: 7 }];
            assert_eq!(read("transferred", transferred), both);
            assert_eq!(read("noted", one::Event::Noted { text: "hm".into() }), []);
        }
    }

    #[test]
    fn what_release_2_writes_is_read_as_itself_in_both_forms_and_with_each_codec() {
        for (codec, writes) in CODECS.into_iter().flat_map(|codec| [(codec, 1), (codec, 2)]) {
            let account = Account { codec, writes };
            check_stored(&account).unwrap_or_else(|why| panic!("{codec:?}, {writes}: {why}"));
            for event in [
                Event::Opened { holder: "Ann".into() },
                Event::Moved { cents: -5 },
                Event::Charged { cents: 3 },
            ] {
                check_event(&account, &event).unwrap();
            }
        }
    }

    #[test]
    fn an_event_that_would_be_read_as_none_is_refused_before_it_is_stored() {
        let account = Account { codec: CodecId::Json, writes: 1 };
        let why = check_event(&account, &Event::Moved { cents: 0 }).unwrap_err();
        assert!(why.contains("reads 0 events"), "{why}");
    }

    #[test]
    fn a_transfer_is_two_events_here_and_both_releases_show_the_same_account() {
        let transfer = |reply_to| Command::Transfer { cents: 500, fee: 7, reply_to };
        let mut one = EntityTest::new(one::Account { codec: CodecId::Cbor }, "account|a-1");
        let mut two = EntityTest::new(Account { codec: CodecId::Cbor, writes: 1 }, "account|a-1");
        assert_eq!(one.ask(transfer), two.ask(transfer));
        assert_eq!(two.new_events().len(), 2);
    }
}

//! The targets. Inputs name decoders by their place: new decoders and lists go to the end.

use antiphon_base::fuzzing::Decoder;

/// A target: it is fuzzed alone, and has a corpus of its own.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name, also that of the folder in `fuzz/corpus`.
    pub name: &'static str,
    lists: &'static [&'static [Decoder]],
}

/// Room for decoders in each list of a target.
const LIST: usize = 16;

/// All targets.
pub static TARGETS: &[Target] = &[
    Target { name: "frames", lists: &[antiphon_runtime::fuzzing::FRAMES] },
    Target { name: "greeting", lists: &[antiphon_runtime::fuzzing::GREETING] },
    Target { name: "messages", lists: &[antiphon_sharding::fuzzing::MESSAGES] },
    Target {
        name: "values",
        lists: &[antiphon_persistence::fuzzing::VALUES, antiphon_persistence::fuzzing::SESSIONS],
    },
    Target { name: "records", lists: &[antiphon_persistence::fuzzing::RECORDS] },
    Target { name: "shapes", lists: &[antiphon_persistence::fuzzing::SHAPES] },
    Target {
        name: "places",
        lists: &[antiphon_runtime::fuzzing::PLACES, antiphon_runtime::fuzzing::SESSIONS],
    },
    Target { name: "sqlite", lists: &[antiphon_sqlite::fuzzing::ROWS] },
    Target {
        name: "cassandra",
        lists: &[antiphon_cassandra::fuzzing::LOG, antiphon_cassandra::fuzzing::CQL],
    },
    Target { name: "configuration", lists: &[antiphon::app::fuzzing::CONFIGURATION] },
    Target {
        name: "replicator",
        lists: &[
            antiphon_replicator::fuzzing::CONFIGURATION,
            antiphon_eventstore::fuzzing::CONNECTIONS,
        ],
    },
    Target {
        name: "event_store",
        lists: &[
            antiphon_eventstore::fuzzing::MESSAGES,
            antiphon_replicator::fuzzing::EVENTS,
            antiphon_replicator::fuzzing::HOOK,
        ],
    },
];

impl Target {
    /// The target with this name.
    pub fn named(name: &str) -> Option<Self> {
        TARGETS.iter().find(|target| target.name == name).copied()
    }

    /// The decoders, each with the first byte of its inputs.
    pub fn decoders(self) -> impl Iterator<Item = (u8, &'static Decoder)> {
        self.lists.iter().enumerate().flat_map(|(list, decoders)| {
            let place = move |at: usize| u8::try_from(LIST * list + at).expect("few decoders");
            decoders.iter().enumerate().map(move |(at, decoder)| (place(at), decoder))
        })
    }

    /// The decoder that an input chooses, and the bytes for it.
    pub fn choose(self, input: &[u8]) -> Option<(&'static Decoder, &[u8])> {
        let (place, bytes) = input.split_first()?;
        let place = usize::from(*place);
        Some((self.lists.get(place / LIST)?.get(place % LIST)?, bytes))
    }
}

//! Settings of the client of event stores, and of the sink that writes to one.

use antiphon_eventstore::ClientSettings;

use super::kinds::{DAY, GIGA, MILLISECOND, number, span};
use super::table::{Sub, section, settings};
use crate::sink::EventStoreSinkSettings;

settings! {
    /// Limits of the client and of the sink `eventstore`.
    StoreSettings {
        /// Limits of the client, for source and destination; a value in a connection string goes
        /// first.
        client: ClientSettings = ClientSettings::default(), "Client", Sub;
        /// Ids of a destination stream that are read to find events that were written before, with
        /// `SkipVersionCheck`.
        look_back_max: u64 = EventStoreSinkSettings::default().look_back_max, "LookBackMax",
            number(1, 10_000_000);
        /// Ids of all streams together that are kept in memory; when full, streams are forgotten
        /// and read again.
        known_ids_max: usize = EventStoreSinkSettings::default().known_ids_max, "KnownIdsMax",
            number(1, 1_000_000_000);
    }
}

section! {
    ClientSettings {
        /// Longest time of one attempt to connect to an event store. A value in a connection
        /// string goes before this key and the next ones; its name there is in parentheses.
        connect_timeout, "ConnectTimeout", span(MILLISECOND, DAY);
        /// Interval at which an idle connection is probed (`keepAliveInterval`).
        keep_alive_interval, "KeepAliveInterval", span(MILLISECOND, DAY);
        /// Longest wait for the answer to such a probe (`keepAliveTimeout`). The interval and this
        /// time together pass before a frozen server is noticed.
        keep_alive_timeout, "KeepAliveTimeout", span(MILLISECOND, DAY);
        /// Attempts to find a node before a request fails (`maxDiscoverAttempts`).
        discover_attempts_max, "DiscoverAttemptsMax", number(1, 1_000_000);
        /// The pause between these attempts (`discoveryInterval`).
        discovery_interval, "DiscoveryInterval", span(MILLISECOND, DAY);
        /// Longest wait for a node's answer with the nodes of its cluster (`gossipTimeout`).
        gossip_timeout, "GossipTimeout", span(MILLISECOND, DAY);
        /// Bytes of the largest message that is taken from a server.
        message_bytes_max, "MessageBytesMax", number(65_536, GIGA);
        /// Bytes that a server may send ahead on one stream.
        stream_window_bytes, "StreamWindowBytes", number(65_535, GIGA);
        /// Bytes that a server may send ahead on one connection.
        connection_window_bytes, "ConnectionWindowBytes", number(65_535, GIGA);
        /// Events that the server looks at for one page of a filtered `$all`.
        filter_window_max, "FilterWindowMax", number(1, 100_000);
        /// Pages after which the server reports its position in a filtered `$all`.
        filter_checkpoint_windows, "FilterCheckpointWindows", number(1, 100_000);
        /// Answers to a group that wait for its connection; when full, the next one waits.
        group_answers_max, "GroupAnswersMax", number(1, 1_000_000);
    }
}

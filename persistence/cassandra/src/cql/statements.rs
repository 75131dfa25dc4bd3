//! The prepared statements, by name.

use antiphon_base::{Error, Result};
use scylla::client::session::Session;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::unprepared::Statement;

use super::ServerSettings;
use super::counts::Counts;
use super::sessions::Use;
use antiphon_persistence::store::StatementCounts;

/// A statement with its name in metrics and errors.
pub(super) struct Named {
    pub(super) name: &'static str,
    pub(super) prepared: PreparedStatement,
    /// True when repeating the statement has the same effect as sending it once.
    pub(super) repeatable: bool,
    /// The session that sends it.
    pub(super) session: Use,
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A statement that may be repeated.
    Idempotent,
    /// A read that sees every conditional write that was answered.
    Serial,
    /// A conditional write, never repeated by the driver.
    Conditional,
}

macro_rules! statements {
    ($($name:ident: $kind:ident $cql:literal,)*) => {
        /// All prepared statements.
        pub(super) struct Statements {
            $(pub(super) $name: Named,)*
        }

        impl Statements {
            /// The counts of each statement.
            pub(super) fn counts(&self) -> Vec<StatementCounts> {
                vec![$(self.$name.counts.snapshot(self.$name.name),)*]
            }

            pub(super) async fn prepare(session: &Session, settings: &ServerSettings) -> Result<Self> {
                Ok(Self {
                    $($name: prepare(session, settings, stringify!($name), Kind::$kind, $cql).await?,)*
                })
            }
        }
    };
}

statements! {
    insert_writer: Conditional "INSERT INTO writers (place, writer, lanes, sealed, copied) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS",
    seal_writer: Conditional "UPDATE writers SET sealed = true WHERE place = ? AND writer = ? IF EXISTS",
    finish_writer: Conditional "UPDATE writers SET sealed = true, copied = true, ended_at = ? WHERE place = ? AND writer = ? IF EXISTS",
    writers: Idempotent "SELECT writer, lanes, sealed, copied, ended_at FROM writers WHERE place = ?",
    writer: Serial "SELECT writer, lanes, sealed, copied, ended_at FROM writers WHERE place = ? AND writer = ?",
    put_round: Conditional "UPDATE log SET head = ?, record = ? WHERE place = ? AND writer = ? AND lane = ? AND part = ? AND nr = ? IF head = ? AND sealed = null AND closed = null",
    close_round: Conditional "UPDATE log SET head = ?, closed = true, record = ? WHERE place = ? AND writer = ? AND lane = ? AND part = ? AND nr = ? IF head = ? AND sealed = null AND closed = null",
    seal_part: Conditional "UPDATE log SET sealed = true WHERE place = ? AND writer = ? AND lane = ? AND part = ? IF closed = null AND sealed = null",
    part: Serial "SELECT head, closed, sealed FROM log WHERE place = ? AND writer = ? AND lane = ? AND part = ? LIMIT 1",
    part_state: Idempotent "SELECT head, closed, sealed FROM log WHERE place = ? AND writer = ? AND lane = ? AND part = ? LIMIT 1",
    rounds: Idempotent "SELECT nr, record FROM log WHERE place = ? AND writer = ? AND lane = ? AND part = ? AND nr > ? LIMIT ?",
    rounds_serial: Serial "SELECT nr, record FROM log WHERE place = ? AND writer = ? AND lane = ? AND part = ? AND nr > ? LIMIT ?",
    drop_part: Idempotent "DELETE FROM log WHERE place = ? AND writer = ? AND lane = ? AND part = ? AND nr >= 0",
    lane: Idempotent "SELECT copied_part, copied_nr, first_part FROM lanes WHERE place = ? AND writer = ? AND lane = ?",
    put_lane_copied: Idempotent "INSERT INTO lanes (place, writer, lane, copied_part, copied_nr) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?",
    put_lane_first: Idempotent "INSERT INTO lanes (place, writer, lane, first_part) VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
    put_events: Idempotent "INSERT INTO events (place, stream, part, first, last, highest, record) VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
    highest_in_part: Idempotent "SELECT highest FROM events WHERE place = ? AND stream = ? AND part = ? LIMIT 1",
    events: Idempotent "SELECT first, last, record FROM events WHERE place = ? AND stream = ? AND part = ? AND first >= ? AND first <= ? LIMIT ?",
    delete_events: Idempotent "DELETE FROM events USING TIMESTAMP ? WHERE place = ? AND stream = ? AND part = ? AND first <= ?",
    stream: Idempotent "SELECT part, deleted FROM streams WHERE place = ? AND stream = ?",
    put_stream_part: Idempotent "INSERT INTO streams (place, stream, part) VALUES (?, ?, ?) USING TIMESTAMP ?",
    put_stream_deleted: Idempotent "INSERT INTO streams (place, stream, deleted) VALUES (?, ?, ?) USING TIMESTAMP ?",
    put_stream_id: Idempotent "INSERT INTO stream_ids (place, entity_type, bucket, stream) VALUES (?, ?, ?, ?)",
    stream_ids: Idempotent "SELECT stream FROM stream_ids WHERE place = ? AND entity_type = ? AND bucket = ? AND stream > ? LIMIT ?",
    entity_types: Idempotent "SELECT DISTINCT place, entity_type, bucket FROM stream_ids",
    offsets: Idempotent "SELECT place, reader, part, position FROM offsets",
    cell_tables: Idempotent "SELECT DISTINCT place, cell_table FROM cells",
    put_snapshot: Idempotent "INSERT INTO snapshots (place, stream, sequence_nr, record) VALUES (?, ?, ?, ?)",
    snapshot: Idempotent "SELECT sequence_nr, record FROM snapshots WHERE place = ? AND stream = ? AND sequence_nr <= ? LIMIT 1",
    delete_snapshots: Idempotent "DELETE FROM snapshots WHERE place = ? AND stream = ? AND sequence_nr <= ?",
    put_offset: Idempotent "INSERT INTO offsets (place, reader, part, position) VALUES (?, ?, ?, ?)",
    offset: Idempotent "SELECT position FROM offsets WHERE place = ? AND reader = ? AND part = ?",
    put_reminder: Idempotent "INSERT INTO reminders (place, entity_type, hour, due, stream, name, set_by, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
    remove_reminder: Idempotent "DELETE FROM reminders USING TIMESTAMP ? WHERE place = ? AND entity_type = ? AND hour = ? AND due = ? AND stream = ? AND name = ? AND set_by = ?",
    reminder: Idempotent "SELECT checksum FROM reminders WHERE place = ? AND entity_type = ? AND hour = ? AND due = ? AND stream = ? AND name = ? AND set_by = ?",
    reminders: Idempotent "SELECT due, stream, name, set_by, checksum FROM reminders WHERE place = ? AND entity_type = ? AND hour = ? AND (due, stream, name, set_by) > (?, ?, ?, ?) AND (due) <= (?) LIMIT ?",
    reminder_parts: Idempotent "SELECT DISTINCT place, entity_type, hour FROM reminders",
    put_mark: Idempotent "INSERT INTO reminder_marks (place, entity_type, hour, session, record) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?",
    remove_mark: Idempotent "DELETE FROM reminder_marks USING TIMESTAMP ? WHERE place = ? AND entity_type = ? AND hour = ? AND session = ?",
    marks: Idempotent "SELECT hour, session, record FROM reminder_marks WHERE place = ? AND entity_type = ? AND hour <= ?",
    cells: Serial "SELECT cell_key, fencing_token, fencing_checksum, version, value FROM cells WHERE place = ? AND cell_table = ?",
    cell: Serial "SELECT cell_key, version, value FROM cells WHERE place = ? AND cell_table = ? AND cell_key = ?",
    set_token: Conditional "UPDATE cells SET fencing_token = ?, fencing_checksum = ? WHERE place = ? AND cell_table = ? IF fencing_token = ?",
    insert_cell: Conditional "INSERT INTO cells (place, cell_table, cell_key, version, value) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS",
    update_cell: Conditional "UPDATE cells SET version = ?, value = ? WHERE place = ? AND cell_table = ? AND cell_key = ? IF version = ?",
    delete_cell: Conditional "DELETE FROM cells WHERE place = ? AND cell_table = ? AND cell_key = ? IF version = ?",
}

async fn prepare(
    session: &Session,
    settings: &ServerSettings,
    name: &'static str,
    kind: Kind,
    cql: &str,
) -> Result<Named> {
    // the table is the word after the first of these keywords
    let mut text = String::new();
    let mut before = "";
    let mut named = false;
    for word in cql.split(' ') {
        if !named && matches!(before, "INTO" | "FROM" | "UPDATE") {
            text.push_str(&settings.keyspace);
            text.push('.');
            named = true;
        }
        text.push_str(word);
        text.push(' ');
        before = word;
    }
    let mut statement = Statement::new(text.trim_end());
    statement.set_is_idempotent(kind != Kind::Conditional);
    if kind == Kind::Serial {
        statement.set_consistency(match settings.serial_consistency.as_str() {
            "serial" => Consistency::Serial,
            _ => Consistency::LocalSerial,
        });
    }
    let prepared = session.prepare(statement).await.map_err(|error| {
        Error::unavailable(format!("cassandra: preparing `{name}`: {error}")).with_source(error)
    })?;
    let repeatable = kind != Kind::Conditional;
    let session = if cql.contains(" cells ") { Use::Coordination } else { Use::Data };
    Ok(Named { name, prepared, repeatable, session, counts: Counts::default() })
}

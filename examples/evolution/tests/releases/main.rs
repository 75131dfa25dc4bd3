//! Two releases of the accounts side by side on real processes at two places, through `kill -9` and
//! restart; and plain accounts that become replicated ones. On SQLite; and on Cassandra when
//! `TEST_CASSANDRA` names a server.

mod bank;
mod plain;
mod rolling;

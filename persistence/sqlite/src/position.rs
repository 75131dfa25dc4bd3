//! Positions in the change feed: a row number and the checksum of that row, as in `17@2f3a`.
//!
//! Row numbers are used again when the file is replaced by an older copy. The checksum covers the
//! whole row, so a position in the lost history is noticed: its reader begins anew, and misses
//! nothing. The position of a deleted row cannot be compared; the newest row is never deleted.

use antiphon_base::{Error, Result};
use antiphon_persistence::store::Offset;
use rusqlite::{Connection, OptionalExtension};

use crate::record_error::Unread;

/// A row of the feed. Ordinal zero is before all rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) ordinal: i64,
    /// Checksum of the row. `None` in positions that were stored without one.
    pub(crate) checksum: Option<i64>,
}

impl Position {
    /// The position before all rows.
    pub(crate) const START: Self = Self { ordinal: 0, checksum: None };

    pub(crate) fn parse(offset: &Offset) -> Result<Self> {
        if offset.is_start() {
            return Ok(Self::START);
        }
        let (ordinal, checksum) = match offset.as_str().split_once('@') {
            None => (offset.as_str(), Some(None)),
            Some((ordinal, checksum)) => {
                (ordinal, u64::from_str_radix(checksum, 16).ok().map(|sum| Some(signed(sum))))
            }
        };
        let ordinal = ordinal.parse().ok().filter(|ordinal: &i64| *ordinal >= 0);
        let (Some(ordinal), Some(checksum)) = (ordinal, checksum) else {
            return Err(Error::rejected(format!(
                "offset `{offset}`: expected a row number of an SQLite journal, with a checksum after an `@`"
            )));
        };
        Ok(Self { ordinal, checksum })
    }

    pub(crate) fn offset(self) -> Offset {
        match self.checksum {
            _ if self.ordinal == 0 => Offset::start(),
            Some(checksum) => {
                let bits = u64::from_le_bytes(checksum.to_le_bytes());
                Offset::new(format!("{}@{bits:x}", self.ordinal))
            }
            None => Offset::new(self.ordinal.to_string()),
        }
    }

    /// True when the row is the one that the position names. A deleted row counts as the same when
    /// a newer row exists.
    pub(crate) fn is_of(self, connection: &Connection) -> std::result::Result<bool, Unread> {
        if self.ordinal == 0 {
            return Ok(true);
        }
        let there: Option<i64> = connection
            .prepare_cached("SELECT checksum FROM batches WHERE ordinal = ?1")?
            .query_row([self.ordinal], |row| row.get(0))
            .optional()?;
        if let Some(there) = there {
            return Ok(self.is(there));
        }
        let newest: i64 = connection
            .prepare_cached("SELECT coalesce(max(ordinal), 0) FROM batches")?
            .query_row([], |row| row.get(0))?;
        Ok(self.ordinal < newest)
    }

    pub(crate) fn is(self, checksum: i64) -> bool {
        self.checksum.is_none_or(|expected| expected == checksum)
    }
}

fn signed(bits: u64) -> i64 {
    i64::from_le_bytes(bits.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back_and_others_are_refused() {
        for checksum in [None, Some(0), Some(-1), Some(i64::MIN), Some(77)] {
            let position = Position { ordinal: 17, checksum };
            assert_eq!(Position::parse(&position.offset()).unwrap(), position);
        }
        for text in ["@", "1@", "1@g", "-1@5", "1.5", "1@1@1", "@1", "x@1"] {
            assert!(Position::parse(&Offset::new(text)).is_err(), "{text}");
        }
    }
}

//! Numbers of the stores as numbers of the server, which have a sign.

/// A number for the server. A number above the largest that the server has becomes that one.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number of the server. A negative number, which no statement writes, becomes zero.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The limit of a query, at least one row.
pub(super) fn limit(count_max: usize) -> i32 {
    i32::try_from(count_max).unwrap_or(i32::MAX).max(1)
}

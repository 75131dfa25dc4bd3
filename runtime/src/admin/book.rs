//! The book of the open HTTP connections: at most so many, and which one gives way to a new one.
//!
//! The newest connection is let in. The connection that has been idle for the longest time gives
//! way, among those of the address with the most connections: whoever opens connections without end
//! displaces his own. A connection with a request under way gives way to nobody.
//!
//! Invariants: at most `connections_max` connections; each one is counted at its address; the idle
//! ones of an address are exactly those without a request under way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::origin::Origin;

/// Most connections that a check looks at one by one.
const CHECKED_MAX: usize = 64;

/// The open connections by their numbers.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// The last number of a connection, and of a moment at which one became idle.
    last: u64,
    connections: BTreeMap<u64, Connection>,
    by_origin: BTreeMap<Origin, Held>,
}

#[derive(Debug)]
struct Connection {
    origin: Origin,
    /// The moment from which on it is idle; `None` while a request is under way.
    idle_since: Option<u64>,
}

/// The connections of an address.
#[derive(Debug, Default)]
struct Held {
    all: usize,
    /// The connections without a request under way, by the moment from which on they are idle.
    idle: BTreeSet<(u64, u64)>,
}

/// A connection that was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LetIn {
    pub(super) number: u64,
    /// The connection that must be closed for it. The book has it no more.
    pub(super) closed: Option<u64>,
}

impl Book {
    /// Takes a new connection, which is idle. `None` when there is no room: all connections have a
    /// request under way.
    pub(super) fn admit(&mut self, origin: Origin, connections_max: usize) -> Option<LetIn> {
        let closed = if self.connections.len() >= connections_max {
            let idlest = self.idlest_of_most()?;
            self.end(idlest);
            Some(idlest)
        } else {
            None
        };
        let number = self.moment();
        self.connections.insert(number, Connection { origin, idle_since: None });
        self.by_origin.entry(origin).or_default().all += 1;
        self.rest(number);
        self.check(connections_max);
        Some(LetIn { number, closed })
    }

    /// Notes that a request of the connection is under way. Returns `false` when the connection was
    /// closed for a new one: the request must not go on.
    pub(super) fn begin(&mut self, number: u64) -> bool {
        let Some(connection) = self.connections.get_mut(&number) else { return false };
        if let Some(since) = connection.idle_since.take() {
            let held = self.by_origin.entry(connection.origin).or_default();
            held.idle.remove(&(since, number));
        }
        true
    }

    /// Notes that the connection is idle from now on, after all that are idle already.
    pub(super) fn rest(&mut self, number: u64) {
        if !self.begin(number) {
            return;
        }
        let now = self.moment();
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.idle_since = Some(now);
            self.by_origin.entry(connection.origin).or_default().idle.insert((now, number));
        }
    }

    /// Notes the end of a connection.
    pub(super) fn end(&mut self, number: u64) {
        self.begin(number);
        let Some(Connection { origin, .. }) = self.connections.remove(&number) else { return };
        if let Some(held) = self.by_origin.get_mut(&origin) {
            held.all -= 1;
            if held.all == 0 {
                self.by_origin.remove(&origin);
            }
        }
    }

    fn moment(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The connection that has been idle for the longest time, of the address with the most
    /// connections among those with an idle one.
    fn idlest_of_most(&self) -> Option<u64> {
        let held = self.by_origin.values().filter_map(|held| Some((held.all, held.idle.first()?)));
        let most = held.max_by_key(|(all, first)| (*all, Reverse(*first)));
        most.map(|(_, (_, number))| *number)
    }

    fn check(&self, connections_max: usize) {
        // a look at each of thousands, for each new one, would be the load that it guards against
        if !cfg!(debug_assertions) || self.connections.len() > CHECKED_MAX {
            return;
        }
        assert!(self.connections.len() <= connections_max, "too many connections");
        let counted: usize = self.by_origin.values().map(|held| held.all).sum();
        assert_eq!(counted, self.connections.len(), "a connection without its address");
        for (number, Connection { origin, idle_since }) in &self.connections {
            let idle = self.by_origin.get(origin).map(|held| &held.idle);
            let is_idle = idle.is_some_and(|idle| idle.iter().any(|(_, idle)| idle == number));
            assert_eq!(is_idle, idle_since.is_some(), "connection {number}: idle, or not");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(last: u8) -> Origin {
        Origin::of([10, 0, 0, last].into())
    }

    fn admit(book: &mut Book, from: u8) -> u64 {
        book.admit(origin(from), 4).unwrap().number
    }

    #[test]
    fn whoever_opens_connections_without_end_displaces_his_own() {
        let mut book = Book::default();
        let patient = admit(&mut book, 1);
        let mut flood: Vec<u64> = (0..3).map(|_| admit(&mut book, 2)).collect();
        for _ in 0..20 {
            let let_in = book.admit(origin(2), 4).unwrap();
            assert_eq!(let_in.closed, Some(flood.remove(0)), "the oldest of the flood");
            flood.push(let_in.number);
        }
        assert!(book.begin(patient), "the older one of another address stays");
    }

    #[test]
    fn the_one_that_is_idle_for_the_longest_time_gives_way_and_a_busy_one_to_nobody() {
        let mut book = Book::default();
        let all: Vec<u64> = (0..4).map(|_| admit(&mut book, 1)).collect();
        assert!(book.begin(all[0]) && book.begin(all[1]));
        book.rest(all[0]);
        let new: Vec<LetIn> = (0..3).map(|_| book.admit(origin(2), 4).unwrap()).collect();
        assert_eq!([new[0].closed, new[1].closed], [Some(all[2]), Some(all[3])]);
        assert_eq!(new[2].closed, Some(all[0]), "of two addresses with two, the longest idle one");
        assert!(!book.begin(all[2]), "it was closed");
        new.iter().for_each(|new| assert!(book.begin(new.number)));
        assert_eq!(book.admit(origin(3), 4), None, "all are busy");
        book.end(all[1]);
        assert_eq!(book.admit(origin(3), 4).unwrap().closed, None, "there is room");
    }

    #[test]
    fn an_address_whose_connections_are_all_busy_is_passed_over() {
        let mut book = Book::default();
        let busy: Vec<u64> = (0..3).map(|_| admit(&mut book, 1)).collect();
        let idle = admit(&mut book, 2);
        busy.iter().for_each(|number| assert!(book.begin(*number)));
        assert_eq!(book.admit(origin(3), 4).unwrap().closed, Some(idle));
        busy.iter().for_each(|number| book.end(*number));
        book.end(idle);
        assert_eq!((book.connections.len(), book.by_origin.len()), (1, 1));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_so_is_a_mapped_one() {
        let of = |text: &str| Origin::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}

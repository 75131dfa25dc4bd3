//! The address that a connection comes from, as the ports count it.

use std::net::{IpAddr, Ipv6Addr};

/// The address that a connection comes from: an IPv4 address, or the network of 64 bits of an IPv6
/// address, since one machine has all addresses in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin(IpAddr);

impl Origin {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        })
    }
}

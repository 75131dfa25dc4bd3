//! The settings of the accounts: the table `account` of a configuration.

use antiphon::app::Section;
use antiphon::persistence::codec::CodecId;
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

/// The codec of events and snapshots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// The default.
    #[default]
    Bincode,
    /// CBOR.
    Cbor,
    /// JSON.
    Json,
}

impl From<Codec> for CodecId {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::Bincode => Self::Bincode,
            Codec::Cbor => Self::Cbor,
            Codec::Json => Self::Json,
        }
    }
}

/// The settings of the accounts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccountSettings {
    /// The release of the code: 1 or 2. A real application has one release in one program.
    pub release: u8,
    /// The release whose events are written: 1 while nodes of release 1 run, then 2.
    pub writes: u8,
    /// The codec of events and snapshots.
    pub codec: Codec,
}

impl Default for AccountSettings {
    fn default() -> Self {
        Self { release: 1, writes: 1, codec: Codec::default() }
    }
}

impl Section for AccountSettings {
    fn validate(&self) -> Result<()> {
        for (name, value, max) in
            [("release", self.release, 2), ("writes", self.writes, self.release)]
        {
            if !(1..=max).contains(&value) {
                return Err(Error::rejected(format!(
                    "`{name}`: expected 1 to {max}, actual {value}"
                )));
            }
        }
        Ok(())
    }
}

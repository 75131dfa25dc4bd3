//! Rights: what the bearer of a token or of a client certificate may do over HTTP.

use serde::{Deserialize, Serialize};

/// A right of a client of the HTTP interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Reads `/metrics`, `/cluster` and the details of `/health/ready`; no entity.
    Read,
    /// Reads entities, and sends them commands.
    Entities,
    /// Commands a node, and reads as [`Right::Read`]. Paths below `/node/` are kept for it; no
    /// version has such a path yet.
    Operate,
    /// Everything, also the paths that an application adds.
    Admin,
}

impl Right {
    /// All rights, with their names in a tokens file.
    pub const ALL: [(&'static str, Self); 4] = [
        ("read", Self::Read),
        ("entities", Self::Entities),
        ("operate", Self::Operate),
        ("admin", Self::Admin),
    ];

    /// The name in a tokens file.
    pub fn name(self) -> &'static str {
        let [read, entities, operate, admin] = Self::ALL.map(|(name, _)| name);
        match self {
            Self::Read => read,
            Self::Entities => entities,
            Self::Operate => operate,
            Self::Admin => admin,
        }
    }

    fn includes(self, other: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::Operate => matches!(other, Self::Operate | Self::Read),
            Self::Read | Self::Entities => self == other,
        }
    }
}

/// The rights of one client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rights(Vec<Right>);

impl Rights {
    /// These rights.
    pub fn of(rights: impl IntoIterator<Item = Right>) -> Self {
        Self(rights.into_iter().collect())
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether a request that needs `right` is allowed.
    pub fn allow(&self, right: Right) -> bool {
        self.0.iter().any(|own| own.includes(right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_right_allows_exactly_its_own() {
        use Right::{Admin, Entities, Operate, Read};
        for (right, allowed) in [
            (Read, vec![Read]),
            (Entities, vec![Entities]),
            (Operate, vec![Read, Operate]),
            (Admin, vec![Read, Entities, Operate, Admin]),
        ] {
            let actual: Vec<Right> = Right::ALL
                .into_iter()
                .map(|(_, other)| other)
                .filter(|other| Rights::of([right]).allow(*other))
                .collect();
            assert_eq!(actual, allowed, "{right:?}");
        }
        let both = Rights::of([Read, Entities]);
        assert!(both.allow(Read) && both.allow(Entities));
        assert!(!both.allow(Operate) && !both.allow(Admin));
        assert!(!Rights::default().allow(Read));
    }

    #[test]
    fn names_are_those_of_the_file() {
        for (name, right) in Right::ALL {
            assert_eq!(right.name(), name);
            assert_eq!(serde_json::from_str::<Right>(&format!("{name:?}")).unwrap(), right);
        }
    }
}

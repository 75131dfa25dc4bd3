//! The table `sharding`: the settings of all entity types, and in `sharding.types` those of single
//! types.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::overlay::complete;
use super::within::within;
use crate::prelude::*;

/// The key of the tables of single types.
const TYPES: &str = "types";

/// The key that no single type has.
const OF_THE_NODE: &str = "entities_max";

/// The settings of all entity types, and of single ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ShardingConfig {
    /// The settings of every type without a table of its own.
    pub all: ShardingSettings,
    /// The tables as they are in the file.
    given: BTreeMap<String, Value>,
    types: BTreeMap<String, ShardingSettings>,
}

impl ShardingConfig {
    /// The settings of an entity type.
    #[must_use]
    pub fn of(&self, entity_type: &str) -> ShardingSettings {
        self.types.get(entity_type).unwrap_or(&self.all).clone()
    }

    /// Lays the tables of single types over the settings of all. `known` are the types of this
    /// program.
    pub(super) fn complete(&mut self, known: Option<&[String]>) -> Result<()> {
        self.types.clear();
        for (name, given) in &self.given {
            let table = format!("sharding.types.{}", crate::base::text::foreign(name));
            if let Some(known) = known
                && !known.contains(name)
            {
                let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
                return Err(Error::rejected(format!(
                    "`{table}`: unknown entity type, expected one of {}",
                    known.join(", ")
                )));
            }
            if given.get(OF_THE_NODE).is_some() {
                return Err(Error::rejected(format!(
                    "`{table}`: `{OF_THE_NODE}`: expected in the table `sharding` only: it is a limit of the node, for all types together"
                )));
            }
            let settings = complete(&self.all, given)
                .and_then(|settings: ShardingSettings| settings.validate().map(|()| settings));
            let settings = settings.map_err(|error| within(&table, &error))?;
            self.types.insert(name.clone(), settings);
        }
        Ok(())
    }
}

impl Serialize for ShardingConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            #[serde(flatten)]
            all: &'a ShardingSettings,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            types: BTreeMap<&'a str, Value>,
        }
        let mut types = BTreeMap::new();
        for (name, settings) in &self.types {
            let mut shown = serde_json::to_value(settings).map_err(serde::ser::Error::custom)?;
            if let Value::Object(keys) = &mut shown {
                keys.remove(OF_THE_NODE);
            }
            types.insert(name.as_str(), shown);
        }
        Shown { all: &self.all, types }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ShardingConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(Whole)
    }
}

/// Reads the whole table.
struct Whole;

impl<'de> Visitor<'de> for Whole {
    type Value = ShardingConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut given = BTreeMap::new();
        let rest = WithoutTypes { map, types: &mut given };
        let all = ShardingSettings::deserialize(MapAccessDeserializer::new(rest))?;
        Ok(ShardingConfig { all, given, types: BTreeMap::new() })
    }
}

/// The keys of a table but `types`, whose value is kept. The places of errors are those of the
/// table itself.
struct WithoutTypes<'a, A> {
    map: A,
    types: &'a mut BTreeMap<String, Value>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutTypes<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        mut seed: K,
    ) -> std::result::Result<Option<K::Value>, A::Error> {
        loop {
            match self.map.next_key_seed(Key(seed))? {
                None => return Ok(None),
                Some(Found::Other(key)) => return Ok(Some(key)),
                Some(Found::Types(back)) => {
                    *self.types = self.map.next_value()?;
                    seed = back;
                }
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> std::result::Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// Reads a key with the inner seed, unless the key is `types`.
struct Key<K>(K);

/// The key that was read, or the seed that was not used.
enum Found<K, V> {
    Types(K),
    Other(V),
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<K> {
    type Value = Found<K, K::Value>;

    fn deserialize<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> std::result::Result<Self::Value, D::Error> {
        let key = String::deserialize(deserializer)?;
        if key == TYPES {
            return Ok(Found::Types(self.0));
        }
        self.0.deserialize(key.into_deserializer()).map(Found::Other)
    }
}

#[cfg(test)]
mod tests {
    use crate::app::config::{Known, parse};

    #[test]
    fn the_limit_of_the_node_is_refused_for_a_single_type_and_not_shown_there() {
        let read = |text: &str| parse(text, [], &Known::default());
        let message = read("[sharding.types.cart]\nentities_max = 5").unwrap_err().to_string();
        for part in ["line 2", "`sharding.types.cart`", "`entities_max`", "all types together"] {
            assert!(message.contains(part), "{message}");
        }
        let text = "[sharding]\nentities_max = 7\n[sharding.types.cart]\nask_timeout = '9s'";
        let config = read(text).unwrap();
        assert_eq!(config.sharding.of("cart").entities_max, 7);
        let shown = toml::to_string(&config).unwrap();
        assert_eq!(shown.matches("\nentities_max").count(), 1, "{shown}");
        assert_eq!(read(&shown).unwrap().sharding.of("cart"), config.sharding.of("cart"));
    }
}

//! The keys that the name of an environment variable means. A name has neither `-` nor, by habit,
//! small letters, while a table of an application and an entity type may have both.

use serde_json::Value as Json;
use toml::{Table, Value};

use super::Known;
use super::section::SectionKind;

/// The keys of a path. Each part means the one key, among those that the file has there and those
/// that the program knows there, that is the same but for case and for `-` in place of `_`. A part
/// that means none, or several, is taken as it is, in small letters.
pub(super) fn keys<'a>(
    parts: impl Iterator<Item = &'a str>,
    table: &Table,
    known: &Known,
) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    let mut at = Some(table);
    let mut of_section: Option<Json> = None;
    for part in parts {
        let in_file = at.into_iter().flat_map(Table::keys).map(String::as_str);
        let in_program: Vec<&str> = match (&*path, &of_section) {
            ([], _) => known.sections.iter().map(|section| &*section.name).collect(),
            ([first, second], _) if first == "sharding" && second == "types" => {
                known.types.iter().flatten().map(String::as_str).collect()
            }
            (_, Some(Json::Object(keys))) => keys.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let key = meant(part, in_file.chain(in_program));
        of_section = if path.is_empty() {
            let section = known.sections.iter().find(|section| section.name == key);
            section.map(SectionKind::defaults)
        } else {
            of_section.and_then(|mut keys| keys.get_mut(&key).map(Json::take))
        };
        at = at.and_then(|table| table.get(&key)).and_then(Value::as_table);
        path.push(key);
    }
    path
}

fn meant<'a>(part: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    let plain = part.to_ascii_lowercase();
    let folded = |key: &str| key.to_ascii_lowercase().replace('-', "_");
    let mut found: Vec<&str> = candidates.filter(|key| folded(key) == plain).collect();
    found.sort_unstable();
    found.dedup();
    match *found {
        [only] if !found.contains(&&*plain) => only.to_owned(),
        _ => plain,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::app::config::{Section, parse};

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Shop {
        items_max: u32,
        #[serde(rename = "Prices")]
        prices: BTreeMap<String, u64>,
    }

    impl Section for Shop {}

    /// The key has no value by default, and the default is not valid.
    #[test]
    fn a_variable_sets_a_renamed_key_whose_section_needs_it() {
        #[derive(Debug, Default, Serialize, Deserialize)]
        struct Payment {
            #[serde(rename = "Api-Key")]
            api_key: Option<String>,
            inner: Inner,
        }
        #[derive(Debug, Default, Serialize, Deserialize)]
        struct Inner {
            #[serde(rename = "Most-Items")]
            most_items: Option<u8>,
        }
        impl Section for Payment {
            fn validate(&self) -> crate::prelude::Result<()> {
                match self.api_key {
                    Some(_) => Ok(()),
                    None => Err(crate::prelude::Error::rejected("`Api-Key`: expected one")),
                }
            }
        }
        let sections = vec![SectionKind::new::<Payment>("payment")];
        let known = Known { sections, ..Known::default() };
        let variables =
            [("ANTIPHON_PAYMENT__API_KEY", "k"), ("ANTIPHON_PAYMENT__INNER__MOST_ITEMS", "7")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = parse("", variables, &known).unwrap();
        let payment = config.section::<Payment>().unwrap();
        assert_eq!(payment.api_key.as_deref(), Some("k"));
        assert_eq!(payment.inner.most_items, Some(7));
    }

    #[test]
    fn names_with_capitals_and_dashes_are_set_by_variables() {
        let sections = vec![SectionKind::new::<Shop>("My-Shop")];
        let types = Some(vec!["cart-V2".to_owned()]);
        let known = Known { sections, types, ..Known::default() };
        let variables = [
            ("ANTIPHON_MY_SHOP__ITEMS_MAX", "7"),
            ("ANTIPHON_my_shop__PRICES__BLUE_PEN", "120"),
            ("ANTIPHON_MY_SHOP__PRICES__ink", "3"),
            ("ANTIPHON_SHARDING__TYPES__CART_V2__ASK_TIMEOUT", "9s"),
            ("ANTIPHON_NODE__NAME", "n-1"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = parse("[My-Shop.Prices]\nBlue-Pen = 1", variables, &known).unwrap();
        let shop = config.section::<Shop>().unwrap();
        assert_eq!(shop.items_max, 7);
        let prices: Vec<_> = shop.prices.iter().map(|(key, cents)| (&**key, *cents)).collect();
        assert_eq!(prices, [("Blue-Pen", 120), ("ink", 3)]);
        assert_eq!(config.sharding.of("cart-V2").ask_timeout.as_secs(), 9);
        assert_eq!(config.node.name, "n-1");
    }
}

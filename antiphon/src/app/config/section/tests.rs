//! Secrets of an application, and code of a section that panics.

use serde::Deserialize;

use super::*;
use crate::app::config::{Config, Known, parse};
use crate::base::secret::Secret;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Shop {
    items_max: u32,
    password: Secret,
}

impl Section for Shop {
    fn validate(&self) -> Result<()> {
        assert_ne!(self.items_max, 13, "the test wants it");
        Ok(())
    }
}

fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config> {
    let sections = vec![SectionKind::new::<Shop>("shop")];
    let known = Known { sections, ..Known::default() };
    let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    parse(text, owned, &known)
}

#[test]
fn a_secret_of_an_application_reaches_it_and_is_not_shown() {
    let config = read("[shop]\npassword = 'swordfish'", &[]).unwrap();
    for config in [config.clone(), config.clone().complete().unwrap()] {
        assert_eq!(config.section::<Shop>().unwrap().password.expose(), "swordfish");
        assert_eq!(config.tables["shop"]["password"], "***");
        let shown = format!("{}{config:?}", toml::to_string(&config).unwrap());
        assert!(!shown.contains("swordfish"), "{shown}");
    }
    let set = [("ANTIPHON_SHOP__PASSWORD", "marlin")];
    let config = read("[shop]\npassword = 'swordfish'", &set).unwrap();
    assert_eq!(config.section::<Shop>().unwrap().password.expose(), "marlin");
    assert!(read("", &[]).unwrap().section::<Shop>().unwrap().password.is_empty());
}

#[test]
fn an_error_shows_no_value_of_a_variable_of_an_application() {
    for name in ["ANTIPHON_SHOP__ITEMS_MAX", "ANTIPHON_SHOP", "ANTIPHON_shop__items_max"] {
        let message = read("", &[(name, "swordfish")]).unwrap_err().to_string();
        assert!(message.contains(name) && !message.contains("swordfish"), "{message}");
    }
}

#[test]
fn a_secret_with_a_default_is_refused_by_its_key() {
    #[derive(Serialize, Deserialize)]
    struct Outer {
        inner: Shop,
    }
    impl Default for Outer {
        fn default() -> Self {
            Self { inner: Shop { items_max: 1, password: "swordfish".into() } }
        }
    }
    impl Section for Outer {}
    let kind = SectionKind::new::<Outer>("outer");
    let error = kind.read(&serde_json::json!({})).expect_err("refused");
    assert!(error.to_string().contains("`inner.password`"), "{error}");
}

#[test]
fn a_section_that_panics_is_an_error_of_the_configuration() {
    let message = read("[shop]\nitems_max = 13", &[]).unwrap_err().to_string();
    assert!(message.contains("`the settings of a section` panicked"), "{message}");
    assert!(message.contains("`shop`"), "{message}");
}

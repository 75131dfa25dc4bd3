//! New names for streams and types: the first rule that matches is applied.

use std::sync::Arc;

use super::Pattern;
use crate::Result;
use crate::config::{Field, RenameRule};

/// Compiled renames.
#[derive(Debug, Clone, Default)]
pub struct Renames {
    stream: Vec<(Pattern, String)>,
    event_type: Vec<(Pattern, String)>,
}

impl Renames {
    /// Compiles the rules in their order.
    ///
    /// # Errors
    /// `Rejected`, naming the rule whose regular expression is invalid.
    pub fn compile(rules: &[RenameRule]) -> Result<Self> {
        let mut renames = Self::default();
        for (index, rule) in rules.iter().enumerate() {
            let key = format!("Settings:Renames:{index}:From");
            let pattern = Pattern::compile(&key, rule.matching, &rule.from)?;
            let field = match rule.field {
                Field::Stream => &mut renames.stream,
                Field::Type => &mut renames.event_type,
            };
            field.push((pattern, rule.to.clone()));
        }
        Ok(renames)
    }

    /// The name of a stream at the destination. The stream `$$name`, which holds a stream's
    /// metadata, is renamed with `name`.
    pub fn stream(&self, name: &Arc<str>) -> Arc<str> {
        match name.strip_prefix("$$") {
            Some(inner) => match rename(&self.stream, inner) {
                Some(renamed) => format!("$${renamed}").into(),
                None => name.clone(),
            },
            None => rename(&self.stream, name).map_or_else(|| name.clone(), Into::into),
        }
    }

    /// The name of a type at the destination.
    pub fn event_type(&self, name: &Arc<str>) -> Arc<str> {
        rename(&self.event_type, name).map_or_else(|| name.clone(), Into::into)
    }
}

fn rename(rules: &[(Pattern, String)], name: &str) -> Option<String> {
    // a name must not become empty: no store accepts an empty name
    let renamed = rules.iter().find_map(|(pattern, to)| pattern.replace(name, to));
    renamed.filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Matching;

    fn renames(rules: &[(Field, Matching, &str, &str)]) -> Renames {
        let rule = |(field, matching, from, to): &(Field, Matching, &str, &str)| RenameRule {
            field: *field,
            matching: *matching,
            from: (*from).to_owned(),
            to: (*to).to_owned(),
        };
        Renames::compile(&rules.iter().map(rule).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_first_rule_that_matches_is_taken() {
        let renames = renames(&[
            (Field::Stream, Matching::Exact, "orders", "sales"),
            (Field::Stream, Matching::Prefix, "customer-", "client-"),
            (Field::Stream, Matching::Regex, "^(?<kind>[a-z]+)-(\\d+)$", "${kind}s-$2"),
            (Field::Type, Matching::Prefix, "Customer", "Client"),
        ]);
        for (from, to) in [
            ("orders", "sales"),
            ("orders-x", "orders-x"),
            ("customer-12", "client-12"),
            ("invoice-12", "invoices-12"),
            ("$$customer-1", "$$client-1"),
            ("$$other", "$$other"),
        ] {
            assert_eq!(&*renames.stream(&from.into()), to);
        }
        assert_eq!(&*renames.event_type(&"CustomerCreated".into()), "ClientCreated");
        assert_eq!(&*renames.event_type(&"orders".into()), "orders");
    }

    #[test]
    fn a_name_never_becomes_empty() {
        let renames = renames(&[(Field::Stream, Matching::Regex, ".*", "$missing")]);
        assert_eq!(&*renames.stream(&"a".into()), "a");
    }
}

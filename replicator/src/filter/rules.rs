//! The filters: include and exclude by stream and by type.

use super::Pattern;
use crate::Result;
use crate::config::{Action, Field, FilterRule};

/// Compiled filters.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    stream: FieldFilters,
    event_type: FieldFilters,
}

#[derive(Debug, Clone, Default)]
struct FieldFilters {
    include: Vec<(Pattern, String)>,
    exclude: Vec<(Pattern, String)>,
}

impl Filters {
    /// Compiles the rules in their order.
    ///
    /// # Errors
    /// `Rejected`, naming the rule whose regular expression is invalid.
    pub fn compile(rules: &[FilterRule]) -> Result<Self> {
        let mut filters = Self::default();
        for (index, rule) in rules.iter().enumerate() {
            let key = format!("Settings:Filters:{index}");
            let pattern = Pattern::compile(&format!("{key}:Value"), rule.matching, &rule.value)?;
            let field = match rule.field {
                Field::Stream => &mut filters.stream,
                Field::Type => &mut filters.event_type,
            };
            match rule.action {
                Action::Include => field.include.push((pattern, key)),
                Action::Exclude => field.exclude.push((pattern, key)),
            }
        }
        Ok(filters)
    }

    /// The reason why a stream as a whole is excluded; `None` when it passes.
    pub fn excludes_stream(&self, stream: &str) -> Option<String> {
        self.stream.excludes("stream", stream)
    }

    /// The reason why an event is excluded; `None` when it passes.
    pub fn excludes(&self, stream: &str, event_type: &str) -> Option<String> {
        self.excludes_stream(stream).or_else(|| self.event_type.excludes("type", event_type))
    }
}

impl FieldFilters {
    fn excludes(&self, field: &str, name: &str) -> Option<String> {
        if let Some((_, key)) = self.exclude.iter().find(|(pattern, _)| pattern.matches(name)) {
            return Some(format!("{field} `{name}` is excluded by `{key}`"));
        }
        let included = self.include.is_empty()
            || self.include.iter().any(|(pattern, _)| pattern.matches(name));
        (!included).then(|| format!("{field} `{name}` is matched by no filter that includes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Matching;

    fn rule(action: Action, field: Field, matching: Matching, value: &str) -> FilterRule {
        FilterRule { action, field, matching, value: value.to_owned() }
    }

    #[test]
    fn without_rules_everything_passes() {
        assert_eq!(Filters::compile(&[]).unwrap().excludes("a", "b"), None);
    }

    #[test]
    fn an_exclude_wins_over_an_include_and_each_field_is_on_its_own() {
        let filters = Filters::compile(&[
            rule(Action::Include, Field::Stream, Matching::Prefix, "customer-"),
            rule(Action::Include, Field::Stream, Matching::Exact, "orders"),
            rule(Action::Exclude, Field::Stream, Matching::Regex, "-test$"),
            rule(Action::Exclude, Field::Type, Matching::Regex, "^(Test|Internal)"),
        ])
        .unwrap();

        assert_eq!(filters.excludes("customer-1", "Created"), None);
        assert_eq!(filters.excludes("orders", "Created"), None);
        for (stream, event_type, reason) in [
            ("orders-1", "Created", "stream `orders-1` is matched by no filter that includes"),
            (
                "customer-test",
                "Created",
                "stream `customer-test` is excluded by `Settings:Filters:2`",
            ),
            ("customer-1", "TestRun", "type `TestRun` is excluded by `Settings:Filters:3`"),
        ] {
            assert_eq!(filters.excludes(stream, event_type).as_deref(), Some(reason));
        }
    }

    #[test]
    fn a_type_that_must_be_included_keeps_the_others_out() {
        let filters =
            Filters::compile(&[rule(Action::Include, Field::Type, Matching::Exact, "Created")])
                .unwrap();
        assert_eq!(filters.excludes("any", "Created"), None);
        assert!(filters.excludes("any", "created").is_some());
    }
}

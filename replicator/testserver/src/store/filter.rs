//! The filter on `$all` of a reader.

use antiphon_eventstore::wire::Filter;
use antiphon_eventstore::wire::filter::Subject;
use regex::Regex;

/// A filter on streams or on types.
#[derive(Debug, Clone)]
pub(crate) struct EventFilter {
    on: On,
    matching: Matching,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Stream,
    Type,
}

#[derive(Debug, Clone)]
enum Matching {
    Prefixes(Vec<String>),
    Expression(Regex),
    Not(Regex),
}

impl EventFilter {
    /// A filter on the names of streams, or on types if `on_type`.
    ///
    /// # Errors
    /// A description of the error in the expression.
    fn parse(on_type: bool, regex: &str, prefixes: Vec<String>) -> Result<Self, String> {
        let on = if on_type { On::Type } else { On::Stream };
        let matching =
            if regex.is_empty() { Matching::Prefixes(prefixes) } else { expression(regex)? };
        Ok(Self { on, matching })
    }

    /// The filter of a request.
    ///
    /// # Errors
    /// A description of what is missing or cannot be read.
    pub(crate) fn from_wire(filter: Filter) -> Result<Self, String> {
        let (on_type, expression) = match filter.subject {
            Some(Subject::Stream(expression)) => (false, expression),
            Some(Subject::EventType(expression)) => (true, expression),
            None => return Err("expected `filter`, actual none".to_owned()),
        };
        Self::parse(on_type, &expression.regex, expression.prefix)
            .map_err(|why| format!("the filter's expression cannot be read: {why}"))
    }

    pub(crate) fn lets_through(&self, stream: &str, event_type: &str) -> bool {
        let text = match self.on {
            On::Stream => stream,
            On::Type => event_type,
        };
        match &self.matching {
            Matching::Prefixes(prefixes) => prefixes.iter().any(|prefix| text.starts_with(prefix)),
            Matching::Expression(regex) => regex.is_match(text),
            Matching::Not(regex) => !regex.is_match(text),
        }
    }
}

/// Parses an expression. The server's expressions have look-ahead, this crate's do not. Clients use
/// it only to exclude a prefix, so that form is parsed here: `^(?!..)`, perhaps followed by `.*`.
fn expression(text: &str) -> Result<Matching, String> {
    let readable = |text: &str| Regex::new(text).map_err(|error| error.to_string());
    let excluded = text.strip_prefix("^(?!").and_then(|rest| {
        let rest = rest.strip_suffix(".*").or_else(|| rest.strip_suffix(".+")).unwrap_or(rest);
        rest.strip_suffix(')')
    });
    match excluded {
        Some(excluded) => Ok(Matching::Not(readable(&format!("^(?:{excluded})"))?)),
        None => Ok(Matching::Expression(readable(text)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_looks_at_streams_or_at_types() {
        let of = |on_type, regex: &str, prefixes: &[&str]| {
            let prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
            EventFilter::parse(on_type, regex, prefixes).unwrap()
        };
        assert!(of(false, "", &["a-", "b-"]).lets_through("b-1", "t"));
        assert!(!of(true, "", &["a-", "b-"]).lets_through("b-1", "t"));
        assert!(of(false, r"^[^\$].*", &[]).lets_through("a", "$x"));
        assert!(!of(true, r"^(?!\$).*", &[]).lets_through("a", "$x"));
        assert!(!of(false, r"^(?!(a$|b$))", &[]).lets_through("a", "t"));
        assert!(of(false, r"^(?!(a$|b$))", &[]).lets_through("a1", "t"));
        assert!(EventFilter::parse(false, "(", Vec::new()).is_err());
    }
}

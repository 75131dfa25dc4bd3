//! Message templates as Serilog has them: `{Name}` stands for a value, `{Name:0.0}` for a number
//! with one digit after the point, `{{` for a brace.

use serde_json::{Map, Value};

/// The message of a template. A name without a value stays as it is written.
pub(super) fn render(template: &str, values: &Map<String, Value>) -> String {
    let mut message = String::with_capacity(template.len() + 64);
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        message += &rest[..at];
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
            message.push_str(&rest[..1]);
            rest = after;
            continue;
        }
        let hole = rest.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, format) =
            hole.map_or(("", ""), |(hole, _)| hole.split_once(':').unwrap_or((hole, "")));
        match (hole, values.get(name)) {
            (Some((_, after)), Some(value)) => {
                message += &shown(value, format);
                rest = after;
            }
            _ => {
                message.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
    }
    message + rest
}

/// A template whose message is `text`.
pub(super) fn escape(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

fn shown(value: &Value, format: &str) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if format == "0.0" => {
            number.as_f64().map_or_else(|| number.to_string(), |number| format!("{number:.1}"))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn names_in_braces_become_values() {
        let Value::Object(values) = json!({ "Name": "a{b}", "Number": 7, "Time": 12.34 }) else {
            panic!("an object");
        };
        let message = render("{Name} #{Number} in {Time:0.0} ms, {{x}} {Other} {", &values);
        assert_eq!(message, "a{b} #7 in 12.3 ms, {x} {Other} {");
    }

    proptest! {
        #[test]
        fn any_text_is_the_message_of_its_template(text in ".{0,40}") {
            prop_assert_eq!(render(&escape(&text), &Map::new()), text);
        }

        #[test]
        fn no_template_panics(text in "[{}:a0.\u{e9} ]{0,30}") {
            let _ = render(&text, &Map::new());
        }
    }
}

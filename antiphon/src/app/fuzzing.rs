//! The decoders of this crate, for the fuzzing in `fuzz`.

use crate::base::fuzzing::{Bounds, Check, Decoder, nothing_more, round_trip};

use super::config::{Known, filter, parse};
use super::{body, header};

/// Configurations, and what arrives over HTTP.
pub const CONFIGURATION: &[Decoder] = &[
    Decoder {
        name: "node_config",
        decode: config,
        seeds: || {
            let documented = include_str!("node.toml");
            let short = "[node]\nname = 'a'\nrenew_timeout = \"4s\"\n";
            let more = "[[peers]]\nplace = 'B'\njournal = 'b.db'\n";
            let variables = "\n---\nANTIPHON_NODE__PLACE=C\nANTIPHON_LOG=debug";
            let lines = documented.lines().filter(|line| !line.trim_start().starts_with('#'));
            let plain = lines.collect::<Vec<_>>().join("\n");
            vec![plain.into_bytes(), [short, more, variables].concat().into_bytes()]
        },
        // a configuration is read anew for each variable, and has all its defaults
        bounds: Bounds::new(1 << 20, 1024).with_effort(32),
    },
    Decoder {
        name: "log_filter",
        decode: |bytes| Some(nothing_more(filter(std::str::from_utf8(bytes).ok()?).ok()?)),
        seeds: || vec![b"info,antiphon=debug".to_vec(), b"warn,a[b{c=1}]=trace".to_vec()],
        bounds: Bounds::new(1 << 20, 1024).with_effort(32),
    },
    Decoder {
        name: "header",
        decode: |bytes| {
            let text = header::decode(bytes).ok()?;
            let encode = |text: &String| header::encode(text);
            Some(round_trip(text, encode, |text| header::decode(text.as_bytes()).ok()))
        },
        seeds: || vec![b"S%C3%A3o%20Paulo".to_vec(), "Zürich".into()],
        bounds: Bounds::new(4096, 4),
    },
    Decoder {
        name: "body",
        decode: |bytes| {
            let value = body::parse(bytes).ok()?;
            let encode = |value: &serde_json::Value| value.to_string();
            Some(round_trip(value, encode, |text| body::parse(text.as_bytes()).ok()))
        },
        seeds: || vec![br#"{"place":{"number":1,"bidder":"b","amount":[5.5,-2e3]}}"#.to_vec()],
        // `{"":0}` is a map with room for eleven entries
        bounds: Bounds::new(4096, 512),
    },
];

/// A word that no input has by chance.
const SECRET: &str = "S3cretPassw0rd";

/// A file, and variables below a line `---`. No error shows a secret.
fn config(bytes: &[u8]) -> Option<Check> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains(SECRET))?;
    let (file, variables) = text.split_once("\n---\n").unwrap_or((text, ""));
    let variables = variables.lines().take(4).filter_map(|line| line.split_once('='));
    let variables: Vec<(String, String)> =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let known = Known::default();
    let hidden = |refused: String| assert!(!refused.contains(SECRET), "a secret is shown");
    let with_cookie = format!("{file}\n[links]\ncookie = \"{SECRET}\"\n");
    if let Err(error) = parse(&with_cookie, variables.clone(), &known) {
        hidden(error.to_string());
    }
    let cookie = ("ANTIPHON_LINKS__COOKIE".to_owned(), SECRET.to_owned());
    let and_cookie = variables.iter().cloned().chain([cookie]);
    match parse(file, and_cookie, &known) {
        Ok(config) => hidden(format!("{config:?}")),
        Err(error) => hidden(error.to_string()),
    }
    let config = parse(file, variables, &known).ok()?;
    Some(Box::new(move || config.validate().expect("a configuration that was read is valid")))
}

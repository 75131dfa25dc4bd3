//! The form of lines and requests: the compact format for Seq, arrays of JSON for Datadog.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Request, Uri};
use serde_json::{Map, Value};

use super::queue::Limits;
use crate::config::{LogSinkSettings, Secret};
use crate::logging::format::json;
use crate::logging::record::{Record, words};
use crate::{Error, Result};

/// The form of a sink's lines and requests.
pub(super) struct Protocol {
    pub(super) name: &'static str,
    pub(super) limits: Limits,
    pub(super) uri: Uri,
    /// The name of the header of the key, and the key.
    key: Option<(HeaderName, HeaderValue)>,
    properties: Vec<(String, String)>,
    form: Form,
}

enum Form {
    /// Lines of the compact format.
    Compact,
    /// Objects of an array, with fields that each of them has.
    Array(Map<String, Value>),
}

impl Protocol {
    /// The protocol of a sink, whose arguments are below the key `key`.
    pub(super) fn new(
        key: &str,
        settings: &LogSinkSettings,
        properties: Vec<(String, String)>,
        machine: Option<&str>,
    ) -> Result<Self> {
        let ship = settings.ship();
        let limits = |queue_count_max, batch_count_max, line_bytes_max| Limits {
            queue_count_max,
            queue_bytes_max: ship.queue_bytes_max,
            batch_count_max,
            batch_bytes_max: ship.batch_bytes_max,
            line_bytes_max,
        };
        let (name, header, url, path, limits, form) = match settings {
            LogSinkSettings::Seq(seq) => (
                "Seq",
                "x-seq-apikey",
                (seq.url.clone(), "serverUrl"),
                "/ingest/clef",
                limits(seq.queue_count_max, seq.batch_count_max, seq.line_bytes_max),
                Form::Compact,
            ),
            LogSinkSettings::Datadog(datadog) => {
                let host = datadog.host.as_deref().or(machine);
                let tags = Some(datadog.tags.join(",")).filter(|tags| !tags.is_empty());
                let fields = [
                    ("ddsource", Some(datadog.source.as_str())),
                    ("ddtags", tags.as_deref()),
                    ("service", datadog.service.as_deref()),
                    ("hostname", host),
                ];
                let fields = fields.into_iter().filter_map(|(name, text)| Some((name, text?)));
                let fields = fields.map(|(name, text)| (name.to_owned(), text.into())).collect();
                (
                    "Datadog",
                    "dd-api-key",
                    (datadog.intake(), "configuration:url"),
                    "/api/v2/logs",
                    limits(
                        datadog.queue_count_max,
                        datadog.batch_count_max,
                        datadog.line_bytes_max,
                    ),
                    Form::Array(fields),
                )
            }
        };
        let api_key = ship.api_key.as_ref().map(|api_key| {
            let value = HeaderValue::from_str(api_key.expose()).map_err(|_| {
                Error::rejected(format!("`{key}:apiKey`: expected visible ASCII characters"))
            });
            value.map(|mut value| {
                value.set_sensitive(true);
                (HeaderName::from_static(header), value)
            })
        });
        let uri = uri(&url.0, path).ok_or_else(|| {
            Error::rejected(format!("`{key}:{}`: expected a URL, actual `{}`", url.1, url.0))
        })?;
        Ok(Self { name, limits, uri, key: api_key.transpose()?, properties, form })
    }

    /// A line of at most the sink's bytes; a longer one is cut.
    pub(super) fn line(&self, mut record: Record) -> Vec<u8> {
        let line = self.encode(&record);
        let max = self.limits.line_bytes_max;
        if line.len() <= max {
            return line;
        }
        // escapes make a text longer, at most six times
        let mut end = record.message.len().min(max / 8);
        while !record.message.is_char_boundary(end) {
            end -= 1;
        }
        record.message.truncate(end);
        record.message += "..";
        record.template = "{Cut}".to_owned();
        record.values = Map::from_iter([("CutFrom".to_owned(), line.len().into())]);
        self.encode(&record)
    }

    fn encode(&self, record: &Record) -> Vec<u8> {
        let line = match &self.form {
            Form::Compact => record.compact(&self.properties),
            Form::Array(fields) => {
                let mut line = fields.clone();
                line.insert("message".to_owned(), record.message.as_str().into());
                line.insert("level".to_owned(), words(record.level).1.into());
                if let Value::Object(parts) = json(record, &self.properties) {
                    let kept = parts
                        .into_iter()
                        .filter(|(name, _)| name != "RenderedMessage" && name != "Level");
                    line.extend(kept.map(|(name, value)| {
                        // the intake looks for the time under this name
                        (if name == "Timestamp" { "timestamp".to_owned() } else { name }, value)
                    }));
                }
                line
            }
        };
        Value::Object(line).to_string().into_bytes()
    }

    /// The request of a batch.
    pub(super) fn request(&self, batch: &[Vec<u8>]) -> Request<Full<Bytes>> {
        let (content_type, body) = match self.form {
            Form::Compact => {
                let mut body = batch.join(&b'\n');
                body.push(b'\n');
                ("application/vnd.serilog.clef", body)
            }
            Form::Array(_) => {
                let mut body = vec![b'['];
                body.extend(batch.join(&b','));
                body.push(b']');
                ("application/json", body)
            }
        };
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some((name, value)) = &self.key {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        request
    }
}

/// A server's URL with the path of its intake; a path of the URL stays before it, or stands for it.
fn uri(url: &Secret, path: &str) -> Option<Uri> {
    let url = url.expose().trim().trim_end_matches('/');
    if url.ends_with(path) { url.parse().ok() } else { format!("{url}{path}").parse().ok() }
}

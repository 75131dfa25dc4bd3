//! Rules between settings, beyond the bounds of each.

use super::problems::Problems;
use super::rules::Matching;
use super::subscription::{StartFrom, SubscriptionKind, SubscriptionSettings};
use super::{Choice, Config, Secret, Section, Settings, SinkKind};
use super::{addresses, url};
use crate::Result;

impl Config {
    /// Checks every value.
    ///
    /// # Errors
    /// `Rejected` with a line per problem: the key, the expected value, the actual value.
    pub fn validate(&self) -> Result<()> {
        let mut problems = Problems::default();
        self.check(&mut problems);
        problems.into_result(&[])
    }

    pub(super) fn check(&self, all: &mut Problems) {
        addresses::connections(self, all);
        ends(&self.settings, self.sink(), all);
        for (index, one) in self.settings.subscriptions.iter().enumerate() {
            subscription(one, &format!("Settings:Subscriptions:{index}"), all);
        }
        names(&self.settings.subscriptions, all);
        rules(&self.settings, all);
        loops(&self.settings, all);
        delays(&self.settings, all);
        urls(self, all);
        kinesis(self, all);
        http(self, all);
        self.settings.bounds("Settings", all);
        self.metrics.bounds("Metrics", all);
        self.health.bounds("Health", all);
        self.kinesis.bounds("Kinesis", all);
        self.aws.bounds("AWS", all);
        self.serilog.check(all);
    }
}

fn ends(settings: &Settings, sink: SinkKind, problems: &mut Problems) {
    if settings.subscriptions.is_empty() {
        let expected = "at least one element with `StreamName` and `GroupName`";
        problems.required("Settings:Subscriptions", "", expected);
    }
    match sink {
        SinkKind::EventStore | SinkKind::Kinesis => {}
        SinkKind::Ndjson => {
            let path = settings.ndjson_path.as_deref().unwrap_or_default();
            problems.required("Settings:NdjsonPath", path, "the path of a file, or `-`");
        }
        SinkKind::Journal => {
            let path = settings.journal_path.as_deref();
            settings.journal.check("Settings:Journal", path, problems);
        }
    }
}

fn subscription(one: &SubscriptionSettings, key: &str, problems: &mut Problems) {
    let at = |name: &str| format!("{key}:{name}");
    let has_stream = !matches!(one.kind, SubscriptionKind::Journal | SubscriptionKind::All);
    if has_stream {
        let expected = "the name of a stream at the source";
        problems.required(&at("StreamName"), &one.stream_name, expected);
    }
    if one.kind == SubscriptionKind::Group {
        let expected =
            "the name of a persistent subscription group; for a catch-up without one set `Kind`";
        problems.required(&at("GroupName"), &one.group_name, expected);
    } else if !one.group_name.is_empty() {
        let expected = format!("none, because `{}` is `{}`", at("Kind"), one.kind.word());
        problems.expected(&at("GroupName"), &one.group_name, &expected);
    }
    if one.kind == SubscriptionKind::Journal {
        one.journal.check(&at("Journal"), one.journal_path.as_deref(), problems);
        let entity_type = one.journal_entity_type.as_deref().unwrap_or_default();
        problems.required(&at("JournalEntityType"), entity_type, "a type of entities");
    }
    if one.kind == SubscriptionKind::All && matches!(one.start_from, StartFrom::At(_)) {
        problems.push(format!(
            "`{}`: expected `start` or `end`, because `$all` has no event numbers",
            at("StartFrom")
        ));
    }
    if one.filter.regex.is_some() && !one.filter.prefixes.is_empty() {
        problems.push(format!(
            "`{}`: expected none, because `{}` is given and the server takes one of them",
            at("FilterRegex"),
            at("FilterPrefixes")
        ));
    }
}

fn names(subscriptions: &[SubscriptionSettings], problems: &mut Problems) {
    let names: Vec<String> = subscriptions.iter().map(SubscriptionSettings::display_name).collect();
    for (index, name) in names.iter().enumerate() {
        let is_group = subscriptions[index].kind == SubscriptionKind::Group;
        if !is_group && names[..index].contains(name) {
            let key = format!("Settings:Subscriptions:{index}:Name");
            let expected = "a name of its own, because the checkpoint is kept under it";
            problems.expected(&key, name, expected);
        }
    }
}

/// Checks filters and renames.
fn rules(settings: &Settings, problems: &mut Problems) {
    for (index, filter) in settings.filters.iter().enumerate() {
        let key = format!("Settings:Filters:{index}:Value");
        pattern(&key, filter.matching, &filter.value, problems);
    }
    for (index, rename) in settings.renames.iter().enumerate() {
        let key = format!("Settings:Renames:{index}");
        pattern(&format!("{key}:From"), rename.matching, &rename.from, problems);
        problems.required(&format!("{key}:To"), &rename.to, "the new name");
    }
}

fn pattern(key: &str, matching: Matching, pattern: &str, problems: &mut Problems) {
    problems.required(key, pattern, "a text to compare with");
    if matching == Matching::Regex
        && !pattern.is_empty()
        && let Err(error) = regex::Regex::new(pattern)
    {
        let error = error.to_string();
        let reason = error.lines().last().unwrap_or_default().trim();
        let problem =
            format!("`{key}`: expected a regular expression, actual `{pattern}`: {reason}");
        problems.push(problem);
    }
}

fn loops(settings: &Settings, problems: &mut Problems) {
    let loops = &settings.loops;
    if !loops.enabled {
        return;
    }
    let (source_key, destination_key) =
        ("Settings:LoopPrevention:SourceName", "Settings:LoopPrevention:DestinationName");
    let expected = "a name for this place, the same in every link that touches it";
    let destination = &loops.destination_name;
    problems.required(source_key, &loops.source_name, expected);
    problems.required(destination_key, destination, expected);
    if !destination.is_empty() && *destination == loops.source_name {
        problems.expected(
            destination_key,
            destination,
            &format!("another name than `{source_key}`"),
        );
    }
}

/// Checks that the longest of two pauses is not shorter than the first.
fn delays(settings: &Settings, problems: &mut Problems) {
    let (pipeline, retry) = (&settings.pipeline, &settings.retry);
    for (key, first, longest) in [
        ("Settings:ReopenDelay", pipeline.reopen_delay, pipeline.reopen_delay_max),
        ("Settings:RetryDelay", retry.delay, retry.delay_max),
    ] {
        if longest < first {
            problems.push(format!("`{key}Max`: expected at least `{key}`"));
        }
    }
}

fn urls(config: &Config, problems: &mut Problems) {
    if let Some(url) = &config.settings.transform.url {
        url::url("Settings:Transform:Url", url, &["http"], problems);
    }
    if let Some(url) = &config.aws.service_url {
        url::url("AWS:ServiceURL", &Secret::new(url), &["http", "https"], problems);
    }
}

fn kinesis(config: &Config, problems: &mut Problems) {
    let kinesis = &config.kinesis;
    if config.sink() == SinkKind::Kinesis {
        let name = kinesis.stream_name.as_deref().unwrap_or_default();
        problems.required("Kinesis:StreamName", name, "the name of a Kinesis stream");
    }
    if kinesis.record_bytes_max > kinesis.batch_bytes_max {
        let limit = "expected at most `Kinesis:BatchBytesMax`, else such a record fits no request";
        problems.push(format!("`Kinesis:RecordBytesMax`: {limit}"));
    }
}

fn http(config: &Config, problems: &mut Problems) {
    let metrics = &config.metrics;
    if metrics.address().is_none() {
        problems.expected("Metrics:Host", &metrics.host, "`+` or an IP address");
    }
    let route = metrics.route();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
    let taken =
        ["/", "/health", "/health/live", "/health/ready", "/status"].contains(&route.as_str());
    if taken || !route.chars().all(plain) {
        let expected = "a path such as `metrics/`, which is none of `health`, `health/live`, `health/ready`, `status`";
        problems.expected("Metrics:Path", &metrics.path, expected);
    }
}

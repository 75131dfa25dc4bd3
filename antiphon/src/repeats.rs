//! A layer for `tracing` that limits how often a log line repeats.
//!
//! A lasting fault logs again and again from the same line of code: a full disk, a store that
//! cannot be reached, a connection that never sends its hello. Each line of code may log
//! `burst_max` lines in an `interval`. Further lines are left out and counted, and one line reports
//! the count. Errors are no exception.
//!
//! ```
//! use tracing_subscriber::layer::SubscriberExt;
//!
//! let layer = tracing_subscriber::fmt::layer();
//! let repeats = antiphon::Repeats::new(antiphon::RepeatSettings::default());
//! let subscriber = tracing_subscriber::registry().with(repeats.limit(layer));
//! # drop(subscriber);
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::bounds::{self, HOUR};
use antiphon_base::time::{Clock, SystemClock};
use antiphon_runtime::Result;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::callsite::Identifier;
use tracing::field::Value;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The limit for each line of code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepeatSettings {
    /// Most log lines of one line of code within `interval`; further lines are left out and
    /// counted. Default: 20.
    pub burst_max: u32,
    /// After this time the line of code may log `burst_max` lines again, and one line reports the
    /// number of lines left out. Default: 10 s.
    #[serde(with = "antiphon_base::time::text")]
    pub interval: Duration,
    /// Most lines of code whose log lines are counted; beyond, new lines of code are not limited.
    /// Default: 4096.
    pub callsites_max: usize,
}

impl Default for RepeatSettings {
    fn default() -> Self {
        Self { burst_max: 20, interval: Duration::from_secs(10), callsites_max: 4096 }
    }
}

impl RepeatSettings {
    /// Checks every value.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and what was expected.
    pub fn validate(&self) -> Result<()> {
        bounds::count("burst_max", self.burst_max as usize, 1..=1 << 20)?;
        bounds::duration("interval", self.interval, Duration::from_millis(10)..=HOUR)?;
        bounds::count("callsites_max", self.callsites_max, 1..=1 << 20)
    }
}

/// The counts of log lines for each line of code. Cheap to clone; all clones share the counts.
#[derive(Debug, Clone)]
pub struct Repeats {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: RepeatSettings,
    counts: Mutex<Counts>,
}

/// A core: the rules, without a clock.
#[derive(Debug, Default)]
struct Counts {
    of: HashMap<Identifier, Count>,
    /// The earliest time at which a count must be reported; `None` when no line was left out.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Count {
    began: Instant,
    said: u32,
    left_out: u64,
    metadata: &'static Metadata<'static>,
}

/// The log lines of one line of code that were left out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LeftOut {
    metadata: &'static Metadata<'static>,
    count: u64,
}

impl Counts {
    /// Returns whether the line may be logged.
    fn admits(
        &mut self,
        now: Instant,
        settings: &RepeatSettings,
        metadata: &'static Metadata<'static>,
    ) -> bool {
        let is_full = self.of.len() >= settings.callsites_max;
        let id = metadata.callsite();
        if is_full && !self.of.contains_key(&id) {
            return true;
        }
        let new = || Count { began: now, said: 0, left_out: 0, metadata };
        let count = self.of.entry(id).or_insert_with(new);
        if count.left_out == 0 && now.saturating_duration_since(count.began) >= settings.interval {
            *count = new();
        }
        if count.said < settings.burst_max {
            count.said += 1;
            return true;
        }
        count.left_out += 1;
        let due = count.began + settings.interval;
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
        false
    }

    /// Takes the counts of lines left out in intervals that are over.
    fn take_due(&mut self, now: Instant, settings: &RepeatSettings) -> Vec<LeftOut> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let mut taken = Vec::new();
        self.due = None;
        for count in self.of.values_mut().filter(|count| count.left_out > 0) {
            let due = count.began + settings.interval;
            if now < due {
                self.due = Some(self.due.map_or(due, |before| before.min(due)));
                continue;
            }
            taken.push(LeftOut { metadata: count.metadata, count: count.left_out });
            (count.began, count.said, count.left_out) = (now, 0, 0);
        }
        taken
    }
}

impl Repeats {
    /// Starts with empty counts.
    pub fn new(settings: RepeatSettings) -> Self {
        Self { shared: Arc::new(Shared { settings, counts: Mutex::default() }) }
    }

    /// A layer that passes the permitted lines on to `layer`. Do not put a filter on this layer;
    /// filter the whole subscriber.
    pub fn limit<L>(&self, layer: L) -> LimitedLayer<L> {
        LimitedLayer { layer, repeats: self.clone() }
    }

    /// Reports the lines left out in intervals that are over. The next line of the log does so too;
    /// call this from time to time, so that the count is reported also when no other line follows.
    pub fn flush(&self) {
        let now = SystemClock.now();
        if self.counts().due.is_some_and(|due| now >= due) {
            // the layer reports due counts, and swallows this event
            tracing::error!(target: NUDGE, "flush");
        }
    }

    /// Calls [`Self::flush`] once an interval. Run it as a task.
    pub async fn flush_always(self) {
        loop {
            tokio::time::sleep(self.shared.settings.interval).await;
            self.flush();
        }
    }

    fn counts(&self) -> parking_lot::MutexGuard<'_, Counts> {
        self.shared.counts.lock()
    }

    fn admits(&self, metadata: &'static Metadata<'static>) -> bool {
        self.counts().admits(SystemClock.now(), &self.shared.settings, metadata)
    }

    fn take_due(&self) -> Vec<LeftOut> {
        self.counts().take_due(SystemClock.now(), &self.shared.settings)
    }
}

/// The target of an event that only makes the layer report due counts.
const NUDGE: &str = "antiphon::repeats";

/// A layer that passes the permitted lines on to another layer.
#[derive(Debug)]
pub struct LimitedLayer<L> {
    layer: L,
    repeats: Repeats,
}

impl<S: Subscriber, L: Layer<S>> Layer<S> for LimitedLayer<L> {
    fn on_register_dispatch(&self, subscriber: &tracing::Dispatch) {
        self.layer.on_register_dispatch(subscriber);
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        self.layer.on_layer(subscriber);
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.layer.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        self.layer.enabled(metadata, context)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.layer.on_new_span(attributes, id, context);
    }

    fn on_record(&self, span: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.layer.on_record(span, values, context);
    }

    fn on_follows_from(&self, span: &Id, follows: &Id, context: Context<'_, S>) {
        self.layer.on_follows_from(span, follows, context);
    }

    fn event_enabled(&self, event: &Event<'_>, context: Context<'_, S>) -> bool {
        self.layer.event_enabled(event, context)
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        for LeftOut { metadata, count } in self.repeats.take_due() {
            self.tell(metadata, count, &context);
        }
        if event.metadata().target() != NUDGE && self.repeats.admits(event.metadata()) {
            self.layer.on_event(event, context);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.layer.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.layer.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.layer.on_close(id, context);
    }

    fn on_id_change(&self, old: &Id, new: &Id, context: Context<'_, S>) {
        self.layer.on_id_change(old, new, context);
    }
}

impl<L> LimitedLayer<L> {
    /// Reports how many lines of a line of code were left out, as one more line from it. An event
    /// created within a layer does not reach the subscriber in every case.
    fn tell<S: Subscriber>(
        &self,
        metadata: &'static Metadata<'static>,
        count: u64,
        context: &Context<'_, S>,
    ) where
        L: Layer<S>,
    {
        let Some(field) =
            metadata.fields().field("message").or_else(|| metadata.fields().iter().next())
        else {
            return;
        };
        let (file, line) = (metadata.file().unwrap_or("?"), metadata.line().unwrap_or(0));
        let text = format!("repeated {count} times more, left out: the line of {file}:{line}");
        let values = [(&field, Some(&text as &dyn Value))];
        let values = metadata.fields().value_set(&values);
        self.layer.on_event(&Event::new(metadata, &values), context.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    impl Written {
        fn lines(&self, with: &str) -> usize {
            let text = self.0.lock().clone();
            String::from_utf8(text).unwrap().lines().filter(|line| line.contains(with)).count()
        }
    }

    fn settings(burst_max: u32, interval: Duration) -> RepeatSettings {
        RepeatSettings { burst_max, interval, ..RepeatSettings::default() }
    }

    #[test]
    fn a_line_that_repeats_is_left_out_and_counted_and_other_lines_are_not() {
        let interval = Duration::from_millis(20);
        let (repeats, written) = (Repeats::new(settings(3, interval)), Written::default());
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(written.clone());
        let subscriber = tracing_subscriber::registry().with(repeats.limit(layer));
        tracing::subscriber::with_default(subscriber, || {
            let began = SystemClock.now();
            let mut said = 0;
            while SystemClock.now() - began < interval * 10 {
                tracing::error!("the disk is full");
                said += 1;
            }
            tracing::info!("something else");
            assert!(said > 1000, "{said}");
        });
        let (full, repeated) = (written.lines("the disk is full"), written.lines("repeated"));
        assert!((3..=3 * 12).contains(&full), "{full} of the lines are there");
        assert!((1..=12).contains(&repeated), "{repeated} lines say how many are not");
        assert_eq!(written.lines("something else"), 1);
    }

    #[test]
    fn each_line_of_code_has_a_burst_of_its_own_and_as_much_again_after_the_interval() {
        let metadata: [&'static Metadata<'static>; 2] = {
            let collected = Arc::new(Mutex::new(Vec::new()));
            struct Collect(Arc<Mutex<Vec<&'static Metadata<'static>>>>);
            impl<S: Subscriber> Layer<S> for Collect {
                fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                    self.0.lock().push(event.metadata());
                }
            }
            let subscriber = tracing_subscriber::registry().with(Collect(collected.clone()));
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!("one");
                tracing::info!("two");
            });
            let collected = collected.lock().clone();
            [collected[0], collected[1]]
        };
        let second = Duration::from_secs(1);
        let (settings, t0) = (settings(2, second), SystemClock.now());
        let mut counts = Counts::default();
        let mut said = |now, index: usize| counts.admits(now, &settings, metadata[index]);
        assert_eq!(
            [said(t0, 0), said(t0, 0), said(t0, 0), said(t0, 0)],
            [true, true, false, false]
        );
        assert!(said(t0, 1), "another line of code");

        assert_eq!(counts.take_due(t0, &settings), []);
        let left_out = counts.take_due(t0 + second, &settings);
        assert_eq!(left_out, [LeftOut { metadata: metadata[0], count: 2 }]);
        assert_eq!(counts.take_due(t0 + second * 2, &settings), [], "it is said once");
        assert!(counts.admits(t0 + second, &settings, metadata[0]));
    }

    #[test]
    fn settings_are_checked() {
        RepeatSettings::default().validate().unwrap();
        for (settings, name) in [
            (settings(0, Duration::from_secs(1)), "`burst_max`"),
            (settings(1, Duration::ZERO), "`interval`"),
            (settings(1, Duration::MAX), "`interval`"),
            (RepeatSettings { callsites_max: 0, ..RepeatSettings::default() }, "`callsites_max`"),
        ] {
            let message = settings.validate().unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
    }
}

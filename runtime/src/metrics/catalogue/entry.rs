//! An entry of the catalogue.

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows while the node runs.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// The distribution of a number.
    Histogram,
}

/// A metric of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The name. `{..}` stands for a part that the journal gives.
    pub name: &'static str,
    /// The kind.
    pub kind: Kind,
    /// The unit of the number.
    pub unit: &'static str,
    /// The labels.
    pub labels: &'static [&'static str],
    /// The text of `# HELP`.
    pub help: &'static str,
    /// The bound of the number of series.
    pub series: &'static str,
    /// The action that an operator takes.
    pub action: &'static str,
}

/// The action for a metric that only shows the load.
pub(super) const NOTHING: &str = "Nothing: it shows the load.";

/// A counter; the texts are `help`, `series` and `action`.
pub(super) const fn counter(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    texts: [&'static str; 3],
) -> Entry {
    let [help, series, action] = texts;
    Entry { name, kind: Kind::Counter, unit, labels, help, series, action }
}

/// A gauge; the texts are as with [`counter`].
pub(super) const fn gauge(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    texts: [&'static str; 3],
) -> Entry {
    Entry { kind: Kind::Gauge, ..counter(name, unit, labels, texts) }
}

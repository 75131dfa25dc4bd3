//! The limits of plain actors on the cluster.

use std::time::Duration;

use antiphon_base::bounds::{self, HOUR};
use antiphon_base::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::ToolSettings;

/// Limits of the sessions over which plain actors of different nodes reach each other. Plain
/// values; the defaults fit most.
///
/// ```
/// use antiphon_cluster::ActorSettings;
///
/// let settings = ActorSettings { frame_bytes_max: 1024 * 1024, ..ActorSettings::default() };
/// settings.validate()?;
/// let none = ActorSettings { probe_misses_max: 0, ..settings };
/// let error = none.validate().unwrap_err().to_string();
/// assert_eq!(error, "`probe_misses_max`: expected at least 1, actual 0");
/// # Ok::<(), antiphon_base::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActorSettings {
    /// Whether the node has sessions with the other members. Without them, actors of this node and
    /// of the others do not see each other. Default: `true`.
    pub enabled: bool,
    /// Limit of the bytes of one message between two nodes, with its address. A longer one is
    /// dropped before it leaves, counted and logged; its sender is not told, and a call runs into
    /// its time limit. Must be the same on all nodes: a node that receives more ends the
    /// session.
    pub frame_bytes_max: usize,
    /// Limit of the bytes that wait for one member. Beyond, messages are dropped and counted; what
    /// keeps the groups in step is kept, up to twice the limit: then the session begins anew.
    pub queue_bytes_max: usize,
    /// First wait before a session is opened again; it doubles up to `retry_max`, until a session
    /// has lasted for `retry_max`.
    #[serde(with = "antiphon_base::time::text")]
    pub retry_min: Duration,
    /// Longest wait before a session is opened again, also with a member that has no plain actors.
    #[serde(with = "antiphon_base::time::text")]
    pub retry_max: Duration,
    /// Longest time until both sides of a new session know the actors and groups of each other.
    /// Then the session begins anew.
    #[serde(with = "antiphon_base::time::text")]
    pub ready_timeout: Duration,
    /// Time between two probes of a member.
    #[serde(with = "antiphon_base::time::text")]
    pub probe_interval: Duration,
    /// Limit of the wait for an answer to a probe; then the probe counts as missed.
    #[serde(with = "antiphon_base::time::text")]
    pub probe_timeout: Duration,
    /// After this number of missed probes in a row, a member counts as frozen: the session with it
    /// ends, and its actors are gone from all groups until it answers again.
    pub probe_misses_max: u32,
    /// Time between two looks whether a wait or a probe is due.
    #[serde(with = "antiphon_base::time::text")]
    pub tick_interval: Duration,
    /// Limits of the receptionist, of topics, of singletons and of routers.
    pub tools: ToolSettings,
}

impl Default for ActorSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            frame_bytes_max: 4 * 1024 * 1024,
            queue_bytes_max: 64 * 1024 * 1024,
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_secs(5),
            ready_timeout: Duration::from_secs(30),
            probe_interval: Duration::from_millis(300),
            probe_timeout: Duration::from_millis(500),
            probe_misses_max: 3,
            tick_interval: Duration::from_millis(50),
            tools: ToolSettings::default(),
        }
    }
}

impl ActorSettings {
    /// Checks every value.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and the expected value.
    pub fn validate(&self) -> Result<()> {
        let millisecond = Duration::from_millis(1);
        bounds::count("frame_bytes_max", self.frame_bytes_max, 1 << 10..=1 << 28)?;
        bounds::count("queue_bytes_max", self.queue_bytes_max, 1 << 10..=1 << 34)?;
        if self.queue_bytes_max < self.frame_bytes_max {
            return Err(Error::rejected(format!(
                "`queue_bytes_max`: expected at least `frame_bytes_max` {}, actual {}",
                self.frame_bytes_max, self.queue_bytes_max
            )));
        }
        bounds::duration("retry_min", self.retry_min, millisecond..=HOUR)?;
        bounds::duration("retry_max", self.retry_max, millisecond..=HOUR)?;
        bounds::at_least(("retry_max", self.retry_max), (self.retry_min, "`retry_min`"))?;
        bounds::duration("ready_timeout", self.ready_timeout, millisecond..=HOUR)?;
        bounds::duration("probe_interval", self.probe_interval, millisecond..=HOUR)?;
        bounds::duration("probe_timeout", self.probe_timeout, millisecond..=HOUR)?;
        bounds::number("probe_misses_max", self.probe_misses_max.into(), 1..=1000)?;
        bounds::duration("tick_interval", self.tick_interval, millisecond..=HOUR)?;
        let of_table = |error: Error| error.to_string().replacen('`', "`tools.", 1);
        self.tools.validate().map_err(|error| Error::rejected(of_table(error)))
    }
}

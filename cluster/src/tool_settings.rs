//! The limits of the tools of plain actors.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::Result;
use antiphon_base::bounds::{self, HOUR};
use antiphon_runtime::Node;
use serde::{Deserialize, Serialize};

/// Limits of the receptionist, of topics, of singletons and of routers on one node. Plain values;
/// the defaults fit most.
///
/// ```
/// use antiphon_cluster::ToolSettings;
///
/// let settings = ToolSettings { topic_queue_max: 100, ..ToolSettings::default() };
/// settings.validate()?;
/// let none = ToolSettings { topic_queue_max: 0, ..settings };
/// let error = none.validate().unwrap_err().to_string();
/// assert_eq!(error, "`topic_queue_max`: expected at least 1, actual 0");
/// # Ok::<(), antiphon_base::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToolSettings {
    /// Most keys that the receptionist knows, those of other nodes included. A registration under
    /// one more key is refused; a further key of another node is left out, and counted.
    pub receptionist_keys_max: usize,
    /// Most actors under one key. A further registration is refused; further actors of other nodes
    /// are left out, and counted.
    pub receptionist_actors_max: usize,
    /// Most messages of a topic that wait at one subscriber. Further ones are dropped for this
    /// subscriber, counted, and told with its next message.
    pub topic_queue_max: usize,
    /// Most subscribers of one topic on one node. A further subscription is refused.
    pub topic_subscribers_max: usize,
    /// Most topics with subscribers on one node. A subscription of a further topic is refused.
    pub topics_max: usize,
    /// Most singletons that one node takes part in. A further one is refused.
    pub singletons_max: usize,
    /// Time between two reads of the leases of the singletons.
    #[serde(with = "antiphon_base::time::text")]
    pub singleton_interval: Duration,
    /// Head start that each member has over the next one when a lease is free. The order of the
    /// members differs from name to name.
    #[serde(with = "antiphon_base::time::text")]
    pub singleton_turn: Duration,
    /// Time for which the first member in the order of a name must be up before it asks the holder
    /// for the lease.
    #[serde(with = "antiphon_base::time::text")]
    pub singleton_settle: Duration,
    /// Time that a singleton has to handle the messages in its mailbox before it moves; then it is
    /// killed.
    #[serde(with = "antiphon_base::time::text")]
    pub singleton_stop_timeout: Duration,
    /// Limit of a call of the store of the leases; then its outcome is unknown.
    #[serde(with = "antiphon_base::time::text")]
    pub singleton_store_timeout: Duration,
    /// The longest wait before a singleton that has ended is started again. Waits begin with
    /// 100 ms and double.
    #[serde(with = "antiphon_base::time::text")]
    pub singleton_restart_delay_max: Duration,
    /// Most messages that one proxy keeps while the singleton moves. Further ones are refused.
    pub singleton_buffer_max: usize,
    /// Longest time that a proxy keeps a message; then it is dropped and counted.
    #[serde(with = "antiphon_base::time::text")]
    pub singleton_buffer_timeout: Duration,
}

impl Default for ToolSettings {
    fn default() -> Self {
        Self {
            receptionist_keys_max: 10_000,
            receptionist_actors_max: 10_000,
            topic_queue_max: 1000,
            topic_subscribers_max: 10_000,
            topics_max: 10_000,
            singletons_max: 1000,
            singleton_interval: Duration::from_millis(300),
            singleton_turn: Duration::from_millis(200),
            singleton_settle: Duration::from_secs(10),
            singleton_stop_timeout: Duration::from_secs(5),
            singleton_store_timeout: Duration::from_secs(1),
            singleton_restart_delay_max: Duration::from_secs(30),
            singleton_buffer_max: 1000,
            singleton_buffer_timeout: Duration::from_secs(10),
        }
    }
}

impl ToolSettings {
    /// Checks every value.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and the expected value.
    pub fn validate(&self) -> Result<()> {
        for (name, actual) in [
            ("receptionist_keys_max", self.receptionist_keys_max),
            ("receptionist_actors_max", self.receptionist_actors_max),
            ("topic_queue_max", self.topic_queue_max),
            ("topic_subscribers_max", self.topic_subscribers_max),
            ("topics_max", self.topics_max),
            ("singletons_max", self.singletons_max),
        ] {
            bounds::count(name, actual, 1..=1_000_000)?;
        }
        bounds::count("singleton_buffer_max", self.singleton_buffer_max, 0..=1_000_000)?;
        let least = Duration::from_millis(10);
        for (name, actual, least) in [
            ("singleton_interval", self.singleton_interval, least),
            ("singleton_turn", self.singleton_turn, Duration::ZERO),
            ("singleton_settle", self.singleton_settle, Duration::ZERO),
            ("singleton_stop_timeout", self.singleton_stop_timeout, Duration::ZERO),
            ("singleton_store_timeout", self.singleton_store_timeout, least),
            ("singleton_restart_delay_max", self.singleton_restart_delay_max, least),
            ("singleton_buffer_timeout", self.singleton_buffer_timeout, least),
        ] {
            bounds::duration(name, actual, least..=HOUR)?;
        }
        Ok(())
    }

    /// Gives the tools of this node these settings. Call it before the first use of a tool on the
    /// node: later, it changes nothing, and the result is the settings that hold.
    ///
    /// # Errors
    /// As [`Self::validate`].
    pub fn install(self, node: &Node) -> Result<Arc<Self>> {
        self.validate()?;
        Ok(node.extension(|| Arc::new(self)))
    }

    /// The settings of this node: those that were installed, or the defaults.
    pub(crate) fn of(node: &Node) -> Arc<Self> {
        node.extension(|| Arc::new(Self::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_its_bounds_is_refused_by_name() {
        ToolSettings::default().validate().unwrap();
        let far = Duration::from_secs(7200);
        for (name, settings) in [
            ("singleton_settle", ToolSettings { singleton_settle: far, ..ToolSettings::default() }),
            (
                "singleton_interval",
                ToolSettings { singleton_interval: Duration::ZERO, ..ToolSettings::default() },
            ),
            (
                "receptionist_keys_max",
                ToolSettings { receptionist_keys_max: 0, ..ToolSettings::default() },
            ),
        ] {
            let message = settings.validate().unwrap_err().to_string();
            assert!(message.contains(&format!("`{name}`")), "{message}");
        }
    }
}

//! The file descriptors of the process: as many as the system gives, with some kept for the links
//! of members and for HTTP.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::app::config::Config;

/// Descriptors for the journal, the output and the connections that this node dials.
const OTHERS: usize = 128;

/// Raises the limit of descriptors as far as the system lets this process, and returns it. `None`
/// when there is no limit.
fn raise() -> Option<usize> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let is_raised = limit.current != limit.maximum && setrlimit(Resource::Nofile, raised).is_ok();
    let current = if is_raised { limit.maximum } else { limit.current };
    current.map(|current| usize::try_from(current).unwrap_or(usize::MAX))
}

/// Limit of the connections that greet in a process with this limit of descriptors: at most a
/// quarter of them.
fn greeting_max(setting: usize, limit: Option<usize>) -> usize {
    limit.map_or(setting, |limit| setting.min(limit / 4).max(1))
}

/// Raises the limit of descriptors, and leaves connections that greet at most a quarter of them.
/// Warns when the configuration allows more connections than there are descriptors.
pub(crate) fn prepare(config: &mut Config) {
    let limit = raise();
    let needed = [
        config.http.connections_max,
        config.links.greeting_max,
        config.links.connections_max,
        config.links.streams_max,
        OTHERS,
    ];
    let needed: usize = needed.iter().sum();
    config.links.greeting_max = greeting_max(config.links.greeting_max, limit);
    if let Some(limit) = limit.filter(|limit| *limit < needed) {
        tracing::warn!(
            limit,
            needed,
            greeting_max = config.links.greeting_max,
            "the process may open fewer files than `http.connections_max`, `links.greeting_max`, `links.connections_max` and `links.streams_max` need: raise its limit (`ulimit -n`)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_greet_get_a_quarter_of_the_descriptors() {
        assert_eq!(greeting_max(1024, None), 1024);
        assert_eq!(greeting_max(1024, Some(1024)), 256);
        assert_eq!(greeting_max(100, Some(1024)), 100);
        assert_eq!(greeting_max(100, Some(3)), 1);
    }
}

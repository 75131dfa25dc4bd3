//! The sections `Metrics` and `Health`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::kinds::{DAY, SECOND, flag, number, span, text};
use super::table::settings;

settings! {
    /// The section `Metrics`: the HTTP interface.
    MetricsSettings {
        /// Serves metrics. The file in the image says `true`.
        enabled: bool = false, "Enabled", flag();
        /// The path of the metrics.
        path: String = "metrics/".to_owned(), "Path", text("a path");
        /// The port; 0 takes any.
        port: u16 = 5000, "Port", number(0, 65_535);
        /// The address to listen on; `+`, as .NET writes it, is every address.
        host: String = "+".to_owned(), "Host", text("`+` or an IP address");
    }
}

impl MetricsSettings {
    /// The path with one slash before it and none after it.
    pub fn route(&self) -> String {
        format!("/{}", self.path.trim_matches('/'))
    }

    /// The address to listen on; none when `host` is not an IP address.
    pub fn address(&self) -> Option<SocketAddr> {
        let ip: IpAddr = match self.host.as_str() {
            "+" | "*" => Ipv4Addr::UNSPECIFIED.into(),
            "localhost" => Ipv4Addr::LOCALHOST.into(),
            host => host.parse().ok()?,
        };
        Some(SocketAddr::new(ip, self.port))
    }
}

settings! {
    /// The section `Health`: the limits beyond which the replicator is not ready.
    HealthSettings {
        /// Serves `/health/live`, `/health/ready` and `/status`, on the port of the metrics.
        enabled: bool = false, "Enabled", flag().default_from("Metrics:Enabled");
        /// Longest time that a subscription may be behind without progress and still be ready.
        stall_time: Duration = SECOND * 60, "StallTime", span(SECOND, DAY);
    }
}

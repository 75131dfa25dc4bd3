//! A session on the server.

use std::sync::Arc;

use antiphon_base::{Error, Result};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::FallthroughRetryPolicy;

use super::ServerSettings;

/// Connects. The driver repeats nothing by itself: the caller decides on each repetition.
pub(super) async fn connect(settings: &ServerSettings) -> Result<Session> {
    let mut balancing = DefaultPolicy::builder().token_aware(true);
    if let Some(dc) = &settings.local_dc {
        balancing = balancing.prefer_datacenter(dc.clone()).permit_dc_failover(false);
    }
    let profile = ExecutionProfile::builder()
        .consistency(settings.parsed_consistency()?)
        .serial_consistency(Some(settings.parsed_serial_consistency()?))
        .request_timeout(Some(settings.request_timeout))
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .load_balancing_policy(balancing.build())
        .speculative_execution_policy(None)
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&settings.contact_points)
        .default_execution_profile_handle(profile.into_handle())
        .connection_timeout(settings.connect_timeout)
        .keepalive_interval(settings.keepalive_interval)
        .keepalive_timeout(settings.keepalive_timeout)
        .tcp_nodelay(true);
    #[cfg(feature = "tls")]
    if let Some(tls) = &settings.tls {
        builder = builder.tls_context(Some(super::tls::config(tls)?));
    }
    if let Some(auth) = &settings.auth {
        builder = builder.user(&auth.user, auth.password.expose());
    }
    builder.build().await.map_err(|error| {
        Error::unavailable(format!(
            "`contact_points`: no server answers at {}: {error}",
            settings.contact_points.join(", ")
        ))
        .with_source(error)
    })
}

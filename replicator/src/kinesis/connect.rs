//! Makes the AWS client of the settings, as Ditto's SDK did: profile, region, endpoint, retries,
//! credentials from AWS's usual chain.

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{Credentials, Region};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::config::{AwsSettings, RetryMode};

/// Makes a client; `variable` reads the environment, for the only variable that only .NET's SDK
/// knows.
pub async fn connect(settings: &AwsSettings, variable: impl Fn(&str) -> Option<String>) -> Client {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let attempts = settings.retry_count_max.saturating_add(1);
    let retries = match settings.retry_mode {
        RetryMode::Standard | RetryMode::Legacy => RetryConfig::standard(),
        RetryMode::Adaptive => RetryConfig::adaptive(),
    };
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(settings.timeout)
        .operation_attempt_timeout(settings.timeout)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(retries.with_max_attempts(attempts))
        .timeout_config(timeouts);
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(path) = &settings.profiles_location {
        let files = EnvConfigFiles::builder()
            .include_default_config_file(true)
            .with_file(EnvConfigFileKind::Credentials, path)
            .build();
        loader = loader.profile_files(files);
    }
    if let Some(url) = &settings.service_url {
        loader = loader.endpoint_url(url);
    }
    if let Some(credentials) = old_credentials(variable) {
        loader = loader.credentials_provider(credentials);
    }
    Client::new(&loader.load().await)
}

/// Credentials by `AWS_SECRET_KEY`, the older name of `AWS_SECRET_ACCESS_KEY`, which the SDK of
/// Ditto accepted too.
fn old_credentials(variable: impl Fn(&str) -> Option<String>) -> Option<Credentials> {
    if variable("AWS_SECRET_ACCESS_KEY").is_some() {
        return None;
    }
    let (id, secret) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_KEY")?);
    let token = variable("AWS_SESSION_TOKEN");
    Some(Credentials::new(id, secret, token, None, "environment variable AWS_SECRET_KEY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_name_of_the_secret_counts_only_without_the_newer_one() {
        let read = |set: &[(&str, &str)], name: &str| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let old = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_KEY", "old")];
        let both = [old[0], old[1], ("AWS_SECRET_ACCESS_KEY", "new")];
        let found = old_credentials(|name| read(&old, name)).unwrap();
        assert_eq!((found.access_key_id(), found.secret_access_key()), ("id", "old"));
        assert!(old_credentials(|name| read(&both, name)).is_none());
        assert!(old_credentials(|_| None).is_none());
    }
}

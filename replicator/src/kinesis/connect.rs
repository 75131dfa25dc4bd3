//! Makes the AWS client of the settings, as Ditto's SDK did: profile, region, endpoint, retries,
//! credentials from AWS's usual chain.

use aws_config::BehaviorVersion;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{Credentials, Region, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_types::os_shim_internal::{Env, Fs};

use crate::config::{AwsSettings, RetryMode};
use crate::{Error, Result};

/// Makes a client; `variable` reads the environment, for the only variable that only .NET's SDK
/// knows.
///
/// # Errors
/// `Rejected` when the profile of the settings is in none of the files.
pub async fn connect(
    settings: &AwsSettings,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Client> {
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
        .http_client(http())
        .retry_config(retries.with_max_attempts(attempts))
        .timeout_config(timeouts);
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    loader = loader.profile_files(profile_files(settings));
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(credentials) = credentials(settings, variable).await? {
        loader = loader.credentials_provider(credentials);
    }
    if let Some(url) = &settings.service_url {
        loader = loader.endpoint_url(url);
    }
    Ok(Client::new(&loader.load().await))
}

fn http() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// The credentials of the settings; none for those of AWS's usual chain.
async fn credentials(
    settings: &AwsSettings,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<SharedCredentialsProvider>> {
    let Some(profile) = &settings.profile else {
        return Ok(old_credentials(variable).map(SharedCredentialsProvider::new));
    };
    check_profile(settings).await?;
    // a profile that is chosen goes before the environment, as it did in Ditto
    let region = settings.region.clone().map(Region::new);
    let provider_config = ProviderConfig::default().with_http_client(http()).with_region(region);
    let provider = ProfileFileCredentialsProvider::builder().configure(&provider_config);
    let provider = provider.profile_name(profile).profile_files(profile_files(settings));
    Ok(Some(SharedCredentialsProvider::new(provider.build())))
}

/// The files of profiles: those of the AWS command line, or the one of the settings.
fn profile_files(settings: &AwsSettings) -> EnvConfigFiles {
    let Some(path) = &settings.profiles_location else { return EnvConfigFiles::default() };
    EnvConfigFiles::builder()
        .include_default_config_file(true)
        .with_file(EnvConfigFileKind::Credentials, path)
        .build()
}

/// Checks that the profile of the settings, if they have one, is in one of the files.
///
/// # Errors
/// `Rejected`, with the names of the profiles that are there.
pub async fn check_profile(settings: &AwsSettings) -> Result<()> {
    let Some(profile) = &settings.profile else { return Ok(()) };
    let place = settings.profiles_location.as_deref().unwrap_or("~/.aws/credentials");
    let (fs, env) = (Fs::real(), Env::real());
    let found = aws_config::profile::load(&fs, &env, &profile_files(settings), None).await;
    let found = found.map_err(|error| {
        Error::rejected(format!("`AWS:Profile`: the files of profiles cannot be read: {error}"))
            .with_source(error)
    })?;
    if found.get_profile(profile).is_some() {
        return Ok(());
    }
    let mut names: Vec<String> = found.profiles().map(|name| format!("`{name}`")).collect();
    names.sort();
    let expected = if names.is_empty() { "none is there".to_owned() } else { names.join(", ") };
    Err(Error::rejected(format!(
        "`AWS:Profile`: expected a profile of `{place}` or `~/.aws/config` ({expected}), actual `{profile}`"
    )))
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
    use aws_sdk_kinesis::config::ProvideCredentials;

    use super::*;

    fn of_profile(profile: &str, folder: &tempfile::TempDir) -> AwsSettings {
        let path = folder.path().join("credentials");
        let text = "[ditto]\naws_access_key_id = of-the-profile\naws_secret_access_key = b\n";
        std::fs::write(&path, text).unwrap();
        let (profile, profiles_location) =
            (Some(profile.to_owned()), Some(path.display().to_string()));
        AwsSettings { profile, profiles_location, region: Some("x".into()), ..Default::default() }
    }

    #[tokio::test]
    async fn a_profile_goes_before_the_environment_and_a_missing_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let environment = |name: &str| {
            ["AWS_ACCESS_KEY_ID", "AWS_SECRET_KEY"].contains(&name).then(|| "other".to_owned())
        };
        let found = credentials(&of_profile("ditto", &folder), environment).await.unwrap();
        let found = found.unwrap().provide_credentials().await.unwrap();
        assert_eq!(found.access_key_id(), "of-the-profile");

        let refused = connect(&of_profile("nobody", &folder), environment).await.unwrap_err();
        let refused = refused.to_string();
        assert!(refused.starts_with("`AWS:Profile`: expected a profile of `"), "{refused}");
        assert!(refused.contains("`ditto`") && refused.ends_with("actual `nobody`"), "{refused}");
    }

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

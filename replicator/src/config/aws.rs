//! The sections `Kinesis` and `AWS`.

use super::problems::Problems;
use super::reader::{Reader, choice};

/// The section `Kinesis`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KinesisSettings {
    /// The stream that is written; none with another sink.
    pub stream_name: Option<String>,
    /// Records of one request; the service takes 500.
    pub batch_records_max: u32,
    /// Bytes of one request, keys included; the service takes 5 MiB.
    pub batch_bytes_max: u64,
    /// Bytes of one record, key included; the service allowed 1 MiB for a long time, newer streams
    /// can allow up to 10 MiB.
    pub record_bytes_max: u64,
}

impl Default for KinesisSettings {
    fn default() -> Self {
        Self {
            stream_name: None,
            batch_records_max: 500,
            batch_bytes_max: 5 * 1024 * 1024,
            record_bytes_max: 1024 * 1024,
        }
    }
}

impl KinesisSettings {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let default = Self::default();
        Self {
            stream_name: reader.optional("Kinesis:StreamName"),
            batch_records_max: reader.number("Kinesis:BatchRecordsMax", default.batch_records_max),
            batch_bytes_max: reader.number("Kinesis:BatchBytesMax", default.batch_bytes_max),
            record_bytes_max: reader.number("Kinesis:RecordBytesMax", default.record_bytes_max),
        }
    }

    pub(super) fn check(&self, is_sink: bool, problems: &mut Problems) {
        if is_sink {
            let name = self.stream_name.as_deref().unwrap_or_default();
            problems.required("Kinesis:StreamName", name, "the name of a Kinesis stream");
        }
        let mega = 1024 * 1024;
        problems.number("Kinesis:BatchRecordsMax", self.batch_records_max.into(), 1, 500);
        problems.number("Kinesis:BatchBytesMax", self.batch_bytes_max, 1024, 10 * mega);
        problems.number("Kinesis:RecordBytesMax", self.record_bytes_max, 1024, 10 * mega);
        if self.record_bytes_max > self.batch_bytes_max {
            problems.push(
                "`Kinesis:RecordBytesMax`: expected at most `Kinesis:BatchBytesMax`, else such a record fits no request"
                    .to_owned(),
            );
        }
    }
}

choice! {
    /// The way in which the AWS SDK repeats requests.
    RetryMode {
        /// With exponential pauses; the default, as Ditto's.
        Standard = "Standard",
        /// As `Standard`, with a limit on the rate of requests.
        Adaptive = "Adaptive",
        /// The oldest mode of .NET's SDK; treated as `Standard`.
        Legacy = "Legacy",
    }
}

/// The section `AWS`. Credentials come from the environment, the profile or the machine, never from
/// this section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsSettings {
    /// The profile in the files of the AWS command line.
    pub profile: Option<String>,
    /// The file that contains the profile.
    pub profiles_location: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Another endpoint than the region's, for a stand-in of the service.
    pub service_url: Option<String>,
    /// The way in which requests are repeated.
    pub retry_mode: RetryMode,
    /// Repetitions of a failed request.
    pub retry_count_max: u32,
    /// Longest time of one request, its repetitions not counted.
    pub timeout: std::time::Duration,
}

impl Default for AwsSettings {
    fn default() -> Self {
        Self {
            profile: None,
            profiles_location: None,
            region: None,
            service_url: None,
            retry_mode: RetryMode::Standard,
            retry_count_max: 2,
            timeout: std::time::Duration::from_secs(10),
        }
    }
}

impl AwsSettings {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let default = Self::default();
        Self {
            profile: reader.optional("AWS:Profile"),
            profiles_location: reader.optional("AWS:ProfilesLocation"),
            region: reader.optional("AWS:Region"),
            service_url: reader.optional("AWS:ServiceURL"),
            retry_mode: reader.choice("AWS:RetryMode", default.retry_mode),
            retry_count_max: reader.number("AWS:MaxErrorRetry", default.retry_count_max),
            timeout: reader.span("AWS:Timeout", default.timeout),
        }
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        problems.number("AWS:MaxErrorRetry", self.retry_count_max.into(), 0, 100);
        let milli = std::time::Duration::from_millis(1);
        problems.span("AWS:Timeout", self.timeout, milli * 100, milli * 600_000);
        if let Some(url) = &self.service_url
            && !(url.starts_with("http://") || url.starts_with("https://"))
        {
            problems.expected(
                "AWS:ServiceURL",
                url,
                "a URL that starts with `http://` or `https://`",
            );
        }
    }
}

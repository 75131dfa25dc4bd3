//! The sections `Kinesis` and `AWS`.

use std::time::Duration;

use super::choice::choice;
use super::kinds::{MILLISECOND, SECOND, number, optional, span, text, word};
use super::table::settings;

const MEGA: u64 = 1024 * 1024;

settings! {
    /// The section `Kinesis`.
    KinesisSettings {
        /// The Kinesis stream that is written by the sink `kinesis`.
        stream_name: Option<String> = None, "StreamName", optional(text("a Kinesis stream"));
        /// Records of one request; the service takes 500.
        batch_records_max: usize = 500, "BatchRecordsMax", number(1, 500);
        /// Bytes of one request, keys included; the service takes 5 MiB.
        batch_bytes_max: u64 = 5 * MEGA, "BatchBytesMax", number(1024, 10 * MEGA);
        /// Bytes of one record, key included; a larger event is parked. The service allowed 1 MiB
        /// for a long time, newer streams can allow up to 10 MiB.
        record_bytes_max: u64 = MEGA, "RecordBytesMax", number(1024, 10 * MEGA);
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

settings! {
    /// The section `AWS`. Credentials come from the environment, the profile or the machine, never
    /// from this section.
    AwsSettings {
        /// The profile in the files of the AWS command line. Credentials come from AWS's usual
        /// chain.
        profile: Option<String> = None, "Profile", optional(text("a name"));
        /// The file that contains the profile.
        profiles_location: Option<String> = None, "ProfilesLocation", optional(text("a path"));
        /// The region; without it `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile, the machine.
        region: Option<String> = None, "Region", optional(text("a region"));
        /// Another endpoint than the region's, for a stand-in of the service.
        service_url: Option<String> = None, "ServiceURL", optional(text("`http(s)://host:port`"));
        /// The way in which the SDK repeats requests; `Legacy` is treated as `Standard`.
        retry_mode: RetryMode = RetryMode::Standard, "RetryMode", word();
        /// Repetitions of a failed request, before the replicator's own retries.
        retry_count_max: u32 = 2, "MaxErrorRetry", number(0, 100);
        /// Longest time of one attempt of a request.
        timeout: Duration = SECOND * 10, "Timeout", span(MILLISECOND * 100, SECOND * 600);
    }
}

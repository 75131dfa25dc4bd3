//! The sink: sends the requests of the plan, and tells the plan the outcome of each record.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use antiphon_base::backoff::{Backoff, Jitter};
use antiphon_base::time::Clock;
use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::put_records::{PutRecordsError, PutRecordsOutput};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry};

use super::{Plan, Verdict};
use crate::config::{KinesisSettings, RetrySettings};
use crate::event::Envelope;
use crate::logging::causes;
use crate::metrics::Summary;
use crate::sink::{Outcome, Sink};
use crate::{Error, Result};

/// A Kinesis stream as a sink.
pub struct KinesisSink {
    client: Client,
    stream: String,
    settings: KinesisSettings,
    retry: RetrySettings,
    clock: Arc<dyn Clock>,
    duration: Summary,
}

impl KinesisSink {
    /// A sink that measures its requests with `duration`. After a throttled request it waits as
    /// after a failed event; after as many throttled requests in a row as an event has tries, it
    /// says that it is away.
    pub fn new(
        client: Client,
        settings: KinesisSettings,
        retry: RetrySettings,
        clock: Arc<dyn Clock>,
        duration: Summary,
    ) -> Self {
        let stream = settings.stream_name.clone().unwrap_or_default();
        Self { client, stream, settings, retry, clock, duration }
    }

    /// Sends a request; returns a verdict per record. A request that is refused as invalid is sent
    /// again record by record.
    async fn put(&self, plan: &Plan, request: &[usize]) -> Vec<Verdict> {
        match self.ask(plan, request).await {
            Answer::Each(verdicts) => verdicts,
            Answer::All(verdict) => vec![verdict; request.len()],
            Answer::Invalid(message) if request.len() == 1 => vec![Verdict::Refused(message)],
            // one of the records is invalid, and the service does not say which
            Answer::Invalid(_) => {
                let mut verdicts = Vec::with_capacity(request.len());
                for index in request {
                    verdicts.push(match self.ask(plan, &[*index]).await {
                        Answer::Each(mut one) => one.remove(0),
                        Answer::All(verdict) => verdict,
                        Answer::Invalid(message) => Verdict::Refused(message),
                    });
                }
                verdicts
            }
        }
    }

    async fn ask(&self, plan: &Plan, request: &[usize]) -> Answer {
        let started = self.clock.now();
        let answer = self.send(plan, request).await;
        self.duration.observe(self.clock.now().saturating_duration_since(started));
        match answer {
            Ok(output) => self.results(&output, request.len()),
            Err(error) => self.failure(&error),
        }
    }

    async fn send(
        &self,
        plan: &Plan,
        request: &[usize],
    ) -> std::result::Result<PutRecordsOutput, SdkError<PutRecordsError>> {
        let entries = request.iter().map(|index| {
            let record = plan.record(*index);
            PutRecordsRequestEntry::builder()
                .partition_key(&record.key)
                .data(Blob::new(record.data.to_vec()))
                .build()
        });
        let entries = entries.collect::<std::result::Result<Vec<_>, _>>();
        let entries = entries.map_err(SdkError::construction_failure)?;
        let put = self.client.put_records().stream_name(&self.stream);
        put.set_records(Some(entries)).send().await
    }

    fn results(&self, output: &PutRecordsOutput, count: usize) -> Answer {
        let results = output.records();
        if results.len() != count || count == 0 {
            let (name, actual) = (self.name(), results.len());
            let message = format!("{name}: expected {count} results, actual {actual}");
            return Answer::All(Verdict::Away(message));
        }
        Answer::Each(results.iter().map(|result| self.verdict(result)).collect())
    }

    fn verdict(&self, result: &PutRecordsResultEntry) -> Verdict {
        let Some(code) = result.error_code() else { return Verdict::Stored };
        let message = result.error_message().unwrap_or_default();
        let message = format!("{}: {code}: {message}", self.name());
        match code {
            "ProvisionedThroughputExceededException" => Verdict::Throttled(message),
            _ => Verdict::Failed(message),
        }
    }

    fn failure(&self, error: &SdkError<PutRecordsError>) -> Answer {
        let Some(service) = error.as_service_error() else {
            let message = format!("{}: {}", self.name(), causes(error));
            return Answer::All(Verdict::Away(message));
        };
        let code = service.code().unwrap_or("no code");
        let message = service.message().unwrap_or_default();
        let message = format!("{}: {code}: {message}", self.name());
        match code {
            "ProvisionedThroughputExceededException" | "KMSThrottlingException" => {
                Answer::All(Verdict::Throttled(message))
            }
            "InvalidArgumentException" | "ValidationException" => Answer::Invalid(message),
            _ => Answer::All(Verdict::Away(message)),
        }
    }

    fn name(&self) -> String {
        format!("kinesis stream `{}`", self.stream)
    }
}

/// The answer to a request.
enum Answer {
    /// A verdict per record.
    Each(Vec<Verdict>),
    /// The same verdict for all records.
    All(Verdict),
    /// Something in the request is not allowed.
    Invalid(String),
}

#[async_trait]
impl Sink for KinesisSink {
    async fn write(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let now = UNIX_EPOCH + Duration::from_micros(self.clock.wall().as_micros());
        let mut plan = Plan::new(batch, self.settings.clone(), now);
        let backoff = Backoff::new(self.retry.delay, self.retry.delay_max);
        let (mut throttled, mut waits) = (0, 0);
        loop {
            let request = plan.next_request();
            if request.is_empty() {
                return plan.into_outcomes();
            }
            let verdicts = self.put(&plan, &request).await;
            let stored = verdicts.contains(&Verdict::Stored);
            for (index, verdict) in request.into_iter().zip(verdicts) {
                plan.settle(index, verdict);
            }
            if !plan.is_throttled() {
                (throttled, waits) = (0, 0);
                continue;
            }
            throttled = if stored { 0 } else { throttled + 1 };
            if throttled > self.retry.attempts_max {
                plan.give_up_throttled();
                continue;
            }
            waits += 1;
            tokio::time::sleep(backoff.delay(waits, Jitter::NONE)).await;
        }
    }

    async fn probe(&self) -> Result<()> {
        let describe = self.client.describe_stream_summary();
        let answer = describe.stream_name(&self.stream).send().await;
        answer.map(drop).map_err(|error| {
            let reason = match error.as_service_error() {
                Some(service) => {
                    let code = service.code().unwrap_or("no code");
                    format!("{code}: {}", service.message().unwrap_or_default())
                }
                None => causes(&error),
            };
            Error::unavailable(format!("{}: {reason}", self.name()))
        })
    }

    fn mixes_streams(&self) -> bool {
        true
    }
}

//! The client of the hook, with a timeout, a limit of retries and a limit of concurrent requests.

use std::fmt;

use antiphon_base::backoff::{Backoff, Jitter};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode, Uri, header};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::wire;
use crate::config::{RetrySettings, Secret, TransformSettings};
use crate::event::Event;
use crate::http::{HttpClient, HttpFailure};
use crate::logging::causes;
use crate::{Error, Result};

/// The hook's answer for an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Write this event instead.
    Event(Box<Event>),
    /// Drop the event.
    Drop,
}

/// The reason for a missing answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookFailure {
    /// The hook is unreachable. This says nothing about the event.
    Unreachable(String),
    /// The hook failed for now, retries included.
    Failed(String),
    /// The answer is unusable, and a retry cannot help.
    Bad(String),
}

/// The hook.
pub struct Hook {
    client: HttpClient,
    url: Uri,
    shown: Secret,
    settings: TransformSettings,
    backoff: Backoff,
    permits: Semaphore,
}

impl Hook {
    /// Creates the hook of the settings; `None` when they have no URL.
    ///
    /// # Errors
    /// `Rejected` when the URL is invalid.
    pub fn new(settings: &TransformSettings, retry: &RetrySettings) -> Result<Option<Self>> {
        let Some(shown) = settings.url.clone() else { return Ok(None) };
        let url: Uri = shown.expose().parse().map_err(|error| {
            let message = format!(
                "`Settings:Transform:Url`: expected a URL `http://host:port/path`, actual `{shown}`"
            );
            Error::rejected(message).with_source(error)
        })?;
        let concurrency = settings.concurrency_max;
        Ok(Some(Self {
            client: HttpClient::new(settings.timeout, settings.answer_bytes_max, concurrency),
            url,
            shown,
            settings: settings.clone(),
            backoff: Backoff::new(retry.delay, retry.delay_max),
            permits: Semaphore::new(concurrency),
        }))
    }

    /// Sends an event to the hook and returns its answer. A cancelled call may have sent it.
    ///
    /// # Errors
    /// Returned after the last retry, or at once when a retry cannot help.
    pub async fn transform(&self, event: &Event) -> Result<Answer, HookFailure> {
        let _permit =
            self.permits.acquire().await.map_err(|_| {
                HookFailure::Failed("the transform hook is being stopped".to_owned())
            })?;
        let body = Bytes::from(wire::request(event));
        let mut attempt = 0;
        loop {
            let failure = match self.once(event, body.clone()).await {
                Err(failure @ (HookFailure::Failed(_) | HookFailure::Unreachable(_)))
                    if attempt < self.settings.attempts_max =>
                {
                    failure
                }
                done => return done,
            };
            tracing::debug!(?failure, attempt, "the transform hook is asked again");
            attempt += 1;
            tokio::time::sleep(self.backoff.delay(attempt, Jitter::NONE)).await;
        }
    }

    /// Checks that the hook accepts connections. A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Unavailable` when it does not.
    pub async fn probe(&self) -> Result<()> {
        let host = self.url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let connecting = TcpStream::connect((host, self.url.port_u16().unwrap_or(80)));
        let reason = match tokio::time::timeout(self.settings.timeout, connecting).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no connection within {:?}", self.settings.timeout),
        };
        Err(Error::unavailable(format!("{self}: {reason}")))
    }

    async fn once(&self, event: &Event, body: Bytes) -> Result<Answer, HookFailure> {
        let (status, answer) = self.ask(body).await?;
        match status {
            StatusCode::NO_CONTENT => Ok(Answer::Drop),
            StatusCode::OK => match wire::changed(event, &answer) {
                Ok(event) => Ok(Answer::Event(Box::new(event))),
                Err(problem) => Err(HookFailure::Bad(format!("{self}: bad answer: {problem}"))),
            },
            status => {
                let excerpt: String = String::from_utf8_lossy(&answer).chars().take(200).collect();
                let message =
                    format!("{self}: expected status 200 or 204, actual {status}: {excerpt}");
                let passes = status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS]
                        .contains(&status);
                Err(if passes { HookFailure::Failed(message) } else { HookFailure::Bad(message) })
            }
        }
    }

    async fn ask(&self, body: Bytes) -> Result<(StatusCode, Bytes), HookFailure> {
        let mut request = Request::post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json");
        if let Some(authorization) = &self.settings.authorization {
            request = request.header(header::AUTHORIZATION, authorization.expose());
        }
        let request = request.body(Full::new(body)).map_err(|_| {
            // only a header can be invalid here, and the secret one is the only header set by the
            // user
            let expected = "expected visible ASCII characters";
            HookFailure::Bad(format!("`Settings:Transform:Authorization`: {expected}"))
        })?;
        self.client.send(request).await.map_err(|failure| match failure {
            HttpFailure::Unreachable(error) => {
                HookFailure::Unreachable(format!("{self}: {}", causes(&*error)))
            }
            HttpFailure::Broken(error) => {
                HookFailure::Failed(format!("{self}: no whole answer: {}", causes(&*error)))
            }
            HttpFailure::Late => {
                let limit = self.settings.timeout;
                let setting = "`Settings:Transform:Timeout`";
                HookFailure::Failed(format!(
                    "{self}: no answer within {limit:?}, the limit of {setting}"
                ))
            }
            HttpFailure::TooLarge => {
                let limit = self.settings.answer_bytes_max;
                let setting = "`Settings:Transform:AnswerBytesMax`";
                HookFailure::Bad(format!(
                    "{self}: the answer is larger than {limit} bytes, the limit of {setting}"
                ))
            }
        })
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transform hook {}", self.shown)
    }
}

//! The guard of the HTTP interface: certificates, tokens, audit log and counts of one node.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use antiphon_base::task;
use parking_lot::Mutex;

use super::access::{Policy, Register};
use super::audit::Audit;
use super::bodies::Bodies;
use super::counts::{Counts, raise};
use super::protection;
use super::settings::HttpSettings;
use super::tls::ServerTls;
use super::turns::Turns;
use crate::certificates::{Watched, now};
use crate::metrics::Metrics;
use crate::{Error, Result};

/// The guard of one node.
#[derive(Default)]
pub(super) struct Guard {
    pub(super) settings: Arc<HttpSettings>,
    pub(super) tls: Option<ServerTls>,
    pub(super) counts: Counts,
    tokens: Option<Tokens>,
    pub(super) audit: Option<Audit>,
    pub(super) turns: Arc<Turns>,
    pub(super) bodies: Arc<Bodies>,
    /// True when others than processes of this machine reach the port.
    is_exposed: bool,
    /// True when every path that is none of the node's belongs to the application.
    has_application: bool,
    /// The reasons why changed files cannot be used.
    troubles: Mutex<[Option<String>; 2]>,
}

struct Tokens {
    file: PathBuf,
    register: Watched<Arc<Register>>,
}

impl Guard {
    /// Reads the files that the settings name. Inside a tokio runtime.
    ///
    /// # Errors
    /// `Rejected`, naming the setting and the file.
    pub(super) fn open(
        settings: HttpSettings,
        bind: SocketAddr,
        has_application: bool,
    ) -> Result<Arc<Self>> {
        settings.validate()?;
        settings.check_protection(bind)?;
        let tls = settings.tls.as_ref().map(|files| ServerTls::read(files, now())).transpose()?;
        let tokens = settings.tokens_file.as_ref().map(|file| {
            let register = Watched::read(vec![file.clone()], || read_tokens(&settings, file))?;
            Ok::<_, Error>(Tokens { file: file.clone(), register })
        });
        let tokens = tokens.transpose()?;
        let audit = settings.audit.as_ref().map(Audit::open).transpose()?;
        let interval = settings.reload_interval;
        let guard = Arc::new(Self {
            settings: Arc::new(settings),
            tls,
            tokens,
            audit,
            is_exposed: !bind.ip().is_loopback(),
            has_application,
            ..Self::default()
        });
        for warning in guard.openness() {
            tracing::warn!("{warning}");
        }
        if guard.tls.is_some() || guard.tokens.is_some() {
            task::spawn("http reload", Self::reload(Arc::downgrade(&guard), interval));
        }
        Ok(guard)
    }

    /// Notices changed files, until the guard is dropped.
    async fn reload(this: Weak<Self>, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            let Some(guard) = this.upgrade() else { return };
            // a disk that does not answer must not block other tasks
            if tokio::task::spawn_blocking(move || guard.refresh(now())).await.is_err() {
                return;
            }
        }
    }

    /// Reads changed files again. A file that cannot be used leaves the old content in use. `now`
    /// is the time since 1970.
    pub(super) fn refresh(&self, now: Duration) {
        let tls = self.tls.as_ref().map(|tls| tls.refresh(now));
        let tokens = self.tokens.as_ref().map(|Tokens { file, register }| {
            register.refresh(|| read_tokens(&self.settings, file))
        });
        let mut troubles = self.troubles.lock();
        let counts = [&self.counts.tls_reload, &self.counts.tokens_reload];
        for ((outcome, trouble), count) in [tls, tokens].into_iter().zip(&mut *troubles).zip(counts)
        {
            match outcome {
                None => {}
                Some(Ok(false)) => *trouble = None,
                Some(Ok(true)) => {
                    *trouble = None;
                    tracing::info!("new requests use the changed files of the HTTP interface");
                }
                Some(Err(error)) => {
                    count.add();
                    tracing::error!(%error, "a changed file cannot be used; the old one stays in use");
                    *trouble = Some(error.to_string());
                }
            }
        }
    }

    pub(super) fn policy(&self) -> Policy {
        let entities = self.settings.entity_access();
        let has_application = self.has_application;
        Policy { has_register: self.tokens.is_some(), entities, has_application }
    }

    /// The clients that have rights; `None` without a tokens file.
    pub(super) fn register(&self) -> Option<Arc<Register>> {
        Some(self.tokens.as_ref()?.register.current())
    }

    /// The warnings about settings that let strangers in.
    fn openness(&self) -> Vec<String> {
        protection::openness(&self.settings, self.is_exposed)
    }

    /// The warnings for an operator. `now` is the time since 1970.
    pub(super) fn warnings(&self, now: Duration) -> Vec<String> {
        let expiry = self
            .tls
            .as_ref()
            .and_then(|tls| protection::expiry("http.tls.cert_file", tls.current().expires, now));
        let troubles = self.troubles.lock().clone();
        let troubles = troubles.into_iter().flatten().map(|why| {
            format!("a changed file cannot be used, and the old one stays in use: {why}")
        });
        let audit = self.audit.as_ref().and_then(Audit::warning);
        self.openness().into_iter().chain(expiry).chain(troubles).chain(audit).collect()
    }

    /// Sets the metrics.
    pub(super) fn measure(&self, metrics: &Metrics) {
        self.counts.measure(metrics);
        let running = i64::try_from(self.turns.taken()).unwrap_or(i64::MAX);
        metrics.gauge_of("antiphon_http_application_requests").set(running);
        let is_open = self.is_exposed && !self.settings.is_protected();
        metrics.gauge_of("antiphon_http_insecure").set(i64::from(is_open));
        if let Some(tls) = &self.tls {
            let seconds = i64::try_from(tls.current().expires.as_secs()).unwrap_or(i64::MAX);
            metrics.gauge_of("antiphon_http_certificate_expires_seconds").set(seconds);
        }
        if let Some(audit) = &self.audit {
            let (lost, left_out) = audit.missing();
            let missing = metrics.counters_of("antiphon_http_audit_missing_total");
            raise(&missing.with_label_values(&["lost"]), lost);
            raise(&missing.with_label_values(&["strangers"]), left_out);
            let failing = metrics.gauge_of("antiphon_http_audit_failing");
            failing.set(i64::from(audit.warning().is_some()));
        }
    }

    /// Waits until the audit log has the ended requests.
    pub(super) async fn flush(&self, limit: Duration) {
        if let Some(audit) = &self.audit {
            audit.flush(limit).await;
        }
    }
}

fn read_tokens(settings: &HttpSettings, file: &std::path::Path) -> Result<Arc<Register>> {
    let register = Register::read(file)?;
    settings.check_register(&register)?;
    Ok(Arc::new(register))
}

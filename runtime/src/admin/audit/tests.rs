//! The audit log as a whole: queue, writer and file.

use std::path::Path;

use serde_json::Value;

use super::*;
use crate::admin::access::{Area, Caller};

const LIMIT: Duration = Duration::from_secs(10);

fn settings(file: &Path, on_fault: AuditFault) -> AuditSettings {
    AuditSettings { file: file.into(), queue_max: 4, on_fault, ..AuditSettings::default() }
}

fn asked(path: &str) -> Asked<'_> {
    Asked {
        now: Duration::from_secs(1_796_000_000),
        caller: &Caller::Anonymous,
        from: None,
        method: "GET",
        path,
        area: Area::Observation,
    }
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn every_request_has_a_line_with_its_outcome_also_one_without_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let audit = Audit::open(&settings(&file, AuditFault::Continue)).unwrap();
    audit.begin(&asked("/cluster")).unwrap().answered(200);
    drop(audit.begin(&asked("/entities/counter/x")).unwrap());
    audit.begin(&asked("/metrics")).unwrap().refused(401, Duration::ZERO);
    audit.flush(LIMIT).await;
    let found: Vec<(Value, Value)> = lines(&file)
        .into_iter()
        .map(|line| (line["path"].clone(), line["status"].clone()))
        .collect();
    let expected = [
        ("/cluster".into(), 200.into()),
        ("/entities/counter/x".into(), Value::Null),
        ("/metrics".into(), 401.into()),
    ];
    assert_eq!(found, expected);
    assert_eq!((audit.warning(), audit.missing()), (None, (0, 0)));
}

#[tokio::test]
async fn strangers_do_not_fill_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let audit = Audit::open(&settings(&file, AuditFault::Continue)).unwrap();
    for _ in 0..500 {
        audit.begin(&asked("/cluster")).unwrap().refused(401, Duration::from_secs(7));
        audit.flush(LIMIT).await;
    }
    audit.begin(&asked("/cluster")).unwrap().refused(401, Duration::from_secs(8));
    audit.flush(LIMIT).await;
    let lines = lines(&file);
    assert_eq!(lines.len(), 11);
    assert_eq!(lines[10]["left_out"], 490);
    assert_eq!(audit.missing(), (0, 490));
}

#[tokio::test]
async fn requests_go_on_while_the_disk_is_full_and_lost_lines_are_counted() {
    let audit = Audit::open(&settings(Path::new("/dev/full"), AuditFault::Continue)).unwrap();
    for _ in 0..3 {
        audit.begin(&asked("/cluster")).unwrap().answered(200);
        audit.flush(LIMIT).await;
    }
    assert_eq!(audit.missing().0, 3);
    let warning = audit.warning().unwrap();
    assert!(warning.contains("lost") && warning.contains("No space"), "{warning}");
}

#[tokio::test]
async fn requests_are_refused_while_the_folder_is_gone_and_no_line_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (gone, kept) = (folder.path().join("log"), folder.path().join("kept"));
    std::fs::create_dir(&gone).unwrap();
    let file = gone.join("audit.log");
    let audit = Audit::open(&settings(&file, AuditFault::Refuse)).unwrap();
    std::fs::rename(&gone, &kept).unwrap();
    audit.begin(&asked("/cluster")).unwrap().answered(200);
    audit.flush(LIMIT).await;
    let Err(why) = audit.begin(&asked("/metrics")) else { panic!("it begins") };
    assert!(why.contains("audit log"), "{why}");
    assert!(audit.warning().unwrap().contains("refused"));

    std::fs::rename(&kept, &gone).unwrap();
    let begun = async {
        loop {
            match audit.begin(&asked("/metrics")) {
                Ok(entry) => return entry,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(LIMIT, begun).await.expect("it goes on").answered(200);
    audit.flush(LIMIT).await;
    let paths: Vec<Value> = lines(&file).into_iter().map(|line| line["path"].clone()).collect();
    assert_eq!(paths, ["/cluster", "/metrics"]);
    assert_eq!(audit.missing(), (0, 0));
}

#[tokio::test]
async fn a_full_queue_loses_lines_or_refuses_requests() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    for (on_fault, is_refused) in [(AuditFault::Continue, false), (AuditFault::Refuse, true)] {
        let audit = Audit::open(&settings(&file, on_fault)).unwrap();
        let under_way: Vec<Entry> =
            (0..4).map(|_| audit.begin(&asked("/cluster")).unwrap()).collect();
        assert_eq!(audit.begin(&asked("/cluster")).is_err(), is_refused);
        assert_eq!(audit.missing().0, u64::from(!is_refused));
        assert!(audit.warning().unwrap().contains("queue_max"));
        drop(under_way);
        audit.flush(LIMIT).await;
        drop(audit.begin(&asked("/cluster")));
        assert_eq!(audit.warning(), None);
    }
}

#[test]
fn a_file_that_cannot_be_is_refused_at_the_start() {
    for file in ["/no/such/audit.log", "/proc/audit.log", "/tmp"] {
        let settings = settings(Path::new(file), AuditFault::Continue);
        let Err(error) = Audit::open(&settings) else { panic!("opened {file}") };
        assert!(error.to_string().contains("`http.audit.file`"), "{error}");
    }
}

//! The rows of members, leases, clusters and sessions, for the fuzzing in `fuzz`. Whoever writes
//! a store writes them: no row stops a node, as far as its rules go.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::fuzzing::{Bounds, Check, Decoder, nothing_more, round_trip};
use antiphon_base::time::{Clock, SystemClock, Timestamp};
use antiphon_persistence::store::Row;
use bytes::Bytes;

use super::{decode, encode, member};
use crate::NodeId;
use crate::lease::{self, COORDINATOR, LEASES, LeaseCore, LeaseRow};
use crate::membership::{
    Input, MEMBERS, MemberRow, MemberState, MembershipCore, MembershipSettings, Outcome, Purpose,
    Verdict, Verdicts,
};
use crate::node::{NodeSettings, check_cluster_row};

/// Rows of the coordination tables of a place.
pub const PLACES: &[Decoder] = &[
    Decoder {
        name: "members",
        decode: members,
        seeds: || {
            let rows = [row("me", MemberState::Up), row("b", MemberState::Leaving)];
            vec![rows.map(|row| encode(&row)).join(&b'\n')]
        },
        bounds: Bounds::new(64 * 1024, 256),
    },
    Decoder {
        name: "lease",
        decode: lease,
        seeds: || {
            let verdict = Verdict { id: id("b"), by: id("c"), why: "a cut".into() };
            let lease = LeaseRow { holder: Some(id("b")), token: 7, condemned: vec![verdict] };
            vec![encode(&lease).to_vec()]
        },
        bounds: Bounds::new(64 * 1024, 256),
    },
    Decoder {
        name: "cluster",
        decode: |bytes| {
            let settings = NodeSettings::default();
            check_cluster_row(&settings, "A", &of("cluster", 1, bytes)).ok().map(nothing_more)
        },
        seeds: || {
            let NodeSettings { cluster_name, shard_count, .. } = NodeSettings::default();
            let text = format!(
                r#"{{"name":"{cluster_name}","place":"A","shard_count":{shard_count},"format":1}}"#
            );
            vec![text.into_bytes()]
        },
        bounds: Bounds::new(64 * 1024, 32),
    },
    Decoder {
        name: "node_id",
        decode: |bytes| {
            let id: NodeId = std::str::from_utf8(bytes).ok()?.parse().ok()?;
            Some(round_trip(id, NodeId::to_string, |text| text.parse().ok()))
        },
        seeds: || vec![b"node-1@42".to_vec()],
        bounds: Bounds::new(16 * 1024, 8),
    },
];

fn id(name: &str) -> NodeId {
    NodeId::new(name, 1).expect("a name")
}

fn of(key: &str, version: u64, value: &[u8]) -> Row {
    Row { key: key.into(), version, value: Bytes::copy_from_slice(value) }
}

fn row(name: &str, state: MemberState) -> MemberRow {
    MemberRow {
        id: id(name),
        place: "A".into(),
        roles: vec!["role".into()],
        proxy_only: false,
        replicas: Arc::default(),
        address: "127.0.0.1:1".into(),
        http_address: None,
        state,
        sealed: false,
        renewals: 5,
        unreachable: vec![id("b")],
        hosted: 3,
        ended_why: String::new(),
        ended_micros: 0,
    }
}

fn settings() -> MembershipSettings {
    let settings = NodeSettings::default();
    MembershipSettings {
        renew_interval: settings.renew_interval,
        renew_timeout: settings.renew_timeout,
        scan_interval: settings.scan_interval,
        votes_required: 2,
        cut_timeout: Duration::from_secs(1),
        bridged_cut_timeout: Duration::from_secs(5),
        join_timeout: Duration::from_secs(20),
        retry_delay_max: Duration::from_secs(2),
        dead_retention: Duration::from_secs(3600),
        dead_rows_max: 8,
    }
}

/// A table, a row on each line, as a node reads it again and again.
fn members(bytes: &[u8]) -> Option<Check> {
    let lines = bytes.split(|byte| *byte == b'\n').take(16);
    let rows: Vec<_> = (1..)
        .zip(lines)
        .filter_map(|(version, line)| {
            let (_, row) = decode::<MemberRow>(MEMBERS, &of("any", version, line)).ok()?;
            member(&of(&row.id.to_string(), version, line)).ok()
        })
        .collect();
    let mut now = SystemClock.now();
    let me = row("me", MemberState::Joining);
    let mut core = MembershipCore::new(now, settings(), me.clone(), 1);
    let condemned = rows.iter().take(2).map(|(_, row)| {
        let (id, by) = (row.id.clone(), me.id.clone());
        Verdict { id, by, why: row.ended_why.clone() }
    });
    let verdicts =
        Verdicts { version: Some(1), holder: Some(id("b")), condemned: condemned.collect() };
    for round in 0..3_u64 {
        now += Duration::from_secs(2);
        core.step(now, Input::Tick(Timestamp::from_micros(round * 2_000_000)));
        let renewed = Outcome::Applied(round + 2);
        core.step(now, Input::Changed(me.id.clone(), Purpose::Renew, renewed));
        core.step(now, Input::Scanned(Some(rows.clone())));
        for (version, row) in &rows {
            core.step(now, Input::Suspect(row.id.clone(), row.sealed));
            let conflict = Outcome::Conflict(Some((version + round, row.clone())));
            core.step(now, Input::Changed(row.id.clone(), Purpose::Declare, conflict));
            core.step(now, Input::SealDone(row.id.clone(), true));
        }
        core.step(now, Input::Lease(round == 1));
        let _ = (core.view(), core.to_probe(), core.may_answer(now));
    }
    core.step(now, Input::Verdicts(verdicts));
    (!rows.is_empty()).then(|| nothing_more((core, rows)))
}

fn lease(bytes: &[u8]) -> Option<Check> {
    let (_, row) = decode::<LeaseRow>(LEASES, &of(COORDINATOR, 3, bytes)).ok()?;
    let now = SystemClock.now();
    let mut core = LeaseCore::new(id("me"), Duration::from_secs(2), Duration::from_secs(4));
    let members = crate::Membership::new([self::row("me", MemberState::Up).member()]);
    core.step(now, lease::Input::Members(members, true));
    core.step(now, lease::Input::Read(Some((3, row.clone())), 0));
    let verdict = Verdict { id: id("b"), by: id("me"), why: "a cut".into() };
    core.step(now, lease::Input::Condemn(verdict, Some(3)));
    core.step(now, lease::Input::Changed(Some(Some((4, row.clone())))));
    core.step(now, lease::Input::Release);
    let _ = (core.held(), core.verdicts());
    let again = |bytes: Bytes| Some(decode(LEASES, &of(COORDINATOR, 1, &bytes)).ok()?.1);
    Some(round_trip(row, encode, again))
}

//! The network: frozen servers, dropped packets, TLS, clusters.

use antiphon_eventstore::{
    Credentials, ErrorKind, ExpectedRevision, Subscription, SubscriptionMessage,
};
use antiphon_eventstore_testserver::{ClusterMember, Proxy, ServerSettings, TestServer, TlsFiles};

use crate::support::{
    append, client, connect, events, fails, next_data, server, server_with, soon, told,
};

async fn caught_up(subscription: &mut Subscription) {
    while soon(subscription.next()).await.unwrap() != SubscriptionMessage::CaughtUp {}
}

#[tokio::test]
async fn a_network_that_swallows_packets_is_noticed_by_an_idle_subscription() {
    let server = server().await;
    let proxy = Proxy::before(server.address()).await.unwrap();
    let client = connect(&format!("esdb://{}?tls=false", proxy.address()));
    append(&client, "a", 1).await;
    let mut subscription = client.subscribe_stream("a", None, false).await.unwrap();
    caught_up(&mut subscription).await;

    proxy.swallow(true);
    let expected = "subscription to stream `a`: the connection broke";
    fails(soon(subscription.next()).await, ErrorKind::Unavailable, expected);

    proxy.swallow(false);
    let mut subscription = client.subscribe_stream("a", None, false).await.unwrap();
    assert_eq!(next_data(&mut subscription).await, "0");
}

#[tokio::test]
async fn a_frozen_server_is_noticed_and_used_again_when_it_thaws() {
    let server = server().await;
    let client = client(&server);
    append(&client, "a", 1).await;
    let mut subscription = client.subscribe_stream("a", None, false).await.unwrap();
    caught_up(&mut subscription).await;

    server.faults().freeze(true);
    assert_eq!(told(soon(subscription.next()).await).0, ErrorKind::Unavailable);
    // the operating system accepts the connection, not the process: the answer is missing
    let frozen = soon(client.append("a", ExpectedRevision::Any, events(1))).await;
    assert!(frozen.unwrap_err().is_transient());

    server.faults().freeze(false);
    append(&client, "a", 1).await;
}

struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

#[tokio::test]
async fn tls_is_spoken_and_a_certificate_that_nobody_vouches_for_is_refused() {
    let certificates = Certificates::new();
    let (certificate, key) = (certificates.path("cert.pem"), certificates.path("key.pem"));
    let tls = Some(TlsFiles { certificate: certificate.clone(), key });
    let server = server_with(ServerSettings { tls, ..ServerSettings::default() }).await;
    let address = server.address();

    append(&connect(&format!("esdb://{address}?tlsCaFile={certificate}")), "a", 1).await;
    append(&connect(&format!("esdb://{address}?tlsVerifyCert=false")), "a", 1).await;

    let other = Certificates::new().path("cert.pem");
    let missing =
        antiphon_eventstore::ConnectionString::parse(&format!("esdb://a?tlsCaFile={other}"));
    let refused =
        antiphon_eventstore::EventStoreClient::new(missing.unwrap(), crate::support::settings());
    let (kind, message) = told(refused);
    assert_eq!(kind, ErrorKind::Rejected);
    assert!(message.starts_with(&format!("`tlsCaFile`: cannot use `{other}`: ")), "{message}");

    let stranger = Certificates::new();
    let wrong = connect(&format!("esdb://{address}?tlsCaFile={}", stranger.path("cert.pem")));
    let (kind, message) = told(wrong.append("a", ExpectedRevision::Any, events(1)).await);
    assert_eq!(kind, ErrorKind::Unavailable);
    let start =
        format!("append to stream `a`: cannot connect to `{address}`: invalid peer certificate");
    assert!(message.starts_with(&start), "{message}");
}

fn member(server: &TestServer, is_leader: bool) -> ClusterMember {
    let (host, port) = (server.address().ip().to_string(), server.address().port());
    ClusterMember { host, port, is_leader, is_alive: true }
}

#[tokio::test]
async fn the_leader_is_found_by_asking_any_member() {
    let leader = server().await;
    let gone = server().await.address();
    let members = vec![member(&leader, true)];
    let follower = server_with(ServerSettings { members, ..ServerSettings::default() }).await;

    let client = connect(&format!("esdb://{gone},{}?tls=false", follower.address()));
    append(&client, "a", 1).await;
    assert_eq!((leader.log_length(), follower.log_length()), (1, 0));

    let client = connect(&format!(
        "esdb+discover://{}?tls=false&nodePreference=follower",
        follower.address()
    ));
    client.ping().await.unwrap();
}

#[tokio::test]
async fn a_node_that_is_no_longer_the_leader_sends_the_client_to_the_new_one() {
    let (old, new) = (server().await, server().await);
    let client = client(&old);
    append(&client, "a", 1).await;
    let at = (new.address().ip().to_string(), new.address().port());
    old.faults().not_leader(Some(at));
    append(&client, "a", 1).await;
    let mut subscription = client.subscribe_stream("a", None, false).await.unwrap();
    caught_up(&mut subscription).await;
    assert_eq!((old.log_length(), new.log_length()), (1, 1));
}

#[tokio::test]
async fn a_leader_that_cannot_be_found_is_an_error_that_says_so() {
    let server = server().await;
    let client = client(&server);
    let own = (server.address().ip().to_string(), server.address().port());
    server.faults().not_leader(Some(own));
    let refused = client.append("a", ExpectedRevision::Any, events(1)).await;
    let expected = "append to stream `a`: the node is not the leader";
    fails(refused, ErrorKind::NotLeader, expected);

    let members = vec![ClusterMember { is_alive: false, ..member(&server, true) }];
    let headless = server_with(ServerSettings { members, ..ServerSettings::default() }).await;
    let address = headless.address();
    let client = connect(&format!("esdb+discover://{address}?tls=false"));
    let refused = client.append("a", ExpectedRevision::Any, events(1)).await;
    let why = format!(
        "cannot ask `{address}` for its cluster: no member of the cluster that is wanted is alive (2 attempts)"
    );
    fails(refused, ErrorKind::Unavailable, &format!("append to stream `a`: {why}"));
}

#[tokio::test]
async fn the_members_of_a_cluster_are_asked_with_the_credentials() {
    let credentials = Credentials { user: "admin".into(), password: "changeit".into() };
    let credentials = Some(credentials);
    let server = server_with(ServerSettings { credentials, ..ServerSettings::default() }).await;
    let address = server.address();
    append(&connect(&format!("esdb+discover://admin:changeit@{address}?tls=false")), "a", 1).await;

    let stranger = connect(&format!("esdb+discover://admin:wrong@{address}?tls=false"));
    let refused = stranger.append("a", ExpectedRevision::Any, events(1)).await;
    let why = format!(
        "cannot ask `{address}` for its cluster: it does not accept the user and password of the connection string"
    );
    fails(refused, ErrorKind::AccessDenied, &format!("append to stream `a`: {why}"));
}

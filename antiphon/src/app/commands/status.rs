//! `antiphon status`: members, leases, and shards that are behind.

use crate::base::ErrorKind;
use crate::prelude::*;
use hyper::StatusCode;
use serde_json::Value;

use crate::app::client::{AccessArguments, Client};
use crate::app::output::say;

/// Prints the state of the cluster as a node sees it, or only whether the node is ready when the
/// client has no right to read more. Returns whether that node is ready.
///
/// # Errors
/// `Rejected` when the address is not `host:port`, or a file of `access` is wrong; `Unavailable`
/// when no node answers there, or the output cannot be written.
pub async fn status(address: &str, access: &AccessArguments) -> Result<bool> {
    check_address(address)?;
    let mut client = Client::new(address).with_access(access.read()?);
    match cluster(&mut client).await? {
        Some(cluster) => show(&cluster)?,
        None => say!(
            "the node tells its state only to clients with the right `read`: `--token-file`, or `--cert-file`"
        )?,
    }
    health(&mut client).await
}

fn show(cluster: &Value) -> Result<()> {
    say!("node {} of place {}", text(&cluster["node"]), text(&cluster["place"]))?;
    say!("\n{:<32} {:<10} {:<9} {:<7} {:<12} http", "member", "place", "state", "sealed", "roles")?;
    for member in cluster["members"].as_array().into_iter().flatten() {
        say!(
            "{:<32} {:<10} {:<9} {:<7} {:<12} {}",
            text(&member["id"]),
            text(&member["place"]),
            text(&member["state"]),
            member["sealed"],
            roles(member),
            text(&member["http_address"])
        )?;
    }
    for (place, lease) in cluster["leases"].as_object().into_iter().flatten() {
        say!("\ncoordinator of {place}: {} (token {})", text(&lease["holder"]), lease["token"])?;
    }
    for (entity_type, value) in cluster["sharding"].as_object().into_iter().flatten() {
        shards(entity_type, value)?;
    }
    Ok(())
}

async fn health(client: &mut Client) -> Result<bool> {
    let (status, body) = client.get("/health/ready", &[]).await?;
    let is_ready = status.is_success();
    say!("\nready: {is_ready}")?;
    if !is_ready {
        say!("{}", String::from_utf8_lossy(&body))?;
    }
    let health: Value = serde_json::from_slice(&body).unwrap_or_default();
    for warning in health["warnings"].as_array().into_iter().flatten().filter(|_| is_ready) {
        say!("warning: {}", text(warning))?;
    }
    Ok(is_ready)
}

const EXPECTED: &str = "expected `host:port` of a node's HTTP interface (`http_bind`)";

fn check_address(address: &str) -> Result<()> {
    let parts = address.rsplit_once(':');
    let is_fit = |(host, port): (&str, &str)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if parts.is_some_and(is_fit) {
        return Ok(());
    }
    Err(Error::rejected(format!(
        "`--node`: {EXPECTED}, such as 127.0.0.1:8080, actual {address:?}"
    )))
}

/// Reads the cluster as the node sees it; `None` when the client has no right to. An answer that no
/// node gives is an error with the kind of address that was expected.
async fn cluster(client: &mut Client) -> Result<Option<Value>> {
    let address = client.address().to_owned();
    let hint = |kind, text: &str| Error::new(kind, format!("`--node`: {EXPECTED}: {text}"));
    let (status, body) = client
        .get("/cluster", &[])
        .await
        .map_err(|error| hint(error.kind(), &error.to_string()))?;
    match serde_json::from_slice::<Value>(&body) {
        Ok(value) if status.is_success() && value["node"].is_string() => Ok(Some(value)),
        Ok(value) if lacks_right(status) && value["error"].is_string() => Ok(None),
        // a node that starts says why
        Ok(value) if value["error"].is_string() => {
            Err(Error::unavailable(format!("/cluster of {address}: {status} {value}")))
        }
        Ok(_) | Err(_) => {
            let text = format!("/cluster of {address}: {status}, which is no answer of a node");
            Err(hint(ErrorKind::Unavailable, &text))
        }
    }
}

fn lacks_right(status: StatusCode) -> bool {
    status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN
}

fn shards(entity_type: &str, value: &Value) -> Result<()> {
    let shards = value["shards"].as_array().map_or(&[][..], Vec::as_slice);
    let homeless = shards.iter().filter(|shard| shard["home"].is_null()).count();
    let entities: u64 = shards.iter().filter_map(|shard| shard["entities"].as_u64()).sum();
    say!(
        "\n{entity_type}: {} shards, {homeless} without a home, {entities} entities here",
        shards.len()
    )?;
    for reason in placement(value) {
        say!("  {reason}")?;
    }
    for shard in shards {
        for peer in shard["replication"].as_array().into_iter().flatten() {
            if peer["entities_behind"].as_u64().unwrap_or(0) > 0 {
                say!(
                    "  shard {}: {} entities behind {} for {:.1} s",
                    text(&shard["shard"]),
                    peer["entities_behind"],
                    text(&peer["peer"]),
                    peer["behind_for_seconds"].as_f64().unwrap_or(0.0)
                )?;
            }
        }
    }
    Ok(())
}

/// The lines about replicas that nobody can host, or that not all members have.
fn placement(value: &Value) -> Vec<&str> {
    let lists = ["without_role", "other_replicas"].iter().filter_map(|key| value[key].as_array());
    let strange = value.get("strange_replicas").filter(|it| it.is_string());
    lists.flatten().chain(strange).map(text).collect()
}

/// The roles of a member, or that it hosts no shards.
fn roles(member: &Value) -> String {
    if member["proxy_only"] == true {
        return "proxy only".into();
    }
    let roles = member["roles"].as_array().into_iter().flatten();
    let roles: Vec<&str> = roles.filter_map(Value::as_str).collect();
    if roles.is_empty() { "-".into() } else { roles.join(",") }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

#[cfg(test)]
mod tests {
    use crate::base::task;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn every_difference_of_placement_has_a_line() {
        let value = serde_json::json!({
            "shards": [],
            "without_role": ["`A` needs the role `rack-1`"],
            "other_replicas": ["`n-2` has other replicas", "`n-3` has other replicas"],
            "strange_replicas": "the journal has homes of the replica `B`",
        });
        let lines = placement(&value);
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[1].contains("n-2") && lines[3].contains("`B`"), "{lines:?}");
        let none = serde_json::json!({ "other_replicas": [], "strange_replicas": null });
        assert_eq!(placement(&none), [""; 0]);
    }

    #[tokio::test]
    async fn an_address_of_no_node_is_answered_with_what_is_expected() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        task::spawn("no http", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(b"SSH-2.0-x\r\n").await;
            }
        });
        let listening = format!("127.0.0.1:{port}");
        let url = "http://127.0.0.1:8501/";
        for address in [url, "nohost", ":80", "host:0", "127.0.0.1:1", &listening] {
            let error =
                status(address, &AccessArguments::default()).await.expect_err(address).to_string();
            assert!(error.contains(EXPECTED) && error.contains(address), "{address}: {error}");
        }
        for address in ["[::1]:8080", "node-1.example:80"] {
            check_address(address).expect(address);
        }
    }
}

//! Generates the messages and services of the wire from `proto/`, without a protoc.

use std::error::Error;
use std::path::Path;

const FILES: [&str; 5] =
    ["shared.proto", "streams.proto", "persistent.proto", "gossip.proto", "features.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new("proto");
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(FILES.map(|name| folder.join(name)), [folder])?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(std::env::var_os("CARGO_FEATURE_SERVER").is_some())
        .bytes(".")
        .btree_map(".")
        .compile_fds(files)?;
    Ok(())
}

//! A replicated service: posts that every place edits. `blog demo` runs two places on this machine.

use std::process::ExitCode;

use antiphon::app::{Host, axum, status};
use antiphon::prelude::*;
use antiphon_blog::{Post, PostCommand};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};

fn main() -> ExitCode {
    antiphon::app::app("blog")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Posts with a replica in each place.")
        .entity(Post::provider())
        .routes(routes)
        .run()
}

fn routes(host: &Host) -> Result<Router> {
    Ok(Router::new().route("/posts/{post}", get(read)).with_state(host.clone()))
}

/// A post as readers see it: at the nearest replica, once it is published.
async fn read(
    State(host): State<Host>,
    Path(post): Path<String>,
) -> (StatusCode, axum::Json<Value>) {
    let post =
        host.entities::<Post>().and_then(|posts| posts.route(&post, &RoutingPolicy::Nearest));
    let (status, body) = match post {
        Ok(post) => match post.ask(|reply_to| PostCommand::Get { reply_to }).await {
            Ok(Some(article)) if article.is_published => (StatusCode::OK, json!(article)),
            Ok(_) => (StatusCode::NOT_FOUND, json!({ "error": "no such post" })),
            Err(error) => (
                StatusCode::from_u16(status(&error).as_u16())
                    .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                json!({ "error": error.to_string(), "without_effect": true }),
            ),
        },
        Err(error) => (StatusCode::BAD_REQUEST, json!({ "error": error.to_string() })),
    };
    (status, axum::Json(body))
}

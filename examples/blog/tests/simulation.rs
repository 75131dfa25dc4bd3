//! A simulation of posts under faults. Each body has the numbers of all writes that its writer has
//! seen, so that the bodies at the end tell whether one was lost unread.

use std::collections::BTreeSet;

use antiphon::prelude::*;
use antiphon_blog::{Article, Post, PostCommand};
use antiphon_testkit::{SimulatedRun, simulate};
use proptest::prelude::*;

type Run<'a> = SimulatedRun<'a, Post, Op, Answer>;
type Checked = std::result::Result<(), String>;
type Changed = std::result::Result<Article, String>;

/// A command of a writer.
#[derive(Debug, Clone)]
enum Op {
    /// Drafts the post, or makes one body of all that it has.
    Write(u32),
    Title(u32),
    Tag(u8),
    Publish,
}

/// The answer that a writer got.
#[derive(Debug)]
enum Answer {
    Changed,
    Refused,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => any::<u32>().prop_map(Op::Write),
        2 => any::<u32>().prop_map(Op::Title),
        1 => (0..8_u8).prop_map(Op::Tag),
        1 => Just(Op::Publish),
    ]
}

/// The numbers in bodies.
fn numbers(bodies: &[String]) -> BTreeSet<u32> {
    let all = bodies.iter().flat_map(|body| body.split(' '));
    all.map(|number| number.parse().expect("a number")).collect()
}

async fn write(
    post: &EntityRef<PostCommand>,
    number: u32,
) -> std::result::Result<Changed, AskError> {
    let article = post.ask(|reply_to| PostCommand::Get { reply_to }).await?;
    let of = article.as_ref().map(|article| article.bodies.clone()).unwrap_or_default();
    let mut all = numbers(&of);
    all.insert(number);
    let body = all.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    match article {
        None => {
            let title = number.to_string();
            post.ask(|reply_to| PostCommand::Draft { title, body, reply_to }).await
        }
        // also of one body: so that a body that has come meanwhile is not replaced unread
        Some(_) => post.ask(|reply_to| PostCommand::Merge { body, of, reply_to }).await,
    }
}

async fn ask(post: EntityRef<PostCommand>, op: Op) -> std::result::Result<Answer, AskError> {
    let changed = match op {
        Op::Write(number) => write(&post, number).await?,
        Op::Title(number) => {
            let title = number.to_string();
            post.ask(|reply_to| PostCommand::Retitle { title, reply_to }).await?
        }
        Op::Tag(tag) => {
            let (add, remove) = (vec![tag.to_string()], Vec::new());
            post.ask(|reply_to| PostCommand::Tag { add, remove, reply_to }).await?
        }
        Op::Publish => post.ask(|reply_to| PostCommand::Publish { reply_to }).await?,
    };
    Ok(changed.map_or(Answer::Refused, |_| Answer::Changed))
}

/// The changes of a post that were answered.
fn changes<'a>(run: &'a Run<'_>, entity: &str) -> impl Iterator<Item = &'a Op> {
    let done = run.answers_of(entity).filter(|one| matches!(one.answer, Ok(Answer::Changed)));
    done.map(|one| &one.input).collect::<Vec<_>>().into_iter()
}

/// The bodies, or those that were written after having seen them, have each answered write.
fn no_write_is_lost(run: &Run<'_>) -> Checked {
    for (entity, replica, post) in run.states() {
        let bodies = post.article().map(|article| article.bodies).unwrap_or_default();
        let seen = numbers(&bodies);
        for change in changes(run, entity) {
            match change {
                Op::Write(number) if !seen.contains(number) => {
                    return Err(format!("`{entity}` at `{replica}`: {number} is lost: {bodies:?}"));
                }
                Op::Write(_) | Op::Title(_) | Op::Tag(_) | Op::Publish => {}
            }
        }
    }
    Ok(())
}

/// A body stays beside another one only if neither writer has seen the other body.
fn only_conflicts_stay(run: &Run<'_>) -> Checked {
    for (entity, replica, post) in run.states() {
        let bodies = post.article().map(|article| article.bodies).unwrap_or_default();
        for body in &bodies {
            let mut others = bodies.iter().filter(|other| *other != body);
            let of = numbers(std::slice::from_ref(body));
            if others.any(|other| of.is_subset(&numbers(std::slice::from_ref(other)))) {
                return Err(format!("`{entity}` at `{replica}`: {body} was merged: {bodies:?}"));
            }
        }
    }
    Ok(())
}

/// The title is one that somebody gave; tags and publications stay.
fn the_rest_stays(run: &Run<'_>) -> Checked {
    for (entity, replica, post) in run.states() {
        let Some(article) = post.article() else { continue };
        let mut given = run.answers_of(entity).filter_map(|one| match one.input {
            Op::Write(number) | Op::Title(number) => Some(number.to_string()),
            Op::Tag(_) | Op::Publish => None,
        });
        let mut stays = given.any(|title| title == article.title);
        for change in changes(run, entity) {
            stays &= match change {
                Op::Write(_) | Op::Title(_) => true,
                Op::Tag(tag) => article.tags.contains(&tag.to_string()),
                Op::Publish => article.is_published,
            };
        }
        if !stays {
            return Err(format!("`{entity}` at `{replica}`: {article:?}"));
        }
    }
    Ok(())
}

#[test]
fn no_answered_change_of_a_post_is_lost_unread() {
    simulate(Post::provider(), op(), ask)
        .stores_events(|op, answer| match (op, answer) {
            // a post that is published stores nothing again
            (Op::Publish, _) | (_, Answer::Refused) => false,
            (Op::Write(_) | Op::Title(_) | Op::Tag(_), Answer::Changed) => true,
        })
        .invariant("no write is lost", no_write_is_lost)
        .invariant("only conflicts stay", only_conflicts_stay)
        .invariant("titles, tags and publications stay", the_rest_stays)
        .seeds(20)
        .check();
}

//! A post alone: its commands, the events that they make, and the events of the first release.

use std::result::Result;

use antiphon::persistence::codec::CodecId;
use antiphon::persistence::entity::testkit::{
    EntityTest, check_answers, check_commands, check_event, check_stored,
};
use antiphon::persistence::event::Payload;
use antiphon::prelude::crdt::{MultiValueOp, MultiValueRegister};
use antiphon::prelude::*;
use antiphon_blog::{Article, Post, PostCommand, PostEvent, PostEventV1, TAGS_MAX};

type Test = EntityTest<Post>;

fn drafted() -> Test {
    let event = PostEvent::Drafted { title: "title".to_owned(), body: "body".to_owned() };
    EntityTest::new(Post, "post|p-1|DC-A").given([event])
}

fn tag(test: &mut Test, add: &[&str], remove: &[&str]) -> Result<Vec<String>, String> {
    let [add, remove] =
        [add, remove].map(|tags| tags.iter().map(|tag| (*tag).to_owned()).collect());
    let answer = test.try_ask(|reply_to| PostCommand::Tag { add, remove, reply_to });
    answer.map(|article| article.tags).map_err(refusal)
}

fn refusal(failure: AskFailure<String>) -> String {
    match failure {
        AskFailure::Refused(why) => why,
        AskFailure::NoAnswer(error) => panic!("{error}"),
    }
}

fn edit(test: &mut Test, body: &str) -> Result<Vec<String>, String> {
    let body = body.to_owned();
    let answer = test.try_ask(|reply_to| PostCommand::Edit { body, reply_to });
    answer.map(|article| article.bodies).map_err(refusal)
}

fn texts<const COUNT: usize>(texts: [&str; COUNT]) -> [String; COUNT] {
    texts.map(str::to_owned)
}

#[test]
fn a_post_is_drafted_edited_and_published() {
    let mut test = EntityTest::new(Post, "post|p-1|DC-A");
    assert_eq!(test.ask(|reply_to| PostCommand::Get { reply_to }), Ok(None));
    let early = test.try_ask(|reply_to| PostCommand::Publish { reply_to });
    assert!(refusal(early.unwrap_err()).contains("not drafted"));

    let draft = |reply_to| PostCommand::Draft { title: "a".into(), body: "b".into(), reply_to };
    test.try_ask(draft).unwrap();
    assert!(refusal(test.try_ask(draft).unwrap_err()).contains("is drafted"));
    assert_eq!(edit(&mut test, "c"), Ok(vec!["c".to_owned()]));
    test.try_ask(|reply_to| PostCommand::Retitle { title: "d".into(), reply_to }).unwrap();
    let publish = |reply_to| PostCommand::Publish { reply_to };
    let published = test.try_ask(publish).unwrap();
    let (title, bodies) = ("d".to_owned(), vec!["c".to_owned()]);
    assert_eq!(published, Article { title, bodies, tags: vec![], is_published: true });
    assert_eq!(test.try_ask(publish).unwrap(), published, "again, without an event");
    assert_eq!(test.new_events().len(), 4);
    test.restart();
    assert_eq!(test.state().article(), Some(published));
}

#[test]
fn bodies_of_several_places_are_merged_before_the_next_edit() {
    let there = MultiValueRegister::default().write("there".to_owned());
    let mut test = drafted();
    // a place of its own would have written it; here the conflict is made in the state
    let mut state = test.state().clone();
    let context = crdt::StandaloneContext::new(ReplicaId::new("DC-B").unwrap(), 1);
    state.apply(Timestamp::from_micros(1), &PostEvent::BodyWritten(there), &context);
    let bodies = state.article().unwrap().bodies;
    assert_eq!(bodies, ["body", "there"]);

    let merged = state.body().write("both".to_owned());
    let here = crdt::StandaloneContext::new(ReplicaId::new("DC-A").unwrap(), 2);
    state.apply(Timestamp::from_micros(2), &PostEvent::BodyWritten(merged), &here);
    assert_eq!(state.article().unwrap().bodies, ["both"]);

    // a merge names the bodies that it has seen
    let merge = |of: &[&str]| {
        let (body, of) = ("both".to_owned(), of.iter().map(|body| (*body).to_owned()).collect());
        move |reply_to| PostCommand::Merge { body, of, reply_to }
    };
    let refused = refusal(test.try_ask(merge(&["body", "there"])).unwrap_err());
    assert!(refused.contains("read it again"), "{refused}");
    assert_eq!(test.try_ask(merge(&["body"])).unwrap().bodies, ["both"]);
    let events = test.new_events();
    let [PostEvent::BodyWritten(MultiValueOp::Written { value, .. })] = &events[..] else {
        panic!("one event: {events:?}");
    };
    assert_eq!(value, "both");
}

#[test]
fn places_that_edit_at_the_same_time_keep_both_bodies_until_one_merges_them() {
    let mut post = EntityTest::replicas(Post, "post|p-1", ["A", "B", "C"]);
    let draft = |reply_to| PostCommand::Draft { title: "a".into(), body: "b".into(), reply_to };
    post.at("A").try_ask(draft).unwrap();
    post.concurrently(|post| {
        assert_eq!(edit(post.at("A"), "here"), Ok(vec!["here".to_owned()]));
        assert_eq!(edit(post.at("B"), "there"), Ok(vec!["there".to_owned()]));
        let retitle = |reply_to| PostCommand::Retitle { title: "c".into(), reply_to };
        post.at("B").try_ask(retitle).unwrap();
        assert_eq!(tag(post.at("C"), &["rust"], &[]).unwrap(), ["rust"]);
    });
    let at_c = post.at("C").state().article().unwrap();
    assert_eq!(
        (&*at_c.title, &*at_c.bodies, &*at_c.tags),
        ("c", &texts(["here", "there"])[..], &texts(["rust"])[..])
    );
    assert!(edit(post.at("C"), "more").unwrap_err().contains("`merge` them first"));

    // one place merges while another one publishes and takes the tag away
    post.concurrently(|post| {
        let of = texts(["there", "here"]).to_vec();
        let merge = |reply_to| PostCommand::Merge { body: "both".into(), of, reply_to };
        assert_eq!(post.at("A").try_ask(merge).unwrap().bodies, ["both"]);
        post.at("B").try_ask(|reply_to| PostCommand::Publish { reply_to }).unwrap();
        assert_eq!(tag(post.at("B"), &[], &["rust"]).unwrap(), [""; 0]);
    });
    for place in ["A", "B", "C"] {
        let article = post.at(place).state().article().unwrap();
        assert_eq!(
            (&*article.bodies, article.tags.len(), article.is_published),
            (&texts(["both"])[..], 0, true),
            "{place}"
        );
    }
}

#[test]
fn tags_are_bounded_and_events_carry_them_for_readers_of_the_journal() {
    let mut test = drafted();
    assert_eq!(tag(&mut test, &["rust", "crdt"], &[]).unwrap(), ["crdt", "rust"]);
    assert_eq!(tag(&mut test, &["new"], &["crdt"]).unwrap(), ["new", "rust"]);
    let many: Vec<String> = (0..TAGS_MAX).map(|number| format!("t{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(
        tag(&mut test, &many, &[]).unwrap_err(),
        "expected at most 15 tags, actual 17: remove some"
    );
    assert!(tag(&mut test, &[""], &[]).unwrap_err().contains("not empty"));
    test.try_ask(|reply_to| PostCommand::Publish { reply_to }).unwrap();
    let labels = test.new_labels();
    assert!(labels[0].tags().contains("tagged:rust") && labels[0].tags().contains("tagged:crdt"));
    assert!(labels[1].tags().contains("tagged:new") && !labels[1].tags().contains("tagged:crdt"));
    assert!(labels[2].tags().contains("published"));
}

#[test]
fn texts_that_are_too_long_are_refused_with_their_length() {
    let long = "x".repeat(201);
    let refused = drafted().try_ask(|reply_to| PostCommand::Retitle { title: long, reply_to });
    let why = refusal(refused.unwrap_err());
    assert_eq!(why, "`title`: expected at most 200 bytes, actual 201: shorten it");
}

#[test]
fn an_event_of_version_1_is_read_as_version_2() {
    let stored = |event: &PostEventV1| Payload {
        codec: CodecId::Bincode as u8,
        manifest: "post".into(),
        version: 1,
        bytes: CodecId::Bincode.encode(event).unwrap().into(),
    };
    let read = |text: &str| {
        let event = PostEventV1::Written { text: text.to_owned() };
        Post.from_journal(&stored(&event)).unwrap()
    };
    let drafted = |title: &str, body: &str| {
        vec![PostEvent::Drafted { title: title.to_owned(), body: body.to_owned() }]
    };
    assert_eq!(read("title\nbody\nmore"), drafted("title", "body\nmore"));
    assert_eq!(read("title"), drafted("title", ""));
    let published = Post.from_journal(&stored(&PostEventV1::Published)).unwrap();
    assert_eq!(published, [PostEvent::Published]);
    // the bytes that the first release has stored
    assert_eq!(&stored(&PostEventV1::Written { text: "a".to_owned() }).bytes[..], [0, 1, b'a']);

    let mut later = stored(&PostEventV1::Published);
    later.version = 3;
    let error = Post.from_journal(&later).unwrap_err();
    assert!(error.to_string().contains("another release"), "{error}");
}

#[test]
fn everything_that_is_stored_or_sent_can_be_read_again() {
    check_stored(&Post).unwrap();
    check_commands::<PostCommand>().unwrap();
    check_answers::<Result<Article, String>>().unwrap();
    check_event(&Post, &PostEvent::Published).unwrap();
}

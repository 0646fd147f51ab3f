//! An operator's commands on dead letters.

use testkit::eventually;

use super::Broker;
use super::kit::{QUEUE, WAIT_LIMIT, consume, name, named, next, until_ready, work_queue};
use crate::dead_letters::{Handled, Selection, discard, list, replay};
use crate::message::{HeaderValue, Message, header};
use crate::transport::{SharedTransport, Target};

fn dead(name: &str, code: &str) -> Message {
    let mut message = named(name);
    message.headers.extend([
        (header::ATTEMPT.to_owned(), HeaderValue::Int(3)),
        (header::FAILURE_CODE.to_owned(), code.into()),
        (header::FAILURE_MESSAGE.to_owned(), "no luck".into()),
        (header::ORIGIN_QUEUE.to_owned(), "anywhere".into()),
        (header::FAILED_AT.to_owned(), "2026-11-23T19:10:51.371Z".into()),
        (header::TRACESTATE.to_owned(), "vendor=1".into()),
    ]);
    message
}

async fn publish_dead(transport: &SharedTransport, messages: Vec<Message>) {
    let dead = transport.topology().dead(QUEUE);
    let messages = messages.into_iter().map(|message| (Target::DeadLetter(dead.clone()), message));
    for published in transport.publish(messages.collect(), WAIT_LIMIT).await {
        published.unwrap();
    }
}

fn ids(handled: &Handled) -> Vec<&str> {
    assert_eq!(handled.stopped, None);
    handled.letters.iter().map(|letter| letter.id.as_str()).collect()
}

/// Waits until exactly these are listed: letters that were peeked at return to the queue a moment later.
async fn until_listed(transport: &SharedTransport, selection: &Selection, expected: &[&str]) {
    eventually(&format!("{expected:?} are listed"), async || {
        let ids: Vec<String> =
            list(transport, selection).await.unwrap().into_iter().map(|letter| letter.id).collect();
        if ids == expected { Ok(()) } else { Err(ids) }
    })
    .await;
}

/// In their order, any number of times.
pub async fn listing_dead_letters_leaves_them_in_place(broker: &dyn Broker) {
    let transport = broker.transport("waybill.1").await;
    let letters = vec![dead("first", "INTERNAL"), dead("second", "UNAVAILABLE"), dead("third", "INTERNAL")];
    publish_dead(&transport, letters).await;
    for _ in 0..3 {
        until_listed(&transport, &Selection::All, &["first", "second", "third"]).await;
    }
    until_listed(&transport, &Selection::Code("INTERNAL".to_owned()), &["first", "third"]).await;
    // Peeked at and dropped without an acknowledgement.
    drop(transport.peek(&transport.topology().dead(QUEUE), 2).await.unwrap());
    until_ready(&transport, &transport.topology().dead(QUEUE), 3).await;
}

/// So an effect that has happened does not happen again.
pub async fn a_replayed_message_is_the_same_without_counted_attempts(broker: &dyn Broker) {
    let transport = broker.transport("waybill.1").await;
    publish_dead(&transport, vec![dead("stays", "INTERNAL"), dead("goes", "UNAVAILABLE")]).await;
    let selection = Selection::Ids(vec!["goes".to_owned()]);
    let replayed = replay(&transport, &selection).await.unwrap();
    assert_eq!(ids(&replayed), ["goes"]);
    let delivery = next(&mut consume(&transport, &work_queue(&transport), 1).await).await;
    let mut expected = named("goes");
    expected.set_header(header::TRACESTATE, "vendor=1".into());
    assert_eq!(delivery.message, expected);
    assert_eq!(name(&delivery.message), "goes");
    until_listed(&transport, &Selection::All, &["stays"]).await;
}

/// The others stay.
pub async fn only_selected_dead_letters_are_discarded(broker: &dyn Broker) {
    let transport = broker.transport("waybill.1").await;
    publish_dead(&transport, vec![dead("stays", "INTERNAL"), dead("goes", "UNAVAILABLE")]).await;
    let discarded = discard(&transport, &Selection::Code("UNAVAILABLE".to_owned())).await.unwrap();
    assert_eq!(ids(&discarded), ["goes"]);
    until_listed(&transport, &Selection::All, &["stays"]).await;
}

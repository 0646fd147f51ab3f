//! What an operator does with dead letters.

use testkit::eventually;

use super::Broker;
use super::words::{AGES, QUEUE, consume, name, named, next, until_ready, work_queue};
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

async fn bury(transport: &SharedTransport, messages: Vec<Message>) {
    let dead = transport.topology().dead(QUEUE);
    let messages = messages.into_iter().map(|message| (Target::DeadLetter(dead.clone()), message));
    for published in transport.publish(messages.collect(), AGES).await {
        published.unwrap();
    }
}

fn ids(handled: &Handled) -> Vec<&str> {
    assert_eq!(handled.stopped, None);
    handled.letters.iter().map(|letter| letter.id.as_str()).collect()
}

/// Waits until exactly these are listed, as those that were looked at are on their way back for a moment.
async fn until_listed(transport: &SharedTransport, selection: &Selection, expected: &[&str]) {
    eventually(&format!("{expected:?} are listed"), async || {
        let ids: Vec<String> =
            list(transport, selection).await.unwrap().into_iter().map(|letter| letter.id).collect();
        if ids == expected { Ok(()) } else { Err(ids) }
    })
    .await;
}

/// In their order, however often.
pub async fn looking_at_dead_letters_leaves_them_in_place(broker: &dyn Broker) {
    let transport = broker.transport("waybill.1").await;
    let letters = vec![dead("first", "INTERNAL"), dead("second", "UNAVAILABLE"), dead("third", "INTERNAL")];
    bury(&transport, letters).await;
    for _ in 0..3 {
        until_listed(&transport, &Selection::All, &["first", "second", "third"]).await;
    }
    until_listed(&transport, &Selection::Code("INTERNAL".to_owned()), &["first", "third"]).await;
    // Looked at and let go of, without a word.
    drop(transport.peek(&transport.topology().dead(QUEUE), 2).await.unwrap());
    until_ready(&transport, &transport.topology().dead(QUEUE), 3).await;
}

/// So an effect that did happen happens no second time.
pub async fn a_replayed_message_is_the_same_and_as_if_never_tried(broker: &dyn Broker) {
    let transport = broker.transport("waybill.1").await;
    bury(&transport, vec![dead("stays", "INTERNAL"), dead("goes", "UNAVAILABLE")]).await;
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

/// The rest stays.
pub async fn only_what_is_selected_is_discarded(broker: &dyn Broker) {
    let transport = broker.transport("waybill.1").await;
    bury(&transport, vec![dead("stays", "INTERNAL"), dead("goes", "UNAVAILABLE")]).await;
    let discarded = discard(&transport, &Selection::Code("UNAVAILABLE".to_owned())).await.unwrap();
    assert_eq!(ids(&discarded), ["goes"]);
    until_listed(&transport, &Selection::All, &["stays"]).await;
}

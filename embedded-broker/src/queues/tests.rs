use std::time::Duration;

use bus::message::Message;
use bus::topology::{RetryDelays, Topology, WorkQueue};
use bus::transport::{PublishError, Target};
use schema::pattern::Service;

use super::*;

const WORK: WorkQueue = WorkQueue::OrderCommands;
const EVENTS: WorkQueue = WorkQueue::InventoryOrderEvents;
const DELAY: Duration = Duration::from_secs(1);
const HERE: ConnectionId = ConnectionId(1);
const THERE: ConnectionId = ConnectionId(2);

struct Broker {
    topology: Topology,
    queues: Queues,
    now: Millis,
}

fn broker() -> Broker {
    broker_with(Limits::default())
}

fn broker_and_work() -> (Broker, String) {
    let broker = broker();
    let work = broker.work();
    (broker, work)
}

fn broker_with(limits: Limits) -> Broker {
    let topology = Topology::new("t", RetryDelays(vec![DELAY, DELAY * 5]));
    let queues = Queues::new(&topology, limits);
    Broker { topology, queues, now: 1_000_000 }
}

fn message(name: &str) -> Message {
    Message { body: name.to_owned().into(), persistent: true, ..Message::default() }
}

fn expiring(name: &str, ms: u64) -> Message {
    Message { expiration: Some(Duration::from_millis(ms)), ..message(name) }
}

fn event(key: &str) -> Target {
    Target::Events { routing_key: key.to_owned() }
}

fn name(message: &Message) -> String {
    String::from_utf8(message.body.to_vec()).unwrap()
}

impl Broker {
    fn work(&self) -> String {
        self.topology.work(WORK)
    }

    fn requests(&self) -> String {
        self.topology.requests(Service::Order)
    }

    fn publish(&mut self, target: Target, message: Message) -> Result<(), PublishError> {
        let staged =
            self.queues.stage_publication(vec![(target, message)], self.now, &mut Changes::default());
        self.queues.commit_publication(staged).remove(0)
    }

    fn send(&mut self, queue: &str, names: &[&str]) {
        for name in names {
            self.publish(Target::Queue(queue.to_owned()), message(name)).unwrap();
        }
    }

    fn publish_event(&mut self, name: &str) {
        self.publish(event("order.1"), message(name)).unwrap();
    }

    fn take(&mut self, queue: &str) -> Option<Delivery> {
        self.queues.get(queue, 0, Some(HERE), self.now)
    }

    fn ack(&mut self, tag: DeliveryTag) {
        assert!(self.queues.stage_ack(tag, &mut Changes::default()));
        self.queues.commit_ack(tag);
    }

    fn dispatch(&mut self) -> Vec<(ConsumerId, String)> {
        let deliveries = self.queues.dispatch(self.now);
        deliveries.into_iter().map(|(consumer, delivery)| (consumer, name(&delivery.message))).collect()
    }

    fn drain(&mut self, queue: &str) -> Vec<String> {
        std::iter::from_fn(|| self.queues.pop(queue, 0, self.now)).map(|message| name(&message)).collect()
    }

    fn expire(&mut self) -> usize {
        let expiry = self.queues.stage_expiry(self.now, usize::MAX, &mut Changes::default());
        self.queues.commit_expiry(expiry)
    }

    fn ready(&self, queue: &str) -> usize {
        self.queues.depth(queue).unwrap().0
    }

    fn declare_exclusive(&mut self, name: &str, bindings: &[&str], max_length: u32, overflow: Overflow) {
        let bindings = bindings.iter().map(|&key| key.to_owned()).collect();
        self.queues.declare_exclusive(name.into(), Queue::exclusive(HERE, bindings, max_length, overflow));
    }
}

#[test]
fn each_target_reaches_its_queues_or_says_that_it_reaches_none() {
    let mut broker = broker();
    broker.declare_exclusive("mine", &["order.*.created"], 10, Overflow::DropHead);
    let queue = |name: &str| Target::Queue(name.to_owned());
    let letter = |name: &str| Target::DeadLetter(name.to_owned());
    let (work, dead) = (broker.work(), broker.topology.dead(WORK));
    let events = broker.topology.work(EVENTS);
    for (target, expected) in [
        (queue(&work), Ok(vec![work.as_str()])),
        (queue("mine"), Ok(vec!["mine"])),
        (queue("unknown"), Err(PublishError::Unroutable)),
        (letter(&dead), Ok(vec![dead.as_str()])),
        (letter(&work), Err(PublishError::Unroutable)),
        (event("order.07.created"), Ok(vec!["mine", events.as_str()])),
        (event("order.07.deleted"), Ok(vec![events.as_str()])),
        (event("customer.changed"), Ok(vec![])),
    ] {
        let published = broker.publish(target.clone(), message("m"));
        let names = broker.queues.ready(true).into_iter().map(|(name, _)| name);
        let reached: Vec<String> = names.filter(|name| !broker.drain(name).is_empty()).collect();
        assert_eq!(published, expected.clone().map(|_| ()), "{target:?}");
        assert_eq!(reached, expected.unwrap_or_default(), "{target:?}");
    }
}

#[test]
fn messages_are_delivered_in_the_order_of_publishing_and_come_back_in_place() {
    let (mut broker, work) = broker_and_work();
    broker.send(&work, &["a", "b", "c"]);
    let first = broker.take(&work).unwrap();
    let second = broker.take(&work).unwrap();
    broker.queues.requeue(second.tag);
    broker.queues.requeue(first.tag);
    let again = broker.take(&work).unwrap();
    assert_eq!((name(&again.message).as_str(), again.delivery_count), ("a", 1));
    broker.queues.requeue(again.tag);
    assert_eq!(broker.drain(&work), ["a", "b", "c"]);
}

#[test]
fn consumers_of_a_queue_take_turns_within_their_prefetch() {
    let (mut broker, work) = broker_and_work();
    let ada = broker.queues.subscribe(HERE, &work, 2).unwrap();
    let bob = broker.queues.subscribe(THERE, &work, 1).unwrap();
    broker.send(&work, &["a", "b", "c", "d", "e"]);
    let turns = |pairs: &[(ConsumerId, &str)]| -> Vec<(ConsumerId, String)> {
        pairs.iter().map(|(consumer, name)| (*consumer, (*name).to_owned())).collect()
    };
    let mut deliveries = broker.queues.dispatch(broker.now);
    let given: Vec<_> =
        deliveries.iter().map(|(consumer, delivery)| (*consumer, name(&delivery.message))).collect();
    assert_eq!(given, turns(&[(ada, "a"), (bob, "b"), (ada, "c")]));
    assert_eq!(broker.dispatch(), []);
    broker.ack(deliveries.remove(1).1.tag);
    assert_eq!(broker.dispatch(), turns(&[(bob, "d")]));
}

#[test]
fn a_closed_connection_gives_back_what_it_holds_and_takes_its_queues_along() {
    let (mut broker, work) = broker_and_work();
    broker.declare_exclusive("mine", &[], 10, Overflow::Reject);
    broker.queues.subscribe(HERE, &work, 10).unwrap();
    broker.send(&work, &["a", "b"]);
    let stale = broker.queues.dispatch(broker.now).remove(0).1.tag;
    broker.queues.close_connection(HERE);
    assert_eq!(broker.queues.depth(&work), Some((2, 0)));
    assert_eq!(broker.queues.depth("mine"), None);
    assert!(!broker.queues.stage_ack(stale, &mut Changes::default()), "a late acknowledgement means nothing");
    assert_eq!(broker.take(&work).unwrap().delivery_count, 1);
}

#[test]
fn a_connection_that_closes_while_its_acknowledgement_is_written_does_not_get_the_message_back() {
    let (mut broker, work) = broker_and_work();
    broker.send(&work, &["a"]);
    let held = broker.take(&work).unwrap();
    let mut changes = Changes::default();
    assert!(broker.queues.stage_ack(held.tag, &mut changes));
    assert_eq!(changes.deleted.len(), 1);
    broker.queues.close_connection(HERE);
    broker.queues.commit_ack(held.tag);
    assert_eq!(broker.ready(&work), 0);
    assert_eq!(broker.queues.bytes, 0);
}

#[test]
fn an_acknowledgement_that_could_not_be_written_delivers_the_message_again() {
    let (mut broker, work) = broker_and_work();
    broker.send(&work, &["a"]);
    let held = broker.take(&work).unwrap();
    broker.queues.stage_ack(held.tag, &mut Changes::default());
    broker.queues.put_back(held.tag);
    assert_eq!(broker.take(&work).unwrap().delivery_count, 1);
}

#[test]
fn what_is_staged_is_not_visible_and_an_abort_leaves_nothing() {
    let mut broker = broker();
    let (work, events) = (broker.work(), broker.topology.work(EVENTS));
    broker.declare_exclusive("live", &["order.#"], 10, Overflow::DropHead);
    let messages = vec![
        (Target::Queue(work.clone()), message("a")),
        (Target::Queue("unknown".to_owned()), message("b")),
        (event("order.07.created"), message("c")),
        (event("unbound"), message("d")),
    ];
    let mut changes = Changes::default();
    let staged = broker.queues.stage_publication(messages, broker.now, &mut changes);
    let written: Vec<&str> = changes.written.iter().map(|stored| &*stored.queue).collect();
    assert_eq!(written, [work.as_str(), events.as_str()], "only durable queues are written down");
    assert_eq!((broker.ready(&work), broker.ready(&events), broker.ready("live")), (0, 0, 0));
    let error = PublishError::Unknown("disk".to_owned());
    let answers = broker.queues.abort_publication(staged, &error);
    assert_eq!(answers, [Err(error.clone()), Err(PublishError::Unroutable), Err(error), Ok(())]);
    assert_eq!((broker.ready(&work), broker.ready(&events), broker.ready("live")), (0, 0, 0));
    assert_eq!(broker.queues.bytes, 0);
}

#[test]
fn a_full_queue_refuses_and_an_event_it_refuses_goes_nowhere() {
    let mut broker = broker();
    broker.declare_exclusive("mine", &["order.#"], 2, Overflow::Reject);
    let events = broker.topology.work(EVENTS);
    broker.publish_event("a");
    let mut staging = |name| {
        let messages = vec![(event("order.1"), message(name))];
        broker.queues.stage_publication(messages, broker.now, &mut Changes::default())
    };
    let second = staging("b");
    let third = staging("c");
    let third = broker.queues.commit_publication(third);
    assert_eq!(third, [Err(PublishError::Nacked)], "the slot is reserved for b");
    assert_eq!(broker.queues.commit_publication(second), [Ok(())]);
    assert_eq!(broker.drain(&events), ["a", "b"]);
}

#[test]
fn a_live_queue_drops_its_oldest_events() {
    let mut broker = broker();
    broker.declare_exclusive("live", &["order.#"], 2, Overflow::DropHead);
    for event in ["a", "b", "c"] {
        broker.publish_event(event);
    }
    assert_eq!(broker.drain("live"), ["b", "c"]);
}

#[test]
fn bodies_and_memory_are_bounded() {
    let mut broker = broker_with(Limits { memory_bytes: 2_000, ..Limits::default() });
    let work = Target::Queue(broker.work());
    let huge = Message { body: vec![0; MAX_MESSAGE_BYTES + 1].into(), ..Message::default() };
    assert_eq!(broker.publish(work.clone(), huge), Err(PublishError::TooLarge(MAX_MESSAGE_BYTES)));
    let large = Message { body: vec![0; 2_000].into(), ..Message::default() };
    broker.publish(work.clone(), large).unwrap();
    assert!(matches!(broker.publish(work.clone(), message("a")), Err(PublishError::Blocked(_))));
    let held = broker.take(&broker.work()).unwrap();
    assert!(broker.queues.is_blocked(), "an unacknowledged message still counts");
    broker.ack(held.tag);
    broker.publish(work, message("a")).unwrap();
}

#[test]
fn a_delayed_message_goes_back_to_its_work_queue_after_its_delay() {
    for (expiration, after, expected) in [
        (None, 1_000, vec![]),
        (None, 1_001, vec!["m"]),
        (Some(400), 400, vec![]),
        (Some(400), 401, vec!["m"]),
        (Some(9_000), 1_001, vec!["m"]),
    ] {
        let mut broker = broker();
        let retry = broker.topology.retry(WORK, DELAY);
        let message = expiration.map_or_else(|| message("m"), |ms| expiring("m", ms));
        broker.publish(Target::Queue(retry.clone()), message).unwrap();
        broker.now += after;
        assert_eq!(broker.expire(), expected.len(), "{expiration:?} after {after}");
        let moved = broker.queues.pop(&broker.work(), 0, broker.now);
        let names: Vec<String> = moved.iter().map(name).collect();
        assert_eq!(names, expected, "{expiration:?} after {after}");
        assert!(moved.is_none_or(|moved| moved.expiration.is_none()), "it does not expire again");
        assert_eq!(broker.ready(&retry), 1 - expected.len());
    }
}

#[test]
fn delayed_messages_come_back_by_time_and_not_by_place() {
    let mut broker = broker();
    let retry = Target::Queue(broker.topology.retry(WORK, DELAY));
    broker.publish(retry.clone(), expiring("late", 900)).unwrap();
    broker.publish(retry, expiring("soon", 100)).unwrap();
    assert_eq!(broker.queues.next_due(), Some(broker.now + 101));
    broker.now += 500;
    broker.expire();
    assert_eq!(broker.drain(&broker.work()), ["soon"]);
}

#[test]
fn a_move_is_one_change_that_can_be_undone() {
    let mut broker = broker();
    let (work, retry) = (broker.work(), broker.topology.retry(WORK, DELAY));
    broker.send(&retry, &["m"]);
    broker.now += 2_000;
    let mut changes = Changes::default();
    let expiry = broker.queues.stage_expiry(broker.now, 10, &mut changes);
    assert_eq!((changes.written.len(), changes.deleted.len()), (1, 1));
    assert_eq!((broker.ready(&work), broker.ready(&retry)), (0, 0));
    broker.queues.abort_expiry(expiry);
    assert_eq!((broker.ready(&work), broker.ready(&retry)), (0, 1));
    assert_eq!(broker.expire(), 1);
    assert_eq!((broker.ready(&work), broker.ready(&retry)), (1, 0));
}

#[test]
fn an_expired_request_is_neither_delivered_nor_kept() {
    let mut broker = broker();
    let requests = broker.requests();
    for (name, ms) in [("a", 50), ("b", 500)] {
        broker.publish(Target::Queue(requests.clone()), expiring(name, ms)).unwrap();
    }
    broker.now += 100;
    assert_eq!(name(&broker.take(&requests).unwrap().message), "b");
    assert_eq!(broker.expire(), 1);
    assert_eq!(broker.ready(&requests), 0);
}

#[test]
fn a_message_delivered_too_often_becomes_a_dead_letter_that_says_so() {
    let mut broker = broker_with(Limits { deliveries: 2, ..Limits::default() });
    let (work, dead) = (broker.work(), broker.topology.dead(WORK));
    broker.send(&work, &["poison"]);
    for _ in 0..3 {
        let tag = broker.take(&work).unwrap().tag;
        broker.queues.requeue(tag);
    }
    assert!(broker.take(&work).is_none());
    assert_eq!(broker.expire(), 1);
    let letter = broker.take(&dead).unwrap();
    assert_eq!(letter.message.header_text("x-death-reason"), Some("delivery_limit"));
    assert_eq!(letter.message.header_text("x-death-queue"), Some(work.as_str()));
    broker.queues.requeue(letter.tag);
    broker.publish(Target::Queue(work.clone()), letter.message).unwrap();
    assert_eq!(broker.take(&work).unwrap().message, message("poison"), "published again, it is as it was");
    for _ in 0..5 {
        let peeked = broker.take(&dead).expect("a dead letter may be peeked at any number of times");
        broker.queues.requeue(peeked.tag);
    }
    assert_eq!(broker.expire(), 0);
}

#[test]
fn a_crash_leaves_durable_queues_in_order_and_nothing_else() {
    let mut broker = broker();
    let (work, requests) = (broker.work(), broker.requests());
    broker.declare_exclusive("mine", &[], 10, Overflow::Reject);
    broker.queues.subscribe(HERE, &work, 1).unwrap();
    broker.send(&work, &["a", "b"]);
    broker.send(&requests, &["r"]);
    broker.send("mine", &["x"]);
    broker.dispatch();
    broker.queues.crash();
    assert_eq!(broker.queues.depth("mine"), None);
    assert_eq!(broker.queues.depth(&requests), Some((0, 0)));
    assert_eq!(broker.queues.depth(&work), Some((2, 0)));
    assert_eq!(broker.drain(&work), ["a", "b"]);
    assert_eq!(broker.queues.bytes, 0);
}

#[test]
fn restored_messages_keep_their_order_and_new_ones_come_after_them() {
    let (mut broker, work) = broker_and_work();
    let stored = |id, queue: &str, due| Stored {
        id: MessageId(id),
        queue: queue.into(),
        entry: Entry { message: message(&id.to_string()), delivery_count: 3, due },
    };
    assert!(broker.queues.restore(stored(7, &work, None)));
    assert!(broker.queues.restore(stored(5, &work, None)));
    let undeclared_delay = format!("{work}.retry.99s");
    assert!(broker.queues.restore(stored(6, &undeclared_delay, Some(i64::MAX))));
    assert!(!broker.queues.restore(stored(9, "t.unknown", None)));
    broker.send(&work, &["new"]);
    assert_eq!(broker.take(&work).unwrap().delivery_count, 3);
    assert_eq!(broker.drain(&work), ["6", "7", "new"]);
    assert_eq!(broker.queues.last_message, 10, "ids of unknown queues' messages stay theirs");
}

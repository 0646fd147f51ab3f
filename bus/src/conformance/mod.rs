//! The delivery contract as a suite of rules, for the tests of every transport.
//!
//! Each rule is a function of a [`Broker`]; [`conformance!`](macro@crate::conformance) makes tests of them. They speak of
//! what users of the bus rely on, and of nothing that only one transport has.

#![expect(clippy::unwrap_used, reason = "this is test code, shared by the tests of several crates")]

mod counters;
mod words;

pub mod consuming;
pub mod dead_letters;
pub mod listening;
pub mod publishing;
pub mod requests;
pub mod restarts;
pub mod work;

use async_trait::async_trait;
use std::time::Duration;

use crate::topology::RetryDelays;
use crate::transport::SharedTransport;

/// A broker of the test's own, or a namespace of its own on a shared one.
#[async_trait(?Send)]
pub trait Broker: Send + Sync {
    /// A connection as another process would have it, with everything declared.
    ///
    /// All are of one [`Topology`](crate::topology::Topology), with [`retry_delays`].
    async fn transport(&self, owner: &str) -> SharedTransport;

    /// Kills the broker without warning and starts it again on what it has stored. Connections made
    /// before are not used after. Only the rules in [`restarts`] call this.
    async fn restart(&self);
}

/// The delays that the rules expect retries to have: short, and growing.
pub fn retry_delays() -> RetryDelays {
    RetryDelays([100, 300].map(Duration::from_millis).into())
}

/// Makes a test of each rule. Both expressions are futures of a [`Broker`](crate::conformance::Broker), made anew
/// for every test; that of the second one can be restarted.
#[macro_export]
macro_rules! conformance {
    ($broker:expr, restarting: $restarting:expr $(,)?) => {
        $crate::conformance!(@tests $broker;
            publishing: a_confirmed_message_arrives_as_it_was_sent,
            publishing: messages_arrive_in_the_order_they_were_published,
            publishing: what_no_queue_takes_is_unroutable,
            publishing: among_pipelined_messages_only_those_that_no_queue_takes_are_unroutable,
            publishing: an_event_that_nobody_hears_is_published,
            publishing: a_full_queue_refuses_and_keeps_what_it_has,
            consuming: what_was_acknowledged_is_gone,
            consuming: what_a_dead_consumer_left_unacknowledged_comes_again,
            consuming: no_more_than_the_prefetch_is_unsettled,
            consuming: two_consumers_share_a_queue_and_get_nothing_twice,
            consuming: a_dropped_consumer_gives_back_what_it_has_not_taken,
            consuming: a_dropped_delivery_comes_again,
            listening: every_subscriber_hears_every_event,
            listening: subscribers_hear_what_they_are_bound_to,
            listening: a_slow_listener_misses_events_and_still_hears_the_newest_ones,
            listening: a_queue_of_ones_own_is_gone_with_its_connection,
            listening: live_events_say_from_when_on_they_listen,
            requests: a_request_is_answered,
            requests: a_fault_is_answered_as_such,
            requests: a_request_that_nobody_takes_in_time_is_never_executed,
            requests: a_reply_after_the_deadline_is_dropped_and_counted,
            requests: the_requests_of_a_dead_responder_go_to_another,
            work: work_is_acknowledged_after_its_effect,
            work: failing_work_is_tried_again_after_growing_delays,
            work: work_that_keeps_failing_is_dead_lettered_with_its_story,
            work: what_cannot_be_read_is_dead_lettered_at_once,
            work: what_was_delivered_often_runs_alone,
            work: a_command_is_answered_once_its_effect_is_committed,
            dead_letters: looking_at_dead_letters_leaves_them_in_place,
            dead_letters: a_replayed_message_is_the_same_and_as_if_never_tried,
            dead_letters: only_what_is_selected_is_discarded,
        );
        $crate::conformance!(@tests $restarting;
            restarts: confirmed_work_survives_a_restart_of_the_broker,
            restarts: what_waits_for_its_retry_survives_a_restart_of_the_broker,
        );
    };
    (@tests $broker:expr; $($rules:ident: $rule:ident,)*) => {
        $(
            #[tokio::test]
            async fn $rule() {
                let broker = $broker.await;
                $crate::conformance::$rules::$rule(&broker).await;
            }
        )*
    };
}

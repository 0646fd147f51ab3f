//! The transport contract as a suite of rules, for the tests of every transport.
//!
//! Each rule is a function of a [`Broker`]; [`conformance!`](macro@crate::conformance) generates their tests. The rules check
//! what users of the bus rely on, and nothing that only one transport has.

#![expect(clippy::unwrap_used, reason = "this is test code, shared by the tests of several crates")]

mod kit;

pub mod acknowledge;
pub mod dead_letters;
pub mod exclusive_queues;
pub mod jobs;
pub mod publish;
pub mod requests;
pub mod restarts;

use async_trait::async_trait;
use std::time::Duration;

use crate::topology::RetryDelays;
use crate::transport::SharedTransport;

/// A broker of one test, or a namespace of one test on a shared broker.
#[async_trait(?Send)]
pub trait Broker: Send + Sync {
    /// Opens a connection as another process would, with the topology declared. All connections share one
    /// [`Topology`](crate::topology::Topology), with [`retry_delays`].
    async fn transport(&self, owner: &str) -> SharedTransport;

    /// Kills the broker without warning and starts it again with its stored data. Connections opened before are not used
    /// afterwards. Only the rules in [`restarts`] call this.
    async fn restart(&self);
}

/// The retry delays that the rules expect: short, and growing.
pub fn retry_delays() -> RetryDelays {
    RetryDelays([100, 300].map(Duration::from_millis).into())
}

/// Generates a test for each rule. Both expressions are futures of a [`Broker`](crate::conformance::Broker), evaluated for
/// every test; the second broker can be restarted.
#[macro_export]
macro_rules! conformance {
    ($broker:expr, restarting: $restarting:expr $(,)?) => {
        $crate::conformance!(@tests $broker;
            publish: a_confirmed_message_arrives_as_it_was_sent,
            publish: messages_arrive_in_the_order_they_were_published,
            publish: a_message_that_no_queue_takes_is_unroutable,
            publish: among_pipelined_messages_only_those_that_no_queue_takes_are_unroutable,
            publish: an_event_without_subscribers_is_published,
            publish: a_full_queue_refuses_messages_and_keeps_its_own,
            acknowledge: an_acknowledged_message_is_gone,
            acknowledge: an_unacknowledged_message_of_a_lost_connection_is_redelivered,
            acknowledge: no_more_deliveries_than_the_prefetch_are_unacknowledged,
            acknowledge: two_consumers_share_a_queue_and_receive_nothing_twice,
            acknowledge: a_dropped_consumer_requeues_deliveries_that_were_not_received,
            acknowledge: a_dropped_delivery_is_redelivered,
            exclusive_queues: every_subscriber_receives_every_event,
            exclusive_queues: subscribers_receive_the_events_that_they_are_bound_to,
            exclusive_queues: a_slow_subscriber_misses_events_and_still_receives_the_newest,
            exclusive_queues: an_exclusive_queue_is_deleted_with_its_connection,
            exclusive_queues: an_event_subscription_signals_when_it_listens,
            requests: a_request_is_answered,
            requests: a_failure_is_answered_with_its_code,
            requests: a_request_that_is_not_received_in_time_is_never_handled,
            requests: a_request_fails_at_once_while_no_process_consumes_it,
            requests: a_sent_read_fails_at_once_if_its_process_goes_and_a_change_waits,
            requests: a_request_is_answered_however_far_apart_the_clocks_are,
            requests: a_request_that_comes_too_late_is_refused_and_by_how_much,
            requests: a_reply_after_the_deadline_is_dropped_and_counted,
            requests: the_requests_of_a_lost_server_go_to_another,
            jobs: a_job_is_acknowledged_after_its_effect,
            jobs: a_failing_job_is_retried_after_growing_delays,
            jobs: a_job_that_keeps_failing_is_dead_lettered_with_its_history,
            jobs: an_undecodable_message_is_dead_lettered_at_once,
            jobs: a_job_that_was_delivered_often_is_handled_alone,
            jobs: a_command_is_answered_once_its_effect_is_committed,
            dead_letters: listing_dead_letters_leaves_them_in_place,
            dead_letters: a_replayed_message_is_the_same_without_counted_attempts,
            dead_letters: only_selected_dead_letters_are_discarded,
        );
        $crate::conformance!(@tests $restarting;
            restarts: confirmed_jobs_survive_a_restart_of_the_broker,
            restarts: jobs_that_wait_for_their_retry_survive_a_restart_of_the_broker,
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

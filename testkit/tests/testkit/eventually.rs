use std::time::Duration;

use testkit::{eventually, eventually_within};

#[tokio::test]
async fn the_value_is_answered_once_there_is_one() {
    let mut probes = 0;

    let value = eventually("the third probe", async || {
        probes += 1;
        (probes == 3).then_some("third")
    })
    .await;

    assert_eq!(value, "third");
}

#[tokio::test]
#[should_panic(
    expected = "until the moon is cheese; at last: \"rock\" (at testkit/tests/testkit/eventually.rs"
)]
async fn giving_up_says_what_was_waited_for_and_where() {
    let limit = Duration::from_millis(50);

    eventually_within(limit, "the moon is cheese", async || Err::<(), _>("rock")).await;
}

#[tokio::test]
#[should_panic(expected = "until it answers; the probe gave no answer")]
async fn a_probe_that_hangs_is_cut_off() {
    eventually_within(Duration::from_millis(50), "it answers", async || std::future::pending::<bool>().await)
        .await;
}

use testkit::{Finished, RabbitMq, eventually, postgres_database, unique};

use crate::kit::Operator;

/// What each finding is about, and what it says.
fn findings(ran: &Finished) -> Vec<(String, String)> {
    let findings = ran.json()["findings"].as_array().unwrap().clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    findings.iter().map(|finding| (text(&finding["subject"]), text(&finding["finding"]))).collect()
}

const DOCTOR: [&str; 3] = ["doctor", "--output", "json"];

#[tokio::test]
async fn behind_rabbitmq_it_sees_who_is_missing_what_is_refused_and_what_is_well() {
    let rabbit = RabbitMq::start().await.unwrap();
    let (url, namespace) = (rabbit.url(), unique("operator"));
    let database = postgres_database().await;
    let operator = Operator::of_broker(&url, &namespace).with("DATABASE_URL", &database);

    let alone = operator.runs(&DOCTOR).await;
    assert_eq!(alone.code, 1, "{alone:?}");
    let found = findings(&alone);
    let unconsumed = found.iter().filter(|(_, finding)| finding.starts_with("it has no consumers")).count();
    let silent = found.iter().filter(|(_, finding)| finding.starts_with("it does not answer")).count();
    assert_eq!((unconsumed, silent, found.len()), (5, 3, 9), "{found:?}");
    assert!(
        found.contains(&("DATABASE_URL".to_owned(), "it holds no service's tables".to_owned())),
        "{found:?}"
    );

    let folder = tempfile::tempdir().unwrap();
    let system = operator.with("DATA_DIR", &folder.path().display().to_string()).starts_system().await;
    let well = operator.runs(&["doctor"]).await;
    assert_eq!(well.code, 0, "{well:?}");
    assert!(well.stdout.ends_with("all is well\n"), "{well:?}");
    assert!(well.stdout.contains("tables of orders, inventory, customers"), "{well:?}");
    assert!(system.terminate().await.unwrap().success());

    let queue = format!("{namespace}.order.requests");
    rabbit.ctl(&["delete_queue", &queue]).await.unwrap();
    let declare = format!(
        "rabbit_amqqueue:declare({{resource,<<\"/\">>,queue,<<\"{queue}\">>}},true,false,[],none,<<\"guest\">>)."
    );
    rabbit.ctl(&["eval", &declare]).await.unwrap();
    let differing = operator.runs(&DOCTOR).await;
    assert_eq!(differing.code, 1, "{differing:?}");
    let (_, refusal) = findings(&differing).into_iter().find(|(subject, _)| subject == "topology").unwrap();
    assert!(refusal.contains(&queue) && refusal.contains("inequivalent arg"), "{refusal}");
}

#[tokio::test]
async fn an_unreachable_broker_is_reported_within_bounds() {
    let url = format!("amqp://guest:guest@127.0.0.1:{}/%2f", testkit::free_port());
    let operator = Operator::of_broker(&url, "waybill");
    let ran = operator.with("DATABASE_URL", &postgres_database().await).runs(&DOCTOR).await;
    let found = findings(&ran);
    assert_eq!((ran.code, found.len()), (1, 2), "the database is looked at all the same: {ran:?}");
    assert!(found[0].1.contains("cannot reach the broker (RABBITMQ_URL)"), "{ran:?}");
    let ran = operator.runs(&["dead-letters", "list"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("cannot reach the broker (RABBITMQ_URL)"), "{ran:?}");
}

#[tokio::test]
async fn a_running_system_is_well_and_a_stopped_one_is_not_running() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::of_folder(folder.path());
    let system = operator.starts_system().await;
    let well = operator.runs(&DOCTOR).await;
    assert_eq!((well.code, findings(&well)), (0, Vec::new()), "{well:?}");
    let databases = well.json()["examined"]["databases"].as_array().unwrap().len();
    assert_eq!(databases, 3, "{well:?}");
    system.terminate().await.unwrap();
    let stopped = operator.runs(&DOCTOR).await;
    let expected = vec![("waybill".to_owned(), "it is not running".to_owned())];
    assert_eq!((stopped.code, findings(&stopped)), (1, expected), "{stopped:?}");
}

#[tokio::test]
async fn the_management_api_tells_of_policies_and_missing_bindings_and_an_alarm_is_one_finding() {
    let rabbit = RabbitMq::start_with_management().await.unwrap();
    let (url, namespace) = (rabbit.url(), unique("operator"));
    let folder = tempfile::tempdir().unwrap();
    let management = rabbit.management_url().unwrap();
    let operator = Operator::of_broker(&url, &namespace).with("RABBITMQ_MANAGEMENT_URL", &management);
    let _system = operator.with("DATA_DIR", &folder.path().display().to_string()).starts_system().await;
    let well = operator.runs(&["doctor"]).await;
    assert_eq!(well.code, 0, "{well:?}");
    assert!(well.stdout.contains("policies, arguments and bindings as declared"), "{well:?}");

    rabbit
        .ctl(&["set_policy", "short", ".*", r#"{"message-ttl":3000}"#, "--apply-to", "queues"])
        .await
        .unwrap();
    let commands = format!("{namespace}.order.commands");
    eventually("the policy is named", async || {
        let found = findings(&operator.runs(&DOCTOR).await);
        let named = found.iter().any(|(subject, finding)| {
            subject == "policy short"
                && finding.contains(&commands)
                && finding.contains("expire after 3000 ms")
        });
        if named { Ok(()) } else { Err(found) }
    })
    .await;
    rabbit.ctl(&["clear_policy", "short"]).await.unwrap();
    // The plugin gathers what it says every few seconds.
    eventually("nothing is found any more", async || {
        let found = findings(&operator.runs(&DOCTOR).await);
        if found.is_empty() { Ok(()) } else { Err(found) }
    })
    .await;

    let (exchange, queue) = (format!("{namespace}.events"), format!("{namespace}.inventory.order-events"));
    let unbound = format!(
        "rabbit_binding:remove({{binding, rabbit_misc:r(<<\"/\">>, exchange, <<\"{exchange}\">>), <<\"order.#\">>, \
         rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>), []}}, <<\"tests\">>)."
    );
    rabbit.ctl(&["eval", &unbound]).await.unwrap();
    let found = findings(&operator.runs(&DOCTOR).await);
    let expected = format!("{queue}: it is not bound to {exchange} by order.#");
    assert!(found.contains(&("topology".to_owned(), expected)), "{found:?}");

    let wrong = operator.with("RABBITMQ_MANAGEMENT_URL", &management.replace("guest:guest", "guest:wrong"));
    let found = findings(&wrong.runs(&DOCTOR).await);
    assert!(
        found.iter().any(|(subject, finding)| subject == "management API" && finding.contains("401")),
        "{found:?}"
    );
    assert!(!format!("{found:?}").contains("wrong"), "{found:?}");

    rabbit.ctl(&["set_vm_memory_high_watermark", "0.00001"]).await.unwrap();
    let ran = operator.runs(&DOCTOR).await;
    let found = findings(&ran);
    let [(subject, finding)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((subject.as_str(), ran.code), ("broker", 1));
    assert!(finding.contains("blocked publishing"), "{finding}");
}

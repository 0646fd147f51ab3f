use crate::kit::Operator;

#[tokio::test]
async fn bad_configuration_is_reported_by_name_with_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::of_folder(folder.path());
    for (variable, value, tool) in [
        ("RABBITMQ_URL", "http://broker", &["dead-letters", "list"][..]),
        ("BUS_NAMESPACE", "a b", &["audit"]),
        ("RETRY_DELAYS", "soon", &["doctor"]),
        ("DATABASE_URL", "mysql://host", &["doctor"]),
    ] {
        let ran = operator.with(variable, value).runs(tool).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(variable), "{ran:?}");
    }
    let without_selection = operator.runs(&["dead-letters", "discard"]).await;
    assert_eq!(without_selection.code, 2, "nothing is discarded without a selection: {without_selection:?}");
}

#[tokio::test]
async fn a_folder_without_a_system_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for tool in [&["dead-letters", "list"][..], &["audit"], &["doctor"]] {
        let ran = Operator::of_folder(folder.path()).runs(tool).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("there is no system in"), "{ran:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

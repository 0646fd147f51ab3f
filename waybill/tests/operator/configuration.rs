use crate::kit::Operator;

#[tokio::test]
async fn bad_configuration_is_told_by_name_with_code_2() {
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
    let unsaid = operator.runs(&["dead-letters", "discard"]).await;
    assert_eq!(unsaid.code, 2, "nothing is discarded without a selection: {unsaid:?}");
}

#[tokio::test]
async fn a_folder_without_a_shop_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for tool in [&["dead-letters", "list"][..], &["audit"], &["doctor"]] {
        let ran = Operator::of_folder(folder.path()).runs(tool).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("there is no shop in"), "{ran:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

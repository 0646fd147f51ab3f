//! The commands beside `up`.

use serde_json::{Value, json};

use crate::kit::{FourProcesses, OneProcess, waybill};

#[tokio::test]
async fn help_lists_commands_and_variables() {
    let help = waybill(&["--help"]).prints().await;
    for command in ["up", "token", "stock", "import"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}\n{help}");
    }
    let up = waybill(&["up", "--help"])
        .with("JWT_SECRET", "hunter2")
        .with("RABBITMQ_URL", "amqp://me:hunter2@b")
        .prints()
        .await;
    for variable in [
        "PORT",
        "ADMIN_PORT",
        "DATA_DIR",
        "RABBITMQ_URL",
        "DATABASE_URL",
        "AUTH_MODE",
        "SEED",
        "CURRENCY",
        "RUST_LOG",
    ] {
        assert!(up.contains(&format!("[env: {variable}")), "{variable}\n{up}");
    }
    assert!(!up.contains("hunter2"), "{up}");
    let token = waybill(&["token", "--help"]).prints().await;
    assert!(
        token.contains("--customer") && token.contains("--scope") && token.contains("--expires-in"),
        "{token}"
    );
}

#[tokio::test]
async fn a_token_needs_a_secret_and_says_where_from() {
    let folder = tempfile::tempdir().unwrap();
    let output = waybill(&["token"]).with("DATA_DIR", folder.path().to_str().unwrap()).run().await;
    let stderr = output.stderr;
    assert_eq!((output.code, output.stdout.as_str()), (1, ""));
    assert!(stderr.contains("JWT_SECRET") && stderr.contains("jwt-secret"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[tokio::test]
async fn a_token_has_the_claims_of_the_arguments() {
    let arguments = ["token", "--customer", "CUST02", "--scope", "orders:read", "--scope", "orders:all"];
    let printed = waybill(&arguments).with("JWT_SECRET", "s").prints().await;
    assert_eq!(printed.trim().lines().count(), 1, "the token alone");
    let claims = printed.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["sub"], &claims["scope"]), (&json!("CUST02"), &json!("orders:read orders:all")));

    for arguments in [
        ["token", "--scope", "orders:nothing"],
        ["token", "--expires-in", "soon"],
        ["token", "--customer", ""],
    ] {
        let output = waybill(&arguments).with("JWT_SECRET", "s").run().await;
        assert_eq!(output.code, 2, "{arguments:?}");
    }
}

const CATALOGUE: &str = "id,name,description,price,quantity\nTEA01,Green tea,\"First flush, 100 g\",18.50,12\nTEA02,Tea pot,Cast iron,64,\n";

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_received_by_a_stopped_and_by_a_running_system() {
    let mut process = OneProcess::new().with("SEED", "none");
    let catalogue = process.data_dir().join("tea.csv");
    std::fs::write(&catalogue, CATALOGUE).unwrap();
    let file = catalogue.to_str().unwrap();
    let printed = process.waybill(&["import", "products", file]).prints().await;
    assert!(printed.contains("2 products"), "{printed}");

    let gateway = process.start().await;
    let client = gateway.anonymous();
    let pot = client.looks_at("TEA02").await;
    assert_eq!((&pot["unitPrice"]["amount"], &pot["availableQuantity"]), (&json!("64.00"), &json!(0)));
    assert_eq!(client.looks_at("TEA01").await["availableQuantity"], 12);
    assert_eq!(client.looks_at("PROD01").await, Value::Null, "nothing was seeded");

    // The same again, into the running system: opening stock comes in once, a delivery once for its name.
    let printed = process.waybill(&["import", "products", file]).prints().await;
    let told = "imported 2 products; no units came in, 12 units had come in before";
    assert_eq!(printed.trim(), told);
    assert_eq!(client.looks_at("TEA01").await["availableQuantity"], 12);
    for _ in 0..2 {
        process.waybill(&["stock", "receive", "TEA01", "5", "--id", "monday"]).prints().await;
    }
    assert_eq!(client.looks_at("TEA01").await["availableQuantity"], 17);
    let printed = process.waybill(&["stock", "receive", "TEA01", "3"]).prints().await;
    assert_eq!(printed.trim(), "TEA01 (Green tea): 20 available");

    // Corrections: three are broken, which happens once for its name, and never to what is held for orders.
    for told in ["17 available", "17 available; nothing changed, this was done before"] {
        let arguments = ["stock", "write-off", "TEA01", "3", "--reason", "broken", "--id", "count-1"];
        let printed = process.waybill(&arguments).prints().await;
        assert_eq!(printed.trim(), format!("TEA01 (Green tea): {told}"));
    }
    let refused = process.waybill(&["stock", "write-off", "TEA01", "18"]).run().await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("17 on hand, 0 of them held for orders"), "{refused:?}");

    let customers = process.data_dir().join("customers.json");
    std::fs::write(
        &customers,
        r#"[{"id": "ADA", "name": "Ada", "email": "ada@example.org", "shippingAddress": "1 Quay"}]"#,
    )
    .unwrap();
    process.waybill(&["import", "customers", customers.to_str().unwrap()]).prints().await;
    let order = gateway.customer("ADA").has_ordered(&[("TEA01", 2)]).await;
    assert_eq!(
        (&order["shippingAddress"], &order["totalAmount"]["amount"]),
        (&json!("1 Quay"), &json!("37.00"))
    );

    // Withdrawn, it can't be ordered; the order that has it keeps it, and importing it brings it back.
    process.waybill(&["stock", "withdraw", "TEA01"]).prints().await;
    assert_eq!(client.looks_at("TEA01").await["availableQuantity"], 0);
    let refused = gateway.customer("ADA").places_order(&[("TEA01", 1)]).await;
    assert_eq!(refused["rejection"]["code"], "UNKNOWN_PRODUCT", "{refused}");
    let kept = gateway.customer("ADA").reads(order["id"].as_str().unwrap()).await;
    assert_eq!(kept["status"], "PROCESSING", "{kept}");
    process.waybill(&["import", "products", file]).prints().await;
    assert_eq!(client.looks_at("TEA01").await["availableQuantity"], 15);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_behind_a_broker_take_deliveries() {
    let mut processes = FourProcesses::new().await;
    let gateway = processes.start().await;
    let before = gateway.anonymous().looks_at("PROD01").await["availableQuantity"].as_i64().unwrap();
    processes.waybill(&["stock", "receive", "PROD01", "7"]).prints().await;
    assert_eq!(gateway.anonymous().looks_at("PROD01").await["availableQuantity"], before + 7);
    let output = processes.waybill(&["stock", "receive", "NOPE", "7"]).run().await;
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("NOPE"), "{}", output.stderr);
}

/// Files as spreadsheets save them: a German one with semicolons, decimal commas and Windows-1252, and Excel's "Unicode text".
#[tokio::test(flavor = "multi_thread")]
async fn files_of_spreadsheets_are_imported() {
    let mut process = OneProcess::new().with("SEED", "none");
    let german = "ID;Name;Description;Price;Quantity;;\r\nTEE1;Grüner Tee;\"Erste Pflückung\r\nfür 1 €\";18,50;12;;\r\n;;;;;;\r\n";
    let german = encoding_rs::WINDOWS_1252.encode(german).0.into_owned();
    let unicode =
        "\u{feff}id\tname\tdescription\tprice\tquantity\r\n茶01\t煎茶\t\"一番茶, 100 g\"\t9.80\t3\r\n";
    let unicode: Vec<u8> = unicode.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, bytes, units) in [("tee.csv", german, 12), ("Unicode.txt", unicode, 3)] {
        let file = process.data_dir().join(name);
        std::fs::write(&file, bytes).unwrap();
        let printed = process.waybill(&["import", "products", file.to_str().unwrap()]).prints().await;
        assert_eq!(printed.trim(), format!("imported 1 product; {units} units came in"));
    }
    let gateway = process.start().await;
    let client = gateway.anonymous();
    let tee = client.looks_at("TEE1").await;
    assert_eq!((&tee["name"], &tee["unitPrice"]["amount"]), (&json!("Grüner Tee"), &json!("18.50")));
    let tea = client.looks_at("茶01").await;
    assert_eq!((&tea["name"], &tea["unitPrice"]["amount"]), (&json!("煎茶"), &json!("9.80")));

    let workbook = process.data_dir().join("book.csv");
    std::fs::write(&workbook, b"PK\x03\x04\x14\0").unwrap();
    let refused = process.waybill(&["import", "products", workbook.to_str().unwrap()]).run().await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("save it as \"CSV UTF-8\""), "{}", refused.stderr);
    process.stop().await;
}

#[tokio::test]
async fn a_file_with_mistakes_changes_nothing_and_every_mistake_is_told() {
    let process = OneProcess::new();
    let file = process.data_dir().join("tea.csv");
    std::fs::write(
        &file,
        "id,name,description,price,quantity\r\nA,Tea,Green,1.999,1\r\n,Tea,\"Green\r\ntea\",2,1\r\nB,Tea\r\nC,,Green,92233720368547758.07,-1\r\n",
    )
    .unwrap();
    let output = process.waybill(&["import", "products", file.to_str().unwrap()]).run().await;
    let stderr = output.stderr;
    assert_eq!(output.code, 1);
    for line in [
        "line 2: price \"1.999\" is not an amount in USD, such as 14.50",
        "line 3: id is missing",
        "line 5: 2 fields, but the first line names 5",
        "line 6: name is missing",
        "line 6: price \"92233720368547758.07\" is more than 10000000000.00",
        "line 6: quantity \"-1\" is not a whole number of units",
    ] {
        assert!(stderr.contains(line), "{line}\n{stderr}");
    }
    assert!(!process.data_dir().join("inventory.sqlite").exists(), "the import began");
}

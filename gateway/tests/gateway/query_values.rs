//! Values of the language and of variables: numbers, ids and strings as they arrive at resolvers.

use serde_json::{Value, json};

use crate::kit::{TestGateway, over_http, through_socket};
use testkit::GraphQlClient;

/// Runs a document with variables in JSON over both transports, which give the same.
async fn run(gateway: &TestGateway, query: &str, variables: &str) -> Value {
    let request = format!(r#"{{"query":{},"variables":{variables}}}"#, json!(query));
    let client = GraphQlClient::over(gateway.http.clone(), gateway.address.to_string());
    let response = over_http(&client, &request).await;
    let mut socket = gateway.ready_socket().await;
    assert_eq!(through_socket(&mut socket, "1", &request).await, response);
    response
}

#[tokio::test]
async fn integers_may_be_written_as_numbers_without_a_fraction() {
    let gateway = TestGateway::start().await;
    let query = "query($v: Int!) { number(value: $v) }";
    for (json, value) in [
        ("2", 2),
        ("2.0", 2),
        ("2e0", 2),
        ("20e-1", 2),
        ("-2.00", -2),
        ("1E3", 1000),
        ("-0", 0),
        ("-0.0", 0),
        ("2147483647", i32::MAX),
        ("-2147483648.0", i32::MIN),
    ] {
        let response = run(&gateway, query, &format!("{{\"v\": {json}}}")).await;
        assert_eq!(response, json!({ "data": { "number": value } }), "{json}");
    }
    for (literal, value) in [("-0", 0), ("0", 0), ("-1", -1)] {
        let response = run(&gateway, &format!("{{ number(value: {literal}) }}"), "{}").await;
        assert_eq!(response, json!({ "data": { "number": value } }), "{literal}");
    }
}

#[tokio::test]
async fn ids_may_be_integers_of_any_length_and_keep_their_digits() {
    let gateway = TestGateway::start().await;
    let query = "query($v: ID!) { byId(id: $v) }";
    for (json, id) in [
        ("1", "1"),
        ("1.0", "1"),
        ("-7", "-7"),
        ("-0", "0"),
        ("1e3", "1000"),
        ("9223372036854775808", "9223372036854775808"),
        ("18446744073709551617", "18446744073709551617"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("\"01\"", "01"),
        ("\"\"", ""),
    ] {
        let response = run(&gateway, query, &format!("{{\"v\": {json}}}")).await;
        assert_eq!(response, json!({ "data": { "byId": id } }), "{json}");
    }
    for literal in ["123456789012345678901234567890", "\"x\"", "-5"] {
        let response = run(&gateway, &format!("{{ byId(id: {literal}) }}"), "{}").await;
        assert_eq!(response["data"]["byId"], literal.trim_matches('"'));
    }
}

#[tokio::test]
async fn strings_mean_what_the_language_says() {
    let gateway = TestGateway::start().await;
    for (literal, text) in [
        (r#""""#, ""),
        (r#""simple""#, "simple"),
        (r#""\uD83D\uDE00""#, "😀"),
        (r#""\u{1F600}""#, "😀"),
        (r#""\u{00000061}b""#, "ab"),
        (r#""\u00e9\u00E9""#, "éé"),
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        ("\"😀\"", "😀"),
        ("\"{ # , ... }\"", "{ # , ... }"),
        (r#""""simple""""#, "simple"),
        (r#"""" " "" \""" \" """"#, " \" \"\" \"\"\" \\\" "),
        (
            "\"\"\"\n    Hello,\n      World!\n\n    Yours,\n      GraphQL.\n  \"\"\"",
            "Hello,\n  World!\n\nYours,\n  GraphQL.",
        ),
        ("\"\"\"a\r\nb\rc\"\"\"", "a\nb\nc"),
        ("\"\"\"\\u0041\\n\"\"\"", "\\u0041\\n"),
    ] {
        let response = run(&gateway, &format!("{{ echo(text: {literal}) }}"), "{}").await;
        assert_eq!(response, json!({ "data": { "echo": text } }), "{literal}");
    }
    let query = "query($t: String! = \"\\u{1F600}\") { echo(text: $t) }";
    assert_eq!(run(&gateway, query, "{}").await["data"]["echo"], "😀");
    assert_eq!(run(&gateway, query, r#"{"t": "\uD83D\uDE00"}"#).await["data"]["echo"], "😀");
    // Half a pair is no text.
    let response = run(&gateway, query, r#"{"t": "\uD83D"}"#).await;
    assert_eq!(response["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED", "{response}");
}

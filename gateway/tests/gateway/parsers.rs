//! What reads bytes of others, on samples that were changed at random: it accepts or refuses, and never panics.
//! `WAYBILL_FUZZ_CASES` says how many.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bus::envelope::{self, Envelope};
use schema::cursor::{OrderCursor, ProductCursor, UpdateCursor};
use testkit::mutations;

const CASES: u64 = 20_000;

#[test]
fn the_packet_decoder_reads_or_refuses_every_body_and_reads_again_what_it_writes() {
    let samples = [
        r#"{"pattern":"order.get","data":[{"orderId":"019ab1f0-7b2a-7c3d-8e4f-000000000001"}],"id":"7"}"#,
        r#"{"pattern":{"cmd":"order.create"},"data":{"a":[1,2.5,-0,null,true,"\u00e4"]}}"#,
        r#"{"pattern":{"b":1,"a":"x"},"data":null}"#,
        r#"{"response":[{"a":1},null],"isDisposed":true}"#,
        r#"{"err":{"status":"error","code":"DEADLINE_EXCEEDED","message":"late","retryable":true},"isDisposed":true}"#,
        r#"{"err":"There is no matching message handler defined in the remote service.","id":"1","status":"error"}"#,
    ];
    let mut read = 0;
    for body in mutations(&samples, CASES) {
        let _ = (envelope::read_reply(&body), envelope::read_list_reply(&body));
        let Ok(Envelope { pattern, data, id }) = Envelope::read(&body) else { continue };
        let again = Envelope::read(&envelope::write(&pattern, &data, id.as_deref())).unwrap();
        assert_eq!((again.pattern, again.data.get(), again.id), (pattern, data.get(), id));
        read += 1;
    }
    assert!(read > 100, "too few bodies that can be read: {read}");
}

#[test]
fn a_cursor_is_refused_or_the_one_that_its_text_names() {
    let order_id = "019ab1f0-7b2a-7c3d-8e4f-000000000001".parse().unwrap();
    let placed_at = "2026-11-23T19:10:51.371Z".parse().unwrap();
    let samples = [
        UpdateCursor { order_id, version: 7 }.encode(),
        OrderCursor { created_at: placed_at, order_id, customer_id: "CUST01".parse().unwrap() }.encode(),
        ProductCursor { product_id: "PROD01".parse().unwrap() }.encode(),
    ];
    // Changed inside its encoding as well, since most changes of the text alone end there.
    let decoded = samples.clone().map(|sample| URL_SAFE_NO_PAD.decode(sample).unwrap());
    let inside = mutations(&decoded, CASES).map(|bytes| URL_SAFE_NO_PAD.encode(bytes).into_bytes());
    let mut read = 0;
    for text in mutations(&samples, CASES).chain(inside) {
        let Ok(text) = String::from_utf8(text) else { continue };
        if let Ok(cursor) = UpdateCursor::decode(&text) {
            assert_eq!(UpdateCursor::decode(&cursor.encode()), Ok(cursor), "{text}");
            read += 1;
        }
        if let Ok(cursor) = OrderCursor::decode(&text) {
            assert_eq!(OrderCursor::decode(&cursor.encode()), Ok(cursor), "{text}");
            read += 1;
        }
        if let Ok(cursor) = ProductCursor::decode(&text) {
            assert_eq!(ProductCursor::decode(&cursor.encode()), Ok(cursor), "{text}");
            read += 1;
        }
    }
    assert!(read > 100, "too few cursors that can be read: {read}");
}

//! Sockets whose clients send too much, or what is no WebSocket message: the close frame always arrives.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::json;
use testkit::{GraphQlSocket, WAIT_LIMIT};
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::kit::TestGateway;

const TOO_BIG: (u16, &str) = (1009, "message too big");
const MIB: usize = 1024 * 1024;

/// Code and reason of the close frame, for a client that has sent what it had before it reads.
async fn closed(socket: &mut GraphQlSocket) -> (u16, String) {
    socket.closed().await
}

/// Writes bytes below the client's own WebSocket layer.
async fn write_raw(socket: &mut GraphQlSocket, bytes: &[u8]) {
    socket.stream.get_mut().write_all(bytes).await.unwrap();
    socket.stream.get_mut().flush().await.unwrap();
}

fn is_too_big((code, reason): &(u16, String)) -> bool {
    (*code, reason.as_str()) == TOO_BIG
}

#[tokio::test]
async fn a_message_over_the_limit_ends_with_1009_however_long_it_is() {
    let gateway = TestGateway::start().await;
    for bytes in [256 * 1024 + 1, MIB, 4 * MIB, 40 * MIB] {
        let mut socket = gateway.ready_socket().await;
        socket.subscribe("1", "subscription { ticks { value } }").await;
        socket.send_text(" ".repeat(bytes)).await;
        let close = closed(&mut socket).await;
        assert!(is_too_big(&close), "{bytes} bytes: {close:?}");
    }
    let mut socket = gateway.ready_socket().await;
    let query = format!("{{ hello }}{}", " ".repeat(200 * 1024));
    socket.subscribe("q", &query).await;
    assert_eq!(socket.next().await["payload"]["data"], json!({ "hello": "world" }));
}

#[tokio::test]
async fn a_message_over_the_limit_ends_with_1009_before_it_is_complete() {
    let gateway = TestGateway::start().await;
    // A masked text frame of 2^40 bytes, of which eight come.
    let mut socket = gateway.ready_socket().await;
    write_raw(&mut socket, &[0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4, b'x', b'x', b'x', b'x']).await;
    let close = closed(&mut socket).await;
    assert!(is_too_big(&close), "{close:?}");
    // Fragments, each within the limit, of a message that never ends.
    let mut socket = gateway.ready_socket().await;
    let fragment = vec![b' '; 100 * 1024];
    for opcode in [Data::Text, Data::Continue, Data::Continue] {
        let frame = Frame::message(fragment.clone(), OpCode::Data(opcode), false);
        socket.stream.send(Message::Frame(frame)).await.unwrap();
    }
    let close = closed(&mut socket).await;
    assert!(is_too_big(&close), "{close:?}");
}

#[tokio::test]
async fn every_one_of_many_clients_that_send_too_much_at_once_reads_1009() {
    let gateway = TestGateway::start().await;
    let senders = (0..60).map(async |number| {
        let mut socket = gateway.ready_socket().await;
        socket.subscribe("f", "subscription { flood }").await;
        socket.send_text(" ".repeat(MIB)).await;
        if number % 2 == 0 {
            // The client has nothing more to say.
            socket.stream.get_mut().shutdown().await.unwrap();
        }
        closed(&mut socket).await
    });
    for close in futures::future::join_all(senders).await {
        assert!(is_too_big(&close), "{close:?}");
    }
}

#[tokio::test]
async fn what_is_no_websocket_message_ends_with_1002_or_1007() {
    let gateway = TestGateway::start().await;
    for (bytes, code) in [
        // A reserved bit, an unknown opcode, a frame without a mask, a control frame in parts, text that is not UTF-8.
        (&[0xc1, 0x80, 0, 0, 0, 0][..], 1002),
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),
        (&[0x81, 0x02, b'{', b'}'], 1002),
        (&[0x09, 0x80, 0, 0, 0, 0], 1002),
        (&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xff], 1007),
    ] {
        let mut socket = gateway.ready_socket().await;
        write_raw(&mut socket, bytes).await;
        assert_eq!(closed(&mut socket).await.0, code, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_client_that_sends_on_after_its_close_frame_does_not_keep_its_connection() {
    let gateway = TestGateway::with_limits(|limits| limits.max_sockets = 1).await;
    let mut socket = gateway.ready_socket().await;
    socket.send_text(" ".repeat(MIB)).await;
    assert!(is_too_big(&closed(&mut socket).await));
    let sending = async { while socket.stream.get_mut().write_all(&[0; 1024]).await.is_ok() {} };
    tokio::time::timeout(WAIT_LIMIT, sending).await.expect("the connection ends");
    while let Some(Ok(_)) = socket.stream.next().await {}
}

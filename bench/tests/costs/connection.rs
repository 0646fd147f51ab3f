//! A client that allocates next to nothing itself: one kept connection, requests written as bytes.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::system::{SECRET, System};

/// Bytes of the longest answer.
const ANSWER_MAX: usize = 256 * 1024;

/// One HTTP connection of CUST01.
pub(crate) struct Connection {
    stream: TcpStream,
    token: String,
    answer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(system: &System) -> Self {
        let claims =
            json!({ "sub": "CUST01", "scope": "orders:read orders:write", "exp": 4_102_444_800_u64 });
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
        let stream = TcpStream::connect(system.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, token, answer: vec![0; ANSWER_MAX] }
    }

    /// Executes a document and returns the whole answer.
    pub(crate) async fn execute(&mut self, document: &str, variables: &Value) -> Value {
        let (body, end) = self.send(document, variables).await;
        serde_json::from_slice(&self.answer[body..end]).unwrap()
    }

    /// Executes a document whose answer is as it should be, and leaves it unread.
    pub(crate) async fn execute_unread(&mut self, document: &str, variables: &Value) {
        let (body, end) = self.send(document, variables).await;
        let answer = &self.answer[body..end];
        assert!(answer.starts_with(b"{\"data\":"), "{}", String::from_utf8_lossy(answer));
    }

    /// Returns where the answer's body begins and ends.
    async fn send(&mut self, document: &str, variables: &Value) -> (usize, usize) {
        let body = json!({ "query": document, "variables": variables }).to_string();
        let request = format!(
            "POST /graphql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Accept: application/graphql-response+json\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.token,
            body.len(),
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let mut read = 0;
        loop {
            let more = self.stream.read(&mut self.answer[read..]).await.unwrap();
            assert!(
                more > 0,
                "the connection was closed: {:?}",
                String::from_utf8_lossy(&self.answer[..read])
            );
            read += more;
            if let Some((body, end)) = bounds(&self.answer[..read])
                && read >= end
            {
                return (body, end);
            }
        }
    }
}

/// Where the body of an answer begins and ends, once its head is there.
fn bounds(answer: &[u8]) -> Option<(usize, usize)> {
    let body = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..body]).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{}", String::from_utf8_lossy(answer));
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    Some((body, body + length.expect("an answer says how long it is")))
}

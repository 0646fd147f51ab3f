//! Message bodies: JSON in the envelope format of NestJS's RabbitMQ transport, which calls it a packet.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::failure::{Failure, FailureCode};

/// The envelope of a request, command or event.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The pattern.
    pub pattern: String,
    /// The data, undecoded.
    pub data: Box<RawValue>,
    /// The id that a reply refers to, if the sender awaits one.
    pub id: Option<String>,
}

impl Envelope {
    /// Reads a body. One that can't be read is undecodable, and stays so.
    pub fn read(body: &[u8]) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(borrow)]
            pattern: &'a RawValue,
            data: Option<Box<RawValue>>,
            id: Option<String>,
        }
        let Wire { pattern, data, id } = serde_json::from_slice(body).map_err(Failure::undecodable)?;
        let data = data.unwrap_or_else(|| RawValue::NULL.to_owned());
        Ok(Self { pattern: pattern_text(pattern)?, data, id })
    }

    /// Decodes data that is a list of at most `most` items.
    pub fn items<T: DeserializeOwned>(&self, most: usize) -> Result<Vec<T>, Failure> {
        let items: Vec<T> = self.data()?;
        if items.len() > most {
            let message = format!("{} takes at most {most} items, not {}", self.pattern, items.len());
            return Err(Failure::new(FailureCode::BadRequest, message));
        }
        Ok(items)
    }

    /// Decodes the data.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(self.data.get())
            .map_err(|error| Failure::undecodable(format_args!("{}: {error}", self.pattern)))
    }
}

/// `"order.get"` or `{"cmd": "order.get"}`; any other object stands for itself with sorted keys, as in Nest.
fn pattern_text(raw: &RawValue) -> Result<String, Failure> {
    // serde_json's map sorts its keys, which is Nest's normal form.
    let value: Value = serde_json::from_str(raw.get()).map_err(Failure::undecodable)?;
    let command = value.as_object().filter(|map| map.len() == 1).and_then(|map| map.get("cmd"));
    let pattern = command.unwrap_or(&value).as_str().map(str::to_owned);
    Ok(pattern.unwrap_or_else(|| value.to_string()))
}

/// Writes a request, command or event.
pub fn write<T: Serialize + ?Sized>(pattern: &str, data: &T, id: Option<&str>) -> Bytes {
    #[derive(Serialize)]
    struct Wire<'a, T: ?Sized> {
        pattern: &'a str,
        data: &'a T,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
    }
    to_bytes(&Wire { pattern, data, id })
}

/// Writes a response. Its body has no other keys: Nest's client would take the whole body for the response.
pub fn write_response(response: &RawValue) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire<'a> {
        response: &'a RawValue,
        is_disposed: bool,
    }
    to_bytes(&Wire { response, is_disposed: true })
}

/// Writes a failure as a reply.
pub fn write_error(failure: &Failure) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire<'a> {
        err: WireFailure<'a>,
        is_disposed: bool,
    }
    #[derive(Serialize)]
    struct WireFailure<'a> {
        status: &'a str,
        code: FailureCode,
        message: &'a str,
        retryable: bool,
    }
    let Failure { code, message } = failure;
    let err = WireFailure { status: "error", code: *code, message, retryable: code.is_retryable() };
    to_bytes(&Wire { err, is_disposed: true })
}

/// Nest's reply, which its clients expect, to a pattern without a handler.
const NO_HANDLER: &str = "There is no matching message handler defined in the remote service.";

/// Writes the reply to a pattern without a handler.
pub fn write_no_handler(id: &str) -> Bytes {
    #[derive(Serialize)]
    struct Wire<'a> {
        id: &'a str,
        err: &'a str,
        status: &'a str,
    }
    to_bytes(&Wire { id, err: NO_HANDLER, status: "error" })
}

/// Reads a reply: the response, undecoded, or the failure.
pub fn read_reply(body: &[u8]) -> Result<Box<RawValue>, Failure> {
    Ok(read_response(body)?.unwrap_or_else(|| RawValue::NULL.to_owned()))
}

/// Reads a reply whose response is a list: its items, undecoded, or the failure.
pub fn read_list_reply(body: &[u8]) -> Result<Vec<Box<RawValue>>, Failure> {
    read_response(body)?.ok_or_else(|| Failure::undecodable("the response is not a list"))
}

fn read_response<R: DeserializeOwned>(body: &[u8]) -> Result<Option<R>, Failure> {
    #[derive(Deserialize)]
    #[serde(bound = "R: DeserializeOwned")]
    struct Wire<R> {
        response: Option<R>,
        err: Option<WireFailure>,
    }
    // Nest's own exceptions are texts, or objects without a code.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum WireFailure {
        Ours { code: FailureCode, message: String },
        Theirs { message: String },
        Text(String),
        Other(Value),
    }
    let Wire { response, err } = serde_json::from_slice(body).map_err(Failure::undecodable)?;
    let Some(err) = err else { return Ok(response) };
    let (code, message) = match err {
        WireFailure::Ours { code, message } => (code, message),
        WireFailure::Text(text) if text == NO_HANDLER => (FailureCode::NoHandler, text),
        WireFailure::Theirs { message } | WireFailure::Text(message) => (FailureCode::Internal, message),
        WireFailure::Other(value) => (FailureCode::Internal, value.to_string()),
    };
    Err(Failure::new(code, message))
}

fn to_bytes<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).expect("message types have text keys and no failing serializers").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::to_raw_value;

    fn pattern(json: &str) -> String {
        Envelope::read(format!(r#"{{"pattern":{json},"data":[]}}"#).as_bytes()).unwrap().pattern
    }

    #[test]
    fn patterns_are_texts_or_nests_objects() {
        assert_eq!(pattern(r#""order.get""#), "order.get");
        assert_eq!(pattern(r#"{"cmd":"order.get"}"#), "order.get");
        assert_eq!(pattern(r#"{"b":1,"a":"x"}"#), r#"{"a":"x","b":1}"#);
    }

    #[test]
    fn a_body_that_is_no_envelope_is_undecodable() {
        for body in ["", "no json", "[]", "{}", r#"{"data":1}"#, "\u{0}"] {
            assert_eq!(Envelope::read(body.as_bytes()).unwrap_err().code, FailureCode::Undecodable, "{body}");
        }
    }

    #[test]
    fn replies_have_only_the_keys_that_nests_client_knows() {
        let response = write_response(&to_raw_value(&[1]).unwrap());
        assert_eq!(response, r#"{"response":[1],"isDisposed":true}"#);
        let failure = Failure::new(FailureCode::DeadlineExceeded, "too late");
        assert_eq!(
            write_error(&failure),
            r#"{"err":{"status":"error","code":"DEADLINE_EXCEEDED","message":"too late","retryable":true},"isDisposed":true}"#
        );
    }

    #[test]
    fn replies_of_waybill_and_of_nest_are_read() {
        assert_eq!(read_reply(br#"{"response":{"a":1},"isDisposed":true}"#).unwrap().get(), r#"{"a":1}"#);
        assert_eq!(read_reply(br#"{"isDisposed":true}"#).unwrap().get(), "null");
        let list = read_list_reply(br#"{"response":[{"a":1},null],"isDisposed":true}"#).unwrap();
        assert_eq!(list.iter().map(|item| item.get()).collect::<Vec<_>>(), [r#"{"a":1}"#, "null"]);
        for no_list in [r#"{"response":{"a":1}}"#, r#"{"response":null}"#, "{}"] {
            assert_eq!(read_list_reply(no_list.as_bytes()).unwrap_err().code, FailureCode::Undecodable);
        }
        let failure = Failure::new(FailureCode::Overloaded, "busy");
        assert_eq!(read_reply(&write_error(&failure)).unwrap_err(), failure);
        assert_eq!(read_list_reply(&write_error(&failure)).unwrap_err(), failure);
        assert_eq!(read_reply(&write_no_handler("1")).unwrap_err().code, FailureCode::NoHandler);
        let nest = br#"{"err":{"status":"error","message":"Internal server error"},"isDisposed":true}"#;
        assert_eq!(read_reply(nest).unwrap_err().code, FailureCode::Internal);
    }
}

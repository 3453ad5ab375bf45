//! The bytes of the health service: two small messages, and what statuses are
//! called. The form is that of gRPC over HTTP/2 and of Protocol Buffers.

use percent_encoding::percent_decode;

/// The question for a service, with the frame around it.
pub(super) fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(FIELD_1_BYTES);
        put_varint(&mut message, service.len() as u64);
        message.extend(service.as_bytes());
    }
    let len = u32::try_from(message.len()).expect("a service's name fits into memory");
    [&[0][..], &len.to_be_bytes(), &message].concat()
}

/// What a health service says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Serving,
    Other(u64),
}

impl Health {
    /// As the protocol names it.
    pub fn name(self) -> String {
        match self {
            Health::Serving => "SERVING".to_owned(),
            Health::Other(0) => "UNKNOWN".to_owned(),
            Health::Other(2) => "NOT_SERVING".to_owned(),
            Health::Other(3) => "SERVICE_UNKNOWN".to_owned(),
            Health::Other(other) => format!("status {other}"),
        }
    }
}

/// Reads an answer, with the frame around it. `None` for what is no such message.
pub(super) fn health(body: &[u8]) -> Option<Health> {
    let (head, mut message) = body.split_at_checked(5)?;
    let len = u32::from_be_bytes(head[1..].try_into().ok()?);
    // Nothing is compressed that was not asked for.
    if head[0] != 0 || usize::try_from(len).ok()? != message.len() {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        match key & 7 {
            0 => {
                let value = take_varint(&mut message)?;
                // The last one counts, and other fields are passed over.
                if key >> 3 == 1 {
                    status = value;
                }
            }
            1 => message = message.get(8..)?,
            2 => {
                let len = take_varint(&mut message)?;
                message = message.get(usize::try_from(len).ok()?..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(if status == 1 { Health::Serving } else { Health::Other(status) })
}

/// The name of a `grpc-status`.
pub(super) fn status_name(status: u16) -> String {
    match STATUSES.get(usize::from(status)) {
        Some(name) => (*name).to_owned(),
        None => format!("gRPC status {status}"),
    }
}

/// The text of a `grpc-message`.
pub(super) fn percent_decoded(text: &[u8]) -> String {
    percent_decode(text).decode_utf8_lossy().into_owned()
}

/// The key of a field 1 that has a length.
const FIELD_1_BYTES: u8 = 1 << 3 | 2;

const STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn put_varint(to: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        to.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_question_names_the_service() {
        assert_eq!(request(""), [0, 0, 0, 0, 0]);
        assert_eq!(request("a.B"), [&[0, 0, 0, 0, 5, 10, 3][..], b"a.B"].concat());
        let long = "x".repeat(300);
        let expected = [&[0, 0, 0, 1, 47, 10, 0xac, 2][..], long.as_bytes()].concat();
        assert_eq!(request(&long), expected);
    }

    #[track_caller]
    fn check(message: &[u8], expected: Option<&str>) {
        let len = u8::try_from(message.len()).unwrap();
        let body = [&[0, 0, 0, 0, len][..], message].concat();
        assert_eq!(health(&body).map(Health::name).as_deref(), expected);
    }

    #[test]
    fn an_answer_has_a_status_and_what_else_there_may_be() {
        check(&[], Some("UNKNOWN"));
        check(&[8, 1], Some("SERVING"));
        check(&[8, 2], Some("NOT_SERVING"));
        check(&[8, 3], Some("SERVICE_UNKNOWN"));
        check(&[8, 0xff, 1], Some("status 255"));
        check(&[18, 2, 8, 2, 8, 1], Some("SERVING"));
        check(&[21, 1, 2, 3, 4, 8, 1], Some("SERVING"));
        check(&[17, 1, 2, 3, 4, 5, 6, 7, 8, 8, 1], Some("SERVING"));
        check(&[8, 2, 8, 1], Some("SERVING"));
    }

    #[test]
    fn what_makes_no_sense_is_no_answer() {
        check(&[8], None);
        check(&[8, 0xff], None);
        check(&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], None);
        check(&[18, 9, 8, 1], None);
        check(&[11, 8, 1], None);
        assert_eq!(health(&[]), None);
        assert_eq!(health(&[1, 0, 0, 0, 2, 8, 1]), None);
        assert_eq!(health(&[0, 0, 0, 0, 1, 8, 1]), None);
        assert_eq!(health(&[0, 0xff, 0xff, 0xff, 0xff, 8, 1]), None);
    }

    #[test]
    fn words_are_decoded() {
        assert_eq!(percent_decoded(b"no%20such%3A %c3%A4"), "no such: ä");
        assert_eq!(percent_decoded(b"100% %zz %+1 %ff%2"), "100% %zz %+1 \u{fffd}%2");
    }

    #[test]
    fn statuses_have_names() {
        assert_eq!(status_name(5), "NOT_FOUND");
        assert_eq!(status_name(16), "UNAUTHENTICATED");
        assert_eq!(status_name(17), "gRPC status 17");
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = health(&bytes);
            let len = u8::try_from(bytes.len()).unwrap();
            let _ = health(&[&[0, 0, 0, 0, len][..], &bytes].concat());
            let _ = percent_decoded(&bytes);
        }
    }
}

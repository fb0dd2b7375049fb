//! What is wrong with a header that is no command, in words: which member of which command, and what it may be. Made only
//! once a header is refused. A function of values.
//!
//! serde's own errors are not enough for that: for a command of several kinds they name no member, and they speak of `u32` and
//! `string or map`. Its error type is made a value here, [`Complaint`], and each member is tried by itself; the deserializer of
//! JSON values that takes is the short [`Json`].

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, Deserialize, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use crate::command::{AbortStep, Command};

/// The most of a client's value that is said back to it, in characters.
const SAID_BACK: usize = 40;

/// Why this header, without its `id`, is no command.
pub(crate) fn words(header: &Map<String, Value>) -> String {
    blame::<Command>("command", header).unwrap_or_else(|| "the header is no command".to_owned())
}

/// Why `members` are no `T`, whose variants the member `tag` tells apart; `None` if they are one.
fn blame<'a, T: Deserialize<'a>>(tag: &'static str, members: &'a Map<String, Value>) -> Option<String> {
    let Some(kind) = members.get(tag) else { return Some(format!("\"{tag}\" is missing")) };
    let Some(name) = kind.as_str() else { return Some(format!("\"{tag}\" must be a string, not {}", said_back(kind))) };
    let complaint = |members: &[(&'a str, &'a Value)]| {
        let members = members.iter().map(|(name, value)| (*name, Json(value)));
        T::deserialize(MapDeserializer::new(members)).err()
    };
    if let Some(Complaint::Word(known)) = complaint(&[(tag, kind)]) {
        return Some(format!("there is no {tag} {}; there are: {}", said_back(kind), known.join(", ")));
    }
    // Each member by itself, so that it is known which one it is. What is missing comes after them.
    let wrong = members.iter().filter(|(member, _)| *member != tag).find_map(|(member, value)| match value {
        Value::Array(steps) if member == "steps" => in_steps(steps),
        _ => complaint(&[(tag, kind), (member, value)]).and_then(|complaint| complaint.of(member, value)),
    });
    let all: Vec<_> = members.iter().map(|(member, value)| (member.as_str(), value)).collect();
    let missing = || match complaint(&all) {
        Some(Complaint::Missing(member)) => Some(format!("\"{member}\" is missing")),
        _ => None,
    };
    wrong.or_else(missing).map(|problem| format!("{name}: {problem}"))
}

/// What is wrong with the steps of an abort sequence.
fn in_steps(steps: &[Value]) -> Option<String> {
    let problem = |step: &Value| match step {
        Value::Object(members) => blame::<AbortStep>("step", members),
        other => Some(format!("it must be an object, not {}", said_back(other))),
    };
    steps.iter().zip(1..).find_map(|(step, number)| Some(format!("step {number}: {}", problem(step)?)))
}

/// As JSON, but not all of what is long.
fn said_back(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SAID_BACK) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// What serde finds wrong, as a value.
#[derive(Debug)]
enum Complaint {
    /// This member is not there.
    Missing(&'static str),
    /// There is no such member; there are these.
    Unknown(&'static [&'static str]),
    /// It is none of these words.
    Word(&'static [&'static str]),
    /// It is not this.
    Value(String),
}

impl Complaint {
    /// In words, unless it is about another member than this one.
    fn of(self, member: &str, value: &Value) -> Option<String> {
        let name = said_back(&member.into());
        Some(match (self, value) {
            (Complaint::Missing(_), _) => return None,
            (Complaint::Unknown([]), _) => format!("there is no {name}, and nothing else to say"),
            (Complaint::Unknown(known), _) => format!("there is no {name}; there are: {}", known.join(", ")),
            (Complaint::Word(known), Value::Array(words)) => {
                let odd = words.iter().find(|word| !known.iter().any(|known| *word == known)).unwrap_or(value);
                format!("{name} may have {}, not {}", known.join(", "), said_back(odd))
            }
            (Complaint::Word(known), _) => {
                format!("{name} must be one of {}, not {}", known.join(", "), said_back(value))
            }
            (Complaint::Value(expected), _) => format!("{name} must be {expected}, not {}", said_back(value)),
        })
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Complaint {}

impl de::Error for Complaint {
    fn custom<T: fmt::Display>(expected: T) -> Complaint {
        Complaint::Value(expected.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Complaint {
        Complaint::Value(for_people(&expected.to_string()))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Complaint {
        Complaint::invalid_type(found, expected)
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Complaint {
        Complaint::Word(known)
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Complaint {
        Complaint::Unknown(known)
    }

    fn missing_field(member: &'static str) -> Complaint {
        Complaint::Missing(member)
    }
}

/// What serde calls a type.
fn for_people(expected: &str) -> String {
    let whole = |most: u64| format!("a whole number from 0 to {most}");
    match expected {
        "u8" => whole(u8::MAX.into()),
        "u16" => whole(u16::MAX.into()),
        "u32" => whole(u32::MAX.into()),
        "u64" => whole(u64::MAX),
        "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "string or map" => "a string".to_owned(),
        other => other.to_owned(),
    }
}

/// A JSON value to be understood, with complaints that are values too.
#[derive(Debug, Clone, Copy)]
struct Json<'a>(&'a Value);

impl<'de> Deserializer<'de> for Json<'de> {
    type Error = Complaint;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Complaint> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (_, Some(value)) => visitor.visit_i64(value),
                _ => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(list) => visitor.visit_seq(SeqDeserializer::new(list.iter().map(Json))),
            Value::Object(members) => {
                let members = members.iter().map(|(name, value)| (name.as_str(), Json(value)));
                visitor.visit_map(MapDeserializer::new(members))
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Complaint> for Json<'de> {
    type Deserializer = Json<'de>;

    fn into_deserializer(self) -> Json<'de> {
        self
    }
}

#[cfg(test)]
mod tests {
    use crate::{Frame, Request, RequestError};

    fn refusal(line: &str) -> String {
        let header = serde_json::from_str(line).expect("a JSON object");
        match Request::from_frame(Frame { header, payload: vec![] }) {
            Err(RequestError::BadCommand { id: 3, problem }) => problem,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_refusal_names_the_command_the_member_and_what_it_may_be() {
        for (header, words) in [
            (r#""read","length":"x""#, r#"read: "length" must be a whole number from 0 to 4294967295, not "x""#),
            (r#""read","length":-1"#, r#"read: "length" must be a whole number from 0 to 4294967295, not -1"#),
            (r#""read","length":1.5"#, r#"read: "length" must be a whole number from 0 to 4294967295, not 1.5"#),
            (r#""read","length":null"#, r#"read: "length" must be a whole number from 0 to 4294967295, not null"#),
            (r#""read","length":1,"timeout":"2""#, r#"read: "timeout" must be a number, not "2""#),
            (r#""read","timeout":"2""#, r#"read: "timeout" must be a number, not "2""#),
            (r#""open","device":"a","event":256"#, r#"open: "event" must be a whole number from 0 to 255, not 256"#),
            (r#""open","device":7"#, r#"open: "device" must be a string, not 7"#),
            (
                r#""usb-request","value":65536"#,
                r#"usb-request: "value" must be a whole number from 0 to 65535, not 65536"#,
            ),
            (r#""lock","wait":1"#, r#"lock: "wait" must be true or false, not 1"#),
            (
                r#""cancel-pipe","pipe":"bulk""#,
                r#"cancel-pipe: "pipe" must be one of event, read, write, control, all, not "bulk""#,
            ),
            (r#""cancel-pipe","pipe":3"#, r#"cancel-pipe: "pipe" must be a string, not 3"#),
            (
                r#""subscribe","events":["idle","hello"]"#,
                r#"subscribe: "events" may have arrival, removal, cancel-io, idle, unresponsive, not "hello""#,
            ),
            (r#""subscribe","events":"idle""#, r#"subscribe: "events" must be a list, not "idle""#),
        ] {
            assert_eq!(refusal(&format!(r#"{{"id":3,"command":{header}}}"#)), words);
        }
    }

    #[test]
    fn what_is_missing_or_unknown_is_said_with_what_there_is() {
        assert_eq!(refusal(r#"{"id":3}"#), r#""command" is missing"#);
        assert_eq!(refusal(r#"{"id":3,"command":[1]}"#), r#""command" must be a string, not [1]"#);
        let scan = refusal(r#"{"id":3,"command":"scan"}"#);
        assert!(scan.starts_with(r#"there is no command "scan"; there are: version, list, "#), "{scan}");
        assert_eq!(refusal(r#"{"id":3,"command":"read"}"#), r#"read: "length" is missing"#);
        let misspelt = refusal(r#"{"id":3,"command":"read","return-part":true}"#);
        assert_eq!(
            misspelt,
            r#"read: there is no "return-part"; there are: endpoint, length, offset, return-partial, timeout"#
        );
        let surplus = refusal(r#"{"id":3,"command":"version","all":true}"#);
        assert_eq!(surplus, r#"version: there is no "all", and nothing else to say"#);
    }

    #[test]
    fn of_an_abort_sequence_the_step_is_named() {
        for (steps, words) in [
            ("7", "\"steps\" must be a list, not 7"),
            ("[7]", "step 1: it must be an object, not 7"),
            ("[{}]", "step 1: \"step\" is missing"),
            (
                r#"[{"step":"drain","quiet":200,"timeout":2000},{"step":"wait"}]"#,
                r#"step 2: there is no step "wait"; there are: write, read, drain, drain-http, control, clear-halt"#,
            ),
            (r#"[{"step":"drain","quiet":200}]"#, r#"step 1: drain: "timeout" is missing"#),
            (
                r#"[{"step":"write","bytes":"1b4","timeout":5}]"#,
                r#"step 1: write: "bytes" must be pairs of hex digits, not "1b4""#,
            ),
        ] {
            let said = refusal(&format!(r#"{{"id":3,"command":"arm-abort","steps":{steps}}}"#));
            assert_eq!(said, format!("arm-abort: {words}"));
        }
    }

    #[test]
    fn little_is_said_back_of_what_is_long() {
        let long = "é".repeat(1000);
        for line in [
            format!(r#"{{"id":3,"command":"{long}"}}"#),
            format!(r#"{{"id":3,"command":"read","length":"{long}"}}"#),
            format!(r#"{{"id":3,"command":"read","{long}":1}}"#),
        ] {
            let words = refusal(&line);
            assert!(words.contains("ééé…") && words.len() < 700, "{words}");
        }
    }
}

//! usbscan-protocol(7), replayed: each example of the manual page that is marked `.\" replay` is said to a daemon with
//! one loopback device, and what the daemon answers must be what the page prints, byte by byte.
//!
//! In an example `->` is sent and `<-` expected; an indented line goes on with the one above. Hex digits in square
//! brackets are a payload; three dots in them a payload that is different each time, whose length the line before says.
//! `...` in an expected line stands for anything: process ids, what another example shows. Each example is a connection of
//! its own, in the order of the page; only one that is marked `replay hello` shows the daemon's greeting.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use usbscan_daemon::{Config, Running};
use usbscan_virtual::VirtualBus;

const PAGE: &str = include_str!("../../../man/usbscan-protocol.7");
/// A deadline that only a hang can reach.
const DEADLINE: Duration = Duration::from_secs(60);

/// One line of an example.
#[derive(Debug, PartialEq)]
enum Step {
    Say(Vec<u8>),
    Hear(String),
    HearBytes(Vec<u8>),
    HearAnyBytes,
}

#[derive(Debug)]
struct Example {
    greeting: bool,
    line: usize,
    lines: Vec<String>,
}

/// Undoes what roff needs: `\-` for `-`, `\e` for a backslash, `\(dq` for a quote.
fn plain(text: &str) -> String {
    text.replace("\\-", "-").replace("\\(dq", "\"").replace("\\e", "\\")
}

fn bytes_in_brackets(text: &str) -> Option<Vec<u8>> {
    let hex = text.strip_prefix('[')?.strip_suffix(']')?.replace(' ', "");
    usbscan_wire::HexBytes::parse(&hex).map(|bytes| bytes.0)
}

fn step(text: &str) -> Step {
    let text = plain(text);
    let (arrow, rest) = text.split_at(3);
    if text == "<- [...]" {
        return Step::HearAnyBytes;
    }
    match (arrow, bytes_in_brackets(rest)) {
        ("-> ", Some(bytes)) => Step::Say(bytes),
        ("-> ", None) => Step::Say(format!("{rest}\n").into_bytes()),
        ("<- ", Some(bytes)) => Step::HearBytes(bytes),
        ("<- ", None) => Step::Hear(rest.to_owned()),
        _ => panic!("neither -> nor <-: {text}"),
    }
}

fn examples() -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut inside = false;
    for (number, line) in PAGE.lines().enumerate() {
        if let Some(mark) = line.strip_prefix(".\\\" replay") {
            found.push(Example { greeting: mark.trim() == "hello", line: number + 1, lines: Vec::new() });
            inside = true;
        } else if line == ".EE" {
            inside = false;
        } else if inside && !line.starts_with('.') {
            let lines = &mut found.last_mut().expect("inside an example").lines;
            match line.strip_prefix("    ") {
                Some(more) => lines.last_mut().expect("goes on with something").push_str(more),
                None => lines.push(line.to_owned()),
            }
        }
    }
    found
}

/// Whether `heard` is `pattern` with something for each `...`.
fn matches(pattern: &str, heard: &str) -> bool {
    let mut parts = pattern.split("...");
    let Some(mut rest) = heard.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    for (i, part) in parts.iter().enumerate() {
        let at = if i + 1 == parts.len() { rest.len().checked_sub(part.len()) } else { rest.find(part) };
        match at {
            Some(at) if rest.is_char_boundary(at) && rest[at..].starts_with(part) => rest = &rest[at + part.len()..],
            _ => return false,
        }
    }
    rest.is_empty()
}

/// Gives back the length of the payload that follows.
fn hear_line(reader: &mut impl BufRead, pattern: &str, line: usize) -> usize {
    let mut heard = String::new();
    reader.read_line(&mut heard).expect("the daemon answers");
    let heard = heard.trim_end_matches('\n');
    assert!(matches(pattern, heard), "example at line {line} of the page\n page: {pattern}\nheard: {heard}");
    let header: serde_json::Value = serde_json::from_str(heard).expect("a header");
    header["payload"].as_u64().unwrap_or_default() as usize
}

fn replay(stream: UnixStream, example: &Example) {
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    if !example.greeting {
        hear_line(&mut reader, "{\"event\":\"hello\",...}", example.line);
    }
    let mut payload = 0;
    for step in example.lines.iter().map(|line| step(line)) {
        match step {
            Step::Say(bytes) => (&stream).write_all(&bytes).expect("the daemon listens"),
            Step::Hear(pattern) => payload = hear_line(&mut reader, &pattern, example.line),
            Step::HearAnyBytes => reader.read_exact(&mut vec![0; payload]).expect("the payload"),
            Step::HearBytes(expected) => {
                let mut heard = vec![0; expected.len()];
                reader.read_exact(&mut heard).expect("the payload");
                assert_eq!(heard, expected, "example at line {} of the page", example.line);
            }
        }
    }
}

#[test]
fn every_example_of_the_protocol_page_is_what_the_daemon_says() {
    let bus = VirtualBus::new();
    bus.plug_spec("loopback").expect("the loopback");
    let running = Running::start(Config::default(), vec![Arc::new(bus)]).expect("a daemon");
    let examples = examples();
    assert!(examples.len() >= 6, "the page has its examples");
    for example in &examples {
        replay(running.connect().expect("a connection"), example);
    }
    running.stop(DEADLINE);
}

/// The names of all commands, which the refusal of one that there is not lists.
fn commands() -> Vec<String> {
    let refusal = serde_json::from_str::<usbscan_wire::Command>("{\"command\":\"?\"}")
        .expect_err("there is none such")
        .to_string();
    refusal.split('`').skip(1).step_by(2).filter(|name| *name != "?").map(str::to_owned).collect()
}

#[test]
fn every_command_is_said_in_an_example() {
    let said: Vec<String> = examples().iter().flat_map(|example| &example.lines).map(|line| plain(line)).collect();
    let commands = commands();
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        let words = format!("\"command\":\"{command}\"");
        assert!(said.iter().any(|line| line.starts_with("-> ") && line.contains(&words)), "{command}");
    }
}

#[test]
fn an_example_is_read_without_its_roff() {
    assert_eq!(step("-> {\"a\":\"cancel\\-pipe\"}"), Step::Say(b"{\"a\":\"cancel-pipe\"}\n".to_vec()));
    assert_eq!(step("<- [1b 40]"), Step::HearBytes(vec![0x1b, 0x40]));
    assert!(matches("{\"pid\":...,\"x\":1}", "{\"pid\":4711,\"x\":1}"));
    assert!(!matches("{\"pid\":...,\"x\":1}", "{\"pid\":4711,\"x\":2}"));
    assert!(!matches("{\"x\":1}", "{\"x\":1,\"y\":2}"));
}

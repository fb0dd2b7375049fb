//! Stands between `usbscan` and the daemon, and has the program killed when a certain message passes: so a death at a
//! certain point of a dialogue needs no luck. Messages pass unchanged.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use crossbeam_channel::{Sender, unbounded};

use crate::rig::eventually;

/// When the program is killed. Messages count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    /// When the daemon has this request of it.
    AfterRequest(usize),
    /// When the daemon has answered this request, before the program receives the answer.
    AfterAnswer(usize),
}

/// A read of more asks for image; the answers to commands are shorter.
const SHORT: u64 = 2048;

/// What a program asked until its end.
#[derive(Debug, Default)]
pub struct Sent {
    pub requests: usize,
    /// Which of them ask for a block of image.
    pub blocks: Vec<usize>,
}

/// A socket on the way to another.
pub struct Proxy {
    listener: UnixListener,
    daemon: UnixStream,
    kill: Option<Kill>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passed {
    /// What passes next asks for a block of image.
    Block,
    Request(usize),
    Answer(usize),
    Over,
}

impl Proxy {
    pub fn start(path: &Path, daemon: &Path, kill: Option<Kill>) -> Proxy {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).expect("a socket for the proxy");
        let daemon = UnixStream::connect(daemon).expect("the daemon listens");
        Proxy { listener, daemon, kill }
    }

    /// The program, unless it dies before it connects.
    fn accept(&self) -> UnixStream {
        self.listener.set_nonblocking(true).expect("a socket");
        let mut client = None;
        eventually("the program connects", || {
            client = self.listener.accept().ok();
            client.is_some()
        });
        let (client, _) = client.expect("it has");
        client.set_nonblocking(false).expect("a socket");
        client
    }

    /// Passes messages between the program and the daemon until the program is gone, and notes its requests. `kill`
    /// kills it.
    pub fn serve(self, kill: impl FnOnce()) -> Sent {
        let client = self.accept();
        let (tell, told) = unbounded();
        let requests = pass(&client, &self.daemon, self.kill, Passed::Request, tell.clone());
        let answers = pass(&self.daemon, &client, self.kill, Passed::Answer, tell);
        let mut sent = Sent::default();
        let mut kill = Some(kill);
        for passed in &told {
            match passed {
                Passed::Request(number) => sent.requests = number,
                Passed::Block => sent.blocks.push(sent.requests + 1),
                Passed::Answer(_) | Passed::Over => {}
            }
            let now = match self.kill {
                Some(Kill::AfterRequest(number)) => passed == Passed::Request(number),
                Some(Kill::AfterAnswer(number)) => passed == Passed::Answer(number),
                None => false,
            };
            if let Some(kill) = kill.take_if(|_| now) {
                kill();
                // As the kernel does with the socket of a dead program.
                let _ = (client.shutdown(Shutdown::Both), self.daemon.shutdown(Shutdown::Both));
            }
        }
        let _ = (requests.join(), answers.join());
        sent
    }
}

/// Copies messages from one to the other on a thread, and tells of each. The one at which the program is killed is the
/// last that passes.
fn pass(
    from: &UnixStream,
    to: &UnixStream,
    kill: Option<Kill>,
    name: fn(usize) -> Passed,
    tell: Sender<Passed>,
) -> thread::JoinHandle<()> {
    let mut from = BufReader::new(from.try_clone().expect("a descriptor"));
    let mut to = to.try_clone().expect("a descriptor");
    let last = match (kill, name(0)) {
        (Some(Kill::AfterRequest(number)), Passed::Request(_)) => Some(number),
        (Some(Kill::AfterAnswer(number)), Passed::Answer(_)) => Some(number),
        _ => None,
    };
    thread::spawn(move || {
        let mut count = 0;
        while let Some(Message { bytes, counts, asks_for_a_block }) = message(&mut from) {
            count += usize::from(counts);
            // A request is killed for when the daemon has it, an answer before the program has it.
            let held_back = counts && last == Some(count) && matches!(name(0), Passed::Answer(_));
            if !held_back && to.write_all(&bytes).is_err() {
                break;
            }
            if asks_for_a_block {
                let _ = tell.send(Passed::Block);
            }
            if counts {
                let _ = tell.send(name(count));
            }
            if counts && last == Some(count) {
                break;
            }
        }
        // The last request of a program that is killed: the connection ends with the program, not before.
        if last != Some(count) {
            let _ = to.shutdown(Shutdown::Write);
        }
        let _ = tell.send(Passed::Over);
    })
}

struct Message {
    bytes: Vec<u8>,
    /// Events do not.
    counts: bool,
    asks_for_a_block: bool,
}

fn message(from: &mut BufReader<UnixStream>) -> Option<Message> {
    let mut bytes = Vec::new();
    from.read_until(b'\n', &mut bytes).ok().filter(|length| *length > 0)?;
    let header: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let payload = header["payload"].as_u64().unwrap_or(0);
    from.take(payload).read_to_end(&mut bytes).ok()?;
    let asks_for_a_block = header["command"] == "read" && header["length"].as_u64().is_some_and(|n| n > SHORT);
    Some(Message { bytes, counts: header["event"].is_null(), asks_for_a_block })
}

//! A program that a test started: what it printed so far, how it ended, and its end at the latest with the test.
//!
//! Two threads of a running program read its output, so that it never waits for us; one waits for its end.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before it counts as hung. The guest is emulated, so it is slow.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// What a program wrote on one of its outputs, growing.
#[derive(Default)]
struct Output {
    text: Mutex<Written>,
    grew: Condvar,
}

#[derive(Default)]
struct Written {
    text: String,
    /// Nobody writes there any more.
    is_over: bool,
}

impl Output {
    fn read_from(self: Arc<Output>, mut source: impl Read + Send + 'static) -> JoinHandle<()> {
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = source.read(&mut chunk) {
                self.text.lock().text.push_str(&String::from_utf8_lossy(&chunk[..length]));
                self.grew.notify_all();
            }
            self.text.lock().is_over = true;
            self.grew.notify_all();
        })
    }
}

/// How a program ended, with all that it said.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A program while it runs.
pub struct Program {
    name: String,
    pid: Pid,
    stdin: Option<ChildStdin>,
    stdout: Arc<Output>,
    stderr: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
    ended: Receiver<ExitStatus>,
    status: Option<ExitStatus>,
    reaped: bool,
}

impl Program {
    /// Starts it, all its output being collected.
    pub fn start(command: &mut Command) -> Program {
        let (mut program, stdout) = Program::start_unread(command);
        program.readers.push(Arc::clone(&program.stdout).read_from(stdout));
        program
    }

    /// Starts it with standard output left to the caller, who may let it wait.
    pub fn start_unread(command: &mut Command) -> (Program, ChildStdout) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let stdout = child.stdout.take().expect("it was asked for");
        let stderr = Arc::new(Output::default());
        let program = Program {
            name: format!("{command:?}"),
            pid: Pid::from_child(&child),
            stdin: child.stdin.take(),
            stdout: Arc::default(),
            readers: vec![Arc::clone(&stderr).read_from(child.stderr.take().expect("it was asked for"))],
            stderr,
            ended: wait_for(child),
            status: None,
            reaped: false,
        };
        (program, stdout)
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it lives");
        writeln!(stdin, "{line}").unwrap_or_else(|error| panic!("{} does not listen: {error}", self.name));
    }

    /// Waits until its standard output has this text, `count` times; not longer than the program writes there.
    pub fn wait_for_words(&self, words: &str, count: usize) {
        let mut out = self.stdout.text.lock();
        while out.text.matches(words).count() < count {
            let late = out.is_over || self.stdout.grew.wait_for(&mut out, DEADLINE).timed_out();
            let (name, text, errors) = (&self.name, &out.text, &self.stderr);
            assert!(!late, "{name} never said {words:?}; it said {text:?} and {:?}", errors.text.lock().text);
        }
    }

    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap_or_else(|error| panic!("{} is not there: {error}", self.name));
    }

    /// Sends it a signal, if it has not ended.
    #[allow(dead_code)]
    pub fn try_signal(&self, signal: Signal) {
        let _ = kill_process(self.pid, signal);
    }

    /// Whether it ends within this time, for those of which nobody knows. It is still to be waited for with `end`.
    #[allow(dead_code)]
    pub fn ends_within(&mut self, time: Duration) -> bool {
        self.status = self.status.or_else(|| self.ended.recv_timeout(time).ok());
        self.status.is_some()
    }

    /// Waits for its own end.
    pub fn end(mut self) -> Ended {
        let status = self.status.or_else(|| self.ended.recv_timeout(DEADLINE).ok()).unwrap_or_else(|| {
            panic!(
                "{} does not end; it said {:?} and {:?}",
                self.name,
                self.stdout.text.lock().text,
                self.stderr.text.lock().text
            )
        });
        self.reaped = true;
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader does not panic");
        }
        let take = |output: &Output| std::mem::take(&mut output.text.lock().text);
        Ended { code: status.code(), stdout: take(&self.stdout), stderr: take(&self.stderr) }
    }
}

/// A program that the test has not seen end is ended now. After a failure it also shows what it said.
impl Drop for Program {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = kill_process(self.pid, Signal::KILL);
        }
        if thread::panicking() {
            eprintln!("---- {} ----\n{}{}", self.name, self.stdout.text.lock().text, self.stderr.text.lock().text);
        }
    }
}

fn wait_for(mut child: Child) -> Receiver<ExitStatus> {
    let (tell, ended) = bounded(1);
    thread::spawn(move || {
        let status = child.wait().expect("a child can be waited for");
        // Nobody listens any more after a failure.
        let _ = tell.send(status);
    });
    ended
}

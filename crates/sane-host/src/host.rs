//! The main thread: does what is asked, one thing after the other, and answers.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use usbscan_sane_protocol::{Call, Reply, Request, Unusable, status};

use crate::abi;
use crate::backend::Backend;
use crate::control::Control;
use crate::options::Options;

/// Bytes that are read at once.
const BLOCK: usize = 64 * 1024;
/// So long bytes are gathered: some backends read a line at a time, and others a packet.
const GATHERING: Duration = Duration::from_millis(20);
/// Before a backend that has nothing yet is asked again.
const PAUSE: Duration = Duration::from_millis(1);

/// A scanner that is open, and how far a page of it is.
struct Opened {
    backend: Backend,
    handle: abi::Handle,
    /// `sane_start` was called, and `sane_cancel` not yet.
    in_page: bool,
    /// A frame has begun, and `sane_read` has not said yet that it is over.
    in_frame: bool,
}

/// See the head of this file.
pub struct Host<'a> {
    name: &'a str,
    replies: UnixStream,
    control: Arc<Control>,
    opened: Option<Opened>,
}

/// Bytes of a frame that go out together.
#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    since: Option<Instant>,
}

impl Block {
    /// Adds some. Whether it is time to send them.
    fn add(&mut self, bytes: &[u8]) -> bool {
        self.bytes.extend_from_slice(bytes);
        let since = *self.since.get_or_insert_with(Instant::now);
        self.bytes.len() >= BLOCK || since.elapsed() >= GATHERING
    }

    fn send(&mut self, to: &mut UnixStream) -> io::Result<()> {
        self.since = None;
        if self.bytes.is_empty() {
            return Ok(());
        }
        let data = Reply::Data { bytes: std::mem::take(&mut self.bytes) };
        data.write_to(to)?;
        if let Reply::Data { bytes } = data {
            self.bytes = bytes;
            self.bytes.clear();
        }
        Ok(())
    }
}

/// Why there is no answer but a failure.
enum Failure {
    Status(Call, abi::Status),
    Unusable(Unusable),
}

impl From<Unusable> for Failure {
    fn from(reason: Unusable) -> Failure {
        Failure::Unusable(reason)
    }
}

impl Host<'_> {
    /// With nothing loaded.
    pub fn new(name: &str, replies: UnixStream, control: Arc<Control>) -> Host<'_> {
        Host { name, replies, control, opened: None }
    }

    /// Serves until the program is gone, or wants no more. Then ends everything in order.
    pub fn serve(&mut self, requests: &Receiver<Request>) {
        while let Ok(request) = requests.recv() {
            if self.answer(&request).is_err() {
                break;
            }
        }
        self.close();
    }

    fn answer(&mut self, request: &Request) -> io::Result<()> {
        let cancelled = self.control.dropin().cancelled();
        let reply = match request {
            Request::Open {} => self.open(),
            Request::Set { option, value } => self.set(*option, value),
            Request::Parameters {} => self.parameters(),
            Request::Start {} => self.start(),
            Request::Read {} => self.read()?,
            Request::Finish {} => {
                self.finish();
                Ok(Reply::Finished {})
            }
            // Without one under way any more there is nothing to say.
            Request::Cancel {} if !self.control.is_to_end() => return Ok(()),
            Request::Cancel {} => Ok(Reply::Finished {}),
        };
        if self.control.is_to_end() {
            self.finish();
            return if self.control.end_cancel() { Reply::Cancelled {}.write_to(&mut self.replies) } else { Ok(()) };
        }
        let reply = reply.unwrap_or_else(|failure| match failure {
            Failure::Status(call, status) => {
                Reply::Failed { call, status, cancelled: self.control.dropin().cancelled() > cancelled }
            }
            Failure::Unusable(reason) => Reply::Unusable { reason },
        });
        reply.write_to(&mut self.replies)
    }

    fn open(&mut self) -> Result<Reply, Failure> {
        self.close();
        let backend = self.control.call(|| Backend::load(self.name))?;
        match self.control.call(|| backend.init()) {
            status::GOOD => {}
            status => return Err(Failure::Status(Call::SaneInit, status)),
        }
        let found = self.control.call(|| backend.first_device());
        let opened = match found {
            Ok(Some((name, device))) => match self.control.call(|| backend.open(&name)) {
                Ok(handle) => Ok((handle, device)),
                Err(status) => Err(Failure::Status(Call::SaneOpen, status)),
            },
            Ok(None) => Err(Failure::Unusable(Unusable::NoDevice)),
            Err(status) => Err(Failure::Status(Call::SaneGetDevices, status)),
        };
        match opened {
            Ok((handle, device)) => {
                let opened = self.opened.insert(Opened { backend, handle, in_page: false, in_frame: false });
                let options = Options { backend: &opened.backend, handle };
                let options = self.control.call(|| options.all());
                Ok(Reply::Opened { device, options })
            }
            Err(failure) => {
                self.control.ending(|| backend.exit());
                Err(failure)
            }
        }
    }

    fn opened(&mut self, call: Call) -> Result<&mut Opened, Failure> {
        self.opened.as_mut().ok_or(Failure::Status(call, status::INVALID))
    }

    fn set(&mut self, option: u32, value: &usbscan_sane_protocol::Value) -> Result<Reply, Failure> {
        let control = self.control.clone();
        let opened = self.opened(Call::SaneControlOption)?;
        let options = Options { backend: &opened.backend, handle: opened.handle };
        let (status, info) = control.call(|| options.set(option, value));
        if status != status::GOOD {
            return Err(Failure::Status(Call::SaneControlOption, status));
        }
        let changed = control.call(|| match info & abi::INFO_RELOAD_OPTIONS {
            0 => options.one(option).into_iter().collect(),
            _ => options.all(),
        });
        Ok(Reply::Options { inexact: info & abi::INFO_INEXACT != 0, options: changed })
    }

    fn parameters(&mut self) -> Result<Reply, Failure> {
        let control = self.control.clone();
        let opened = self.opened(Call::SaneGetParameters)?;
        let parameters = control.call(|| opened.backend.parameters(opened.handle));
        parameters.map(Reply::Parameters).map_err(|status| Failure::Status(Call::SaneGetParameters, status))
    }

    fn start(&mut self) -> Result<Reply, Failure> {
        let control = self.control.clone();
        let opened = self.opened(Call::SaneStart)?;
        opened.in_page = true;
        match control.call(|| opened.backend.start(opened.handle)) {
            status::GOOD => {
                opened.in_frame = true;
                self.parameters()
            }
            status => Err(Failure::Status(Call::SaneStart, status)),
        }
    }

    /// Hands the frame on as it comes.
    fn read(&mut self) -> io::Result<Result<Reply, Failure>> {
        let control = self.control.clone();
        let Some(opened) = &mut self.opened else { return Ok(Err(Failure::Status(Call::SaneRead, status::INVALID))) };
        let mut block = Block::default();
        let mut room = vec![0; BLOCK];
        while !control.is_to_end() {
            let (status, count) = control.call(|| opened.backend.read(opened.handle, &mut room));
            opened.in_frame = status == status::GOOD;
            if block.add(&room[..count]) || !opened.in_frame {
                block.send(&mut self.replies)?;
            }
            match (status, count) {
                (status::GOOD, 0) => thread::sleep(PAUSE),
                (status::GOOD, _) => {}
                (status::EOF, _) => return Ok(Ok(Reply::End {})),
                (status, _) => return Ok(Err(Failure::Status(Call::SaneRead, status))),
            }
        }
        Ok(Ok(Reply::End {}))
    }

    /// Ends the page that is under way, if one is. Of a frame that is not over some backends only note in `sane_cancel` that it is
    /// to end, and end it in the `sane_read` that follows: so it does with every frontend.
    fn finish(&mut self) {
        let Some(opened) = self.opened.as_mut().filter(|opened| opened.in_page) else { return };
        opened.in_page = false;
        let cancel = || self.control.ending(|| opened.backend.cancel(opened.handle));
        cancel();
        if std::mem::take(&mut opened.in_frame) {
            let mut rest = vec![0; BLOCK];
            while let (status::GOOD, count) = self.control.ending(|| opened.backend.read(opened.handle, &mut rest)) {
                if count == 0 {
                    thread::sleep(PAUSE);
                }
            }
            cancel();
        }
    }

    fn close(&mut self) {
        self.finish();
        if let Some(opened) = self.opened.take() {
            self.control.ending(|| opened.backend.close(opened.handle));
            self.control.ending(|| opened.backend.exit());
        }
    }
}

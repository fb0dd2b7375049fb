//! One device served to one USB/IP client over one connection.
//!
//! Threads: the reader (`usbip read`) takes commands and hands them to the device's [`Port`]; the port's
//! own thread gives transfers back; the writer (`usbip write`) sends answers. The table's lock orders
//! answers and is held over no I/O.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use usbscan_usb::EndpointAddress;
use usbscan_virtual::{Event, Model, Moved, Port};

use crate::table::{Begin, Unlink, UrbTable};
use crate::usbip::{Answer, HEADER, ProtocolError, Submit, UsbipCommand, errno};

/// A stream of bytes both ways: a socket to this kernel, or to another machine.
pub trait ByteStream: Read + Write + Send + Sized + 'static {
    /// A second handle on the same connection.
    fn second(&self) -> io::Result<Self>;
    /// Ends it for all handles.
    fn hang_up(&self);
}

impl ByteStream for UnixStream {
    fn second(&self) -> io::Result<UnixStream> {
        self.try_clone()
    }

    fn hang_up(&self) {
        // It may have been ended by the other side.
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl ByteStream for TcpStream {
    fn second(&self) -> io::Result<TcpStream> {
        self.try_clone()
    }

    fn hang_up(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

/// What the writer does next.
#[derive(Debug)]
enum Outgoing {
    Bytes(Vec<u8>),
    /// The device is gone, and all its answers are above.
    HangUp,
}

#[derive(Debug)]
struct ServerState {
    table: Mutex<UrbTable>,
    /// The device, when it has left in a reset to come back.
    moved: Mutex<Option<Moved>>,
    reset: Mutex<ResetUnderWay>,
    outgoing: Sender<Outgoing>,
}

/// A device that leaves in a reset is hung up when the request is answered that is the sign of it: the kernel would wait for that
/// for seconds.
#[derive(Debug, Default)]
struct ResetUnderWay {
    is_it: bool,
    has_left: bool,
}

impl ServerState {
    /// The device is gone.
    fn left(&self) {
        let mut reset = self.reset.lock();
        if reset.is_it {
            reset.has_left = true;
        } else {
            // Without a writer the connection is over already.
            let _ = self.outgoing.send(Outgoing::HangUp);
        }
    }

    /// Resets the port; `false` when the device has left in that.
    fn reset(&self, port: &Port) -> bool {
        *self.reset.lock() = ResetUnderWay { is_it: true, has_left: false };
        let is_there = port.reset().is_ok();
        let reset = std::mem::take(&mut *self.reset.lock());
        is_there && !reset.has_left
    }

    /// Queues answers in the order in which the table decided on them: call it with the table's lock held.
    fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        for answer in answers {
            // Without a writer there is no client.
            let _ = self.outgoing.send(Outgoing::Bytes(answer.to_bytes()));
        }
    }
}

/// A device being served. Dropping it unplugs the device and waits for the threads.
#[derive(Debug)]
pub struct Served<C: ByteStream> {
    connection: C,
    threads: Vec<JoinHandle<()>>,
}

impl<C: ByteStream> Served<C> {
    /// Serves `model` on `connection`, from the first command on. `over` is told when the device is gone
    /// or the client is, and gets the device where it is to be plugged in again.
    ///
    /// # Errors
    /// When the connection can't be shared between threads.
    pub fn start(
        model: Box<dyn Model>,
        connection: C,
        over: impl FnOnce(Option<Moved>) + Send + 'static,
    ) -> io::Result<Served<C>> {
        let (reading, writing) = (connection.second()?, connection.second()?);
        let (outgoing, outbox) = unbounded();
        let state = Arc::new(ServerState {
            table: Mutex::default(),
            moved: Mutex::default(),
            reset: Mutex::default(),
            outgoing,
        });
        let sink_state = Arc::downgrade(&state);
        let port = Port::plug("usbip", model, move |event| match event {
            Event::Completed(given) => {
                let Some(state) = sink_state.upgrade() else { return };
                let mut table = state.table.lock();
                let answers = table.completed(given);
                state.answer(answers);
            }
            Event::Moved(moved) => {
                let Some(state) = sink_state.upgrade() else { return };
                *state.moved.lock() = Some(moved);
                state.left();
            }
            Event::Unplugged => {
                if let Some(state) = sink_state.upgrade() {
                    state.left();
                }
            }
        });
        let writer = spawn("usbip write", move || write_all(writing, &outbox));
        let reader = spawn("usbip read", move || {
            if let Err(error) = read_all(reading, &port, &state) {
                log::debug!("the client is gone: {error}");
            }
            // The port gives everything back before the writer's channel closes.
            drop(port);
            let moved = state.moved.lock().take();
            drop(state);
            over(moved);
        });
        Ok(Served { connection, threads: vec![reader, writer] })
    }
}

impl<C: ByteStream> Drop for Served<C> {
    fn drop(&mut self) {
        self.connection.hang_up();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a thread of the USB/IP server panicked");
            }
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().name(name.to_owned()).spawn(run).expect("the system can start a thread")
}

fn write_all(mut connection: impl ByteStream, outbox: &Receiver<Outgoing>) {
    for outgoing in outbox {
        let sent = match outgoing {
            Outgoing::Bytes(bytes) => connection.write_all(&bytes),
            Outgoing::HangUp => return connection.hang_up(),
        };
        if let Err(error) = sent {
            log::debug!("an answer could not be sent: {error}");
            return connection.hang_up();
        }
    }
}

fn protocol(error: ProtocolError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Carries out commands until the client is gone.
fn read_all(connection: impl ByteStream, port: &Port, state: &ServerState) -> io::Result<()> {
    let mut connection = BufReader::with_capacity(64 * 1024, connection);
    let mut configured = false;
    loop {
        let mut header = [0; HEADER];
        connection.read_exact(&mut header)?;
        match UsbipCommand::parse(&header).map_err(protocol)? {
            UsbipCommand::Submit(submit) => {
                let mut data = vec![0; submit.data_length()];
                connection.read_exact(&mut data)?;
                begin(port, state, &submit, data, &mut configured);
            }
            UsbipCommand::Unlink { sequence, victim } => {
                let mut table = state.table.lock();
                match table.unlink(sequence, victim).map_err(protocol)? {
                    Unlink::Answer(answer) => state.answer([answer]),
                    Unlink::Cancel(id) => port.cancel(id),
                    Unlink::Wait => {}
                }
            }
        }
    }
}

/// The signs of a reset come more than once, and when the device is plugged in too: the first behind a SET_CONFIGURATION
/// counts.
fn begin(port: &Port, state: &ServerState, submit: &Submit, data: Vec<u8>, configured: &mut bool) {
    if UrbTable::follows_a_reset(submit) && std::mem::take(configured) && !state.reset(port) {
        log::debug!("the device has left in a reset");
        let gone = Answer::Submit { sequence: submit.sequence, status: -errno::ESHUTDOWN, actual: 0, data: Vec::new() };
        state.answer([gone]);
        let _ = state.outgoing.send(Outgoing::HangUp);
        return;
    }
    *configured |= UrbTable::configures(submit);
    let mut table = state.table.lock();
    match table.submit(submit, data, packet_size(port, submit.endpoint)) {
        Begin::Answer(answers) => state.answer(answers),
        Begin::Submit(urbs) => urbs.into_iter().for_each(|urb| port.submit(urb)),
    }
}

fn packet_size(port: &Port, endpoint: EndpointAddress) -> usize {
    let mut endpoints = port.descriptors().configuration.interfaces.iter().flat_map(|i| &i.endpoints);
    endpoints.find(|e| e.address == endpoint).map_or(64, |e| usize::from(e.max_packet_size))
}

#[cfg(test)]
mod tests;

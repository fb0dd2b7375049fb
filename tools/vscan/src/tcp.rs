//! Offering a device to other machines (or this one's `usbip attach`) over TCP: one at a time, named `1-1`.
//!
//! A thread a client of those that only ask; the one that imports has the device until it hangs up.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use usbscan_virtual::{Descriptors, Model, SpecError};

use crate::serve::Served;
use crate::usbip::{self, BUS_ID, OPERATION, Operation};

/// The device's name among those offered: there is but one.
const NAME: &str = "1-1";
/// How long a client may take to say what it wants.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Makes a fresh device for each client that imports one.
pub type Factory = Box<dyn Fn() -> Result<Box<dyn Model>, SpecError> + Send + Sync>;

struct Offer {
    make: Factory,
    descriptors: Descriptors,
    served: Mutex<Option<Served<TcpStream>>>,
    stopping: AtomicBool,
}

/// An exported device. Dropping it ends the export and unplugs it from its client.
pub struct Offered {
    offer: Arc<Offer>,
    pub address: SocketAddr,
    listener: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Offered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offered").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Listens at `address`. The outer error is of the socket, the inner one of the description.
pub fn offer(make: Factory, address: SocketAddr) -> Result<Offered, OfferError> {
    let descriptors = make()?.descriptors().clone();
    let socket = TcpListener::bind(address).map_err(|source| OfferError::Listen { address, source })?;
    let address = socket.local_addr().map_err(|source| OfferError::Listen { address, source })?;
    let offer = Arc::new(Offer { make, descriptors, served: Mutex::new(None), stopping: AtomicBool::new(false) });
    let listening = offer.clone();
    let listener = thread::Builder::new()
        .name("usbip listen".to_owned())
        .spawn(move || listen(&socket, &listening))
        .expect("the system can start a thread");
    Ok(Offered { offer, address, listener: Some(listener) })
}

/// Why a device can't be offered.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The address can't be had.
    #[error("listen at {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
}

impl Drop for Offered {
    fn drop(&mut self) {
        self.offer.stopping.store(true, Ordering::Release);
        // Accepting can't be interrupted from here but by a client.
        drop(TcpStream::connect(self.address));
        if self.listener.take().is_some_and(|listener| listener.join().is_err()) {
            log::error!("the listener panicked");
        }
        let served = self.offer.served.lock().take();
        drop(served);
    }
}

fn listen(socket: &TcpListener, offer: &Arc<Offer>) {
    for client in socket.incoming() {
        if offer.stopping.load(Ordering::Acquire) {
            return;
        }
        match client.and_then(|client| welcome(client, offer)) {
            Ok(()) => {}
            Err(error) => log::info!("a client: {error}"),
        }
    }
}

/// Answers operations until the client imports the device or hangs up. Clients are few and quick, so
/// they are heard one after another.
fn welcome(mut client: TcpStream, offer: &Arc<Offer>) -> io::Result<()> {
    client.set_read_timeout(Some(TIMEOUT))?;
    client.set_nodelay(true)?;
    let mut head = [0; OPERATION];
    client.read_exact(&mut head)?;
    let operation = Operation::parse(&head).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    match operation {
        Operation::List => client.write_all(&usbip::list_answer(NAME, &offer.descriptors)),
        Operation::Import => import(client, offer),
    }
}

fn import(mut client: TcpStream, offer: &Arc<Offer>) -> io::Result<()> {
    let mut name = [0; BUS_ID];
    client.read_exact(&mut name)?;
    let asked = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut served = offer.served.lock();
    if asked != NAME.as_bytes() || served.is_some() {
        return client.write_all(&usbip::import_answer(NAME, None));
    }
    let model = (offer.make)().map_err(io::Error::other)?;
    client.write_all(&usbip::import_answer(NAME, Some(&offer.descriptors)))?;
    client.set_read_timeout(None)?;
    let over = Arc::downgrade(offer);
    *served = Some(Served::start(model, client, move |_moved| {
        let Some(offer) = over.upgrade() else { return };
        // The server can't wait for its own thread, which this is.
        thread::spawn(move || drop(offer.served.lock().take()));
    })?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use usbscan_virtual::spec;

    use super::*;

    fn offered() -> Offered {
        let address = "127.0.0.1:0".parse().expect("an address");
        offer(Box::new(|| spec::parse("loopback")), address).expect("it listens")
    }

    fn ask(offered: &Offered, bytes: &[u8]) -> TcpStream {
        let mut client = TcpStream::connect(offered.address).expect("it listens");
        client.set_read_timeout(Some(Duration::from_secs(60))).expect("a deadline");
        client.write_all(bytes).expect("it reads");
        client
    }

    fn import_of(name: &str) -> Vec<u8> {
        let mut bytes = vec![1, 0x11, 0x80, 3, 0, 0, 0, 0];
        bytes.extend(name.bytes());
        bytes.resize(OPERATION + BUS_ID, 0);
        bytes
    }

    #[test]
    fn the_device_is_listed() {
        let offered = offered();
        let mut list = Vec::new();
        ask(&offered, &[1, 0x11, 0x80, 5, 0, 0, 0, 0]).read_to_end(&mut list).expect("a list");
        assert_eq!(list.len(), 8 + 4 + 312 + 4);
    }

    #[test]
    fn one_client_has_the_device_and_others_are_refused() {
        let offered = offered();
        let mut first = ask(&offered, &import_of("1-1"));
        let mut answer = [0; 320];
        first.read_exact(&mut answer).expect("the device");
        assert_eq!(answer[..8], [1, 0x11, 0, 3, 0, 0, 0, 0]);
        for name in ["1-1", "7-7"] {
            let mut refusal = Vec::new();
            ask(&offered, &import_of(name)).read_to_end(&mut refusal).expect("a refusal");
            assert_eq!(refusal, [1, 0x11, 0, 3, 0, 0, 0, 1], "{name}");
        }
        drop(offered);
        assert_eq!(first.read(&mut [0]).expect("it was unplugged"), 0);
    }
}

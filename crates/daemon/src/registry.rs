//! The scanners there are. Its thread `registry` is woken by the buses' bells, lists what is plugged in, and compares;
//! nothing is polled. Each scanner gets a name and a supervisor.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, bounded, never, select, unbounded};
use parking_lot::Mutex;
use usbscan_usb::{Access, Bus, DeviceInfo, Watch};
use usbscan_wire::Event;

use super::failure::Failure;
use super::function;
use super::message::Message;
use super::names;
use super::scanner::{Parts, Scanner};
use super::supervisor::{Supervisor, Terms};

/// After a scanner arrived that we may not open, its rights are looked at again so much later: udev may not have come
/// to it yet (docs/usb-engine.md, "Threads and contexts").
const LOOK_AGAIN: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_millis(400), Duration::from_secs(1), Duration::from_secs(3)];

/// The scanners that are plugged in, in order of arrival. Any thread may look.
#[derive(Debug, Default)]
pub(crate) struct Scanners {
    present: Mutex<Vec<Arc<Scanner>>>,
}

impl Scanners {
    /// All of them.
    pub fn scanners(&self) -> Vec<Arc<Scanner>> {
        self.present.lock().clone()
    }

    /// The one that is meant.
    ///
    /// # Errors
    /// When none is, or several may be.
    pub fn find(&self, asked: &str) -> Result<Arc<Scanner>, Failure> {
        let present = self.scanners();
        let called: Vec<_> = present.iter().map(|scanner| (&*scanner.name, &*scanner.stable_id)).collect();
        Ok(present[names::resolve(asked, &called)?].clone())
    }
}

enum Ask {
    Alive(Sender<()>),
    Look,
    Stop(Instant),
}

/// The thread and the way to it.
pub(crate) struct Registry {
    asks: Sender<Ask>,
    thread: JoinHandle<bool>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

impl Registry {
    /// Finds what is there, and then whatever comes and goes.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(buses: Vec<Arc<dyn Bus>>, terms: Terms, scanners: Arc<Scanners>) -> io::Result<Registry> {
        let (asks, inbox) = unbounded();
        let (bell, rings) = bounded(1);
        let watches = buses.iter().filter_map(|bus| watch(&**bus, bell.clone())).collect();
        let mut watcher =
            Watcher { buses, terms, scanners, supervisors: Vec::new(), look_again: Vec::new(), _watches: watches };
        watcher.look();
        // `bell` lives as long as the loop, so that its end of the channel never closes.
        let run = move || watcher.run(&rings, &inbox, &bell);
        let thread = std::thread::Builder::new().name("registry".to_owned()).spawn(run)?;
        Ok(Registry { asks, thread })
    }

    /// Whether the thread answers.
    pub fn is_alive(&self, patience: Duration) -> bool {
        let (alive, answer) = bounded(1);
        self.asks.send(Ask::Alive(alive)).is_ok() && answer.recv_timeout(patience).is_ok()
    }

    /// Has it look again: the model table may know more devices now.
    pub fn look(&self) {
        // It ends only after this.
        let _ = self.asks.send(Ask::Look);
    }

    /// Ends all supervisors, which let their scanners go. `false` when one did not end in time.
    pub fn stop(self, deadline: Instant) -> bool {
        let asked = self.asks.send(Ask::Stop(deadline)).is_ok();
        match self.thread.join() {
            Ok(all) => asked && all,
            Err(_) => {
                log::error!("the thread of the registry panicked");
                false
            }
        }
    }
}

fn watch(bus: &dyn Bus, bell: Sender<()>) -> Option<Box<dyn Watch>> {
    match bus.watch(bell) {
        Ok(watch) => Some(watch),
        // The bus has said so itself: there is no USB here.
        Err(error) if error.kind == usbscan_usb::ErrorKind::NotSupported => {
            log::debug!("{error}");
            None
        }
        Err(error) => {
            log::warn!("scanners on the bus {} that are plugged in later will not be found: {error}", bus.name());
            None
        }
    }
}

struct Known {
    bus: usize,
    supervisor: Supervisor,
}

struct Watcher {
    buses: Vec<Arc<dyn Bus>>,
    terms: Terms,
    scanners: Arc<Scanners>,
    /// Those of scanners that are gone stay here until they have ended.
    supervisors: Vec<Known>,
    look_again: Vec<Instant>,
    _watches: Vec<Box<dyn Watch>>,
}

impl Watcher {
    fn run(mut self, rings: &Receiver<()>, inbox: &Receiver<Ask>, _bell: &Sender<()>) -> bool {
        loop {
            let timer = self.look_again.first().copied().map_or_else(never, at);
            select! {
                recv(rings) -> _ => self.look(),
                recv(timer) -> _ => {
                    self.look_again.remove(0);
                    self.look();
                }
                recv(inbox) -> ask => match ask {
                    Ok(Ask::Alive(answer)) => {
                        // Whoever asked may not have waited.
                        let _ = answer.send(());
                    }
                    Ok(Ask::Look) => self.look(),
                    Ok(Ask::Stop(deadline)) => return self.stop(deadline),
                    Err(_) => return self.stop(Instant::now()),
                },
            }
        }
    }

    /// Compares what is plugged in with what is known.
    fn look(&mut self) {
        self.supervisors.retain(|known| !known.supervisor.has_ended());
        for at in 0..self.buses.len() {
            let bus = self.buses[at].clone();
            match bus.list() {
                Ok(there) => {
                    let there: Vec<_> = there.into_iter().map(function::within_reason).collect();
                    self.part_from_those_not_in(at, &there);
                    there.into_iter().for_each(|info| self.meet(at, &bus, info));
                }
                Err(error) => log::warn!("{error}"),
            }
        }
    }

    fn part_from_those_not_in(&self, bus: usize, there: &[DeviceInfo]) {
        let present = self.scanners.scanners();
        for known in self.supervisors.iter().filter(|known| known.bus == bus) {
            let scanner = &known.supervisor.scanner;
            let is_there = there.iter().any(|info| is_same(info, &scanner.info));
            if !is_there && present.iter().any(|present| Arc::ptr_eq(present, scanner)) {
                self.scanners.present.lock().retain(|present| !Arc::ptr_eq(present, scanner));
                log::info!("{} ({}) is gone", scanner.name, scanner.info.label());
                scanner.set_gone(true);
                scanner.tell_pipes(|| super::pipe::Order::Lost);
                scanner.tell(Message::Removed);
                scanner.taps.end_all();
                let event = Event::Removal { name: scanner.name.to_string(), stable_id: scanner.stable_id.clone() };
                self.terms.sessions.broadcast(event, |session| {
                    session.binding().is_some_and(|binding| Arc::ptr_eq(&binding.scanner, scanner))
                });
            }
        }
    }

    fn meet(&mut self, at: usize, bus: &Arc<dyn Bus>, info: DeviceInfo) {
        let present = self.scanners.scanners();
        let of_bus = |scanner: &&Arc<Scanner>| Arc::ptr_eq(&scanner.bus, bus);
        if let Some(known) = present.iter().filter(of_bus).find(|scanner| is_same(&info, &scanner.info)) {
            known.set_accessible(info.access == Access::Granted);
            return;
        }
        let config = self.terms.configured.now();
        let model = config.models.find(info.descriptor.vendor, info.descriptor.product).cloned();
        let Some(function) = function::scanner(&info, model.as_ref()) else { return };
        let name: Arc<str> = names::next_name(present.iter().map(|scanner| &*scanner.name)).into();
        let stable_id = names::stable_id(&info, |id| present.iter().any(|scanner| scanner.stable_id == id));
        log::info!("{name} is {} ({stable_id}, {})", info.label(), function.protocol);
        if info.access == Access::Denied {
            log::warn!("{name}: no permission to open it; are usbscan's udev rules in force?");
            self.look_again = LOOK_AGAIN.iter().map(|later| Instant::now() + *later).collect();
        }
        let parts = Parts { name, stable_id, info, bus: bus.clone(), function, model };
        match Supervisor::start(parts, self.terms.clone()) {
            Ok(supervisor) => {
                let scanner = supervisor.scanner.clone();
                self.scanners.present.lock().push(scanner.clone());
                self.supervisors.push(Known { bus: at, supervisor });
                self.terms.sessions.broadcast(Event::Arrival { device: scanner.entry() }, |_| false);
            }
            Err(error) => log::error!("start a thread for a scanner: {error}"),
        }
    }

    fn stop(mut self, deadline: Instant) -> bool {
        self.supervisors.iter().for_each(|known| known.supervisor.scanner.tell(Message::Stop));
        let mut all = true;
        for known in self.supervisors.drain(..) {
            let name = known.supervisor.scanner.name.clone();
            if !known.supervisor.join(deadline) {
                log::error!("{name}: not let go in time; it is left to the system");
                all = false;
            }
        }
        all
    }
}

/// A device keeps its place and its address for as long as it is plugged in.
fn is_same(one: &DeviceInfo, other: &DeviceInfo) -> bool {
    one.location == other.location && one.descriptor == other.descriptor && one.serial == other.serial
}

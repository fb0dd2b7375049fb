//! The scanners there are. Its thread `registry` is woken by the buses' notifications, lists what is plugged in, and compares;
//! nothing is polled. Each scanner gets a name and a supervisor.
//!
//! No arrival is lost. A device that is not ready yet (not configured, no rights) is listed again for a minute, since nobody
//! tells when it is; and whoever asks for the list has the registry look, because the kernel drops notifications that are
//! not fetched in time.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, bounded, never, select, unbounded};
use parking_lot::Mutex;
use usbscan_usb::{Access, Bus, DeviceInfo, Location, Watch};
use usbscan_wire::Event;

use crate::failure::Failure;
use crate::pipe::orders::Order;
use crate::scanner::function;
use crate::scanner::handle::{Scanner, ScannerParts};
use crate::scanner::message::Message;
use crate::scanner::names;
use crate::scanner::supervisor::{Environment, SupervisorHandle};
use crate::session::binding::{Binding, ScannerId};

/// After a device arrived that is not ready, it is looked at again so much later. Linux announces a device before it has
/// put it in a configuration, and before udev has given its node rights (docs/usb-engine.md, "Threads and contexts"); on a
/// busy machine both can take long.
const RESCAN_DELAYS: [Duration; 8] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

/// Clients that ask for the list have the registry look so often at most: each look reads all of the bus.
const RESCAN_INTERVAL: Duration = Duration::from_secs(2);

/// The scanners that are plugged in, in order of arrival. Any thread may look.
#[derive(Debug, Default)]
pub(crate) struct Scanners {
    present: Mutex<Vec<Arc<Scanner>>>,
    /// Those that are unplugged, until no session has them open any more.
    departed: Mutex<Vec<Arc<Scanner>>>,
    /// When somebody's question last had the registry look, and the way to the registry.
    asked: Mutex<Option<(Instant, Sender<RegistryRequest>)>>,
}

impl Scanners {
    /// Somebody asks what there is: the registry looks too, at most once in so often, and in its own time.
    pub fn rescan_for_client(&self) {
        if let Some((last, requests)) = &mut *self.asked.lock()
            && last.elapsed() >= RESCAN_INTERVAL
        {
            *last = Instant::now();
            // It may have ended.
            let _ = requests.send(RegistryRequest::Rescan);
        }
    }

    pub fn scanners(&self) -> Vec<Arc<Scanner>> {
        self.present.lock().clone()
    }

    /// The one with this number, also when it is unplugged and some session has it open still.
    pub fn by_id(&self, id: ScannerId) -> Option<Arc<Scanner>> {
        let find = |scanners: &Mutex<Vec<Arc<Scanner>>>| scanners.lock().iter().find(|one| one.id == id).cloned();
        find(&self.present).or_else(|| find(&self.departed))
    }

    /// The one that a session has open.
    ///
    /// # Errors
    /// When it is gone, and its supervisor too.
    pub fn scanner_of(&self, binding: &Binding) -> Result<Arc<Scanner>, Failure> {
        self.by_id(binding.scanner).ok_or_else(|| Failure::Gone { device: binding.device.clone() })
    }

    fn depart(&self, id: ScannerId) {
        // Both at once, so that nobody misses it on its way from one to the other.
        let (mut present, mut departed) = (self.present.lock(), self.departed.lock());
        let at = present.iter().position(|one| one.id == id);
        departed.extend(at.map(|at| present.remove(at)));
    }

    /// The one that is meant.
    ///
    /// # Errors
    /// When none is, or several may be.
    pub fn find(&self, asked: &str) -> Result<Arc<Scanner>, Failure> {
        let present = self.scanners();
        let ids: Vec<String> = present.iter().map(|scanner| scanner.stable_id()).collect();
        let called: Vec<_> = present.iter().zip(&ids).map(|(scanner, id)| (&*scanner.name, id.as_str())).collect();
        Ok(present[names::resolve(asked, &called)?].clone())
    }
}

#[derive(Debug)]
enum RegistryRequest {
    Alive(Sender<()>),
    Rescan,
    Stop(Instant),
}

/// The thread and the way to it.
pub(crate) struct Registry {
    requests: Sender<RegistryRequest>,
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
    pub fn start(buses: Vec<Arc<dyn Bus>>, environment: Environment, scanners: Arc<Scanners>) -> io::Result<Registry> {
        let (requests, inbox) = unbounded();
        *scanners.asked.lock() = Some((Instant::now(), requests.clone()));
        let (notify, changes) = bounded(1);
        let watches = buses.iter().filter_map(|bus| watch(&**bus, notify.clone())).collect();
        let mut watcher = RegistryThread {
            buses,
            environment,
            scanners,
            supervisors: Vec::new(),
            not_ready: BTreeSet::new(),
            shared_serials: BTreeSet::new(),
            rescan_at: Vec::new(),
            next_id: 0,
            _watches: watches,
        };
        watcher.rescan();
        // `notify` lives as long as the loop, so that its end of the channel never closes.
        let run = move || watcher.run(&changes, &inbox, &notify);
        let thread = std::thread::Builder::new().name("registry".to_owned()).spawn(run)?;
        Ok(Registry { requests, thread })
    }

    /// Whether the thread answers.
    pub fn is_alive(&self, patience: Duration) -> bool {
        let (alive, answer) = bounded(1);
        self.requests.send(RegistryRequest::Alive(alive)).is_ok() && answer.recv_timeout(patience).is_ok()
    }

    /// Has it look again: the model table may know more devices now.
    pub fn rescan(&self) {
        // It ends only after this.
        let _ = self.requests.send(RegistryRequest::Rescan);
    }

    /// Ends all supervisors, which let their scanners go. `false` when one did not end in time.
    pub fn stop(self, deadline: Instant) -> bool {
        let asked = self.requests.send(RegistryRequest::Stop(deadline)).is_ok();
        match self.thread.join() {
            Ok(all) => asked && all,
            Err(_) => {
                log::error!("the thread of the registry panicked");
                false
            }
        }
    }
}

fn watch(bus: &dyn Bus, notify: Sender<()>) -> Option<Box<dyn Watch>> {
    match bus.watch(notify) {
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

struct KnownScanner {
    bus: usize,
    supervisor: SupervisorHandle,
}

struct RegistryThread {
    buses: Vec<Arc<dyn Bus>>,
    environment: Environment,
    scanners: Arc<Scanners>,
    /// Those of scanners that are gone stay here until they have ended.
    supervisors: Vec<KnownScanner>,
    /// What was not ready at the last look: a bus, and the device on it, or none where the bus could not be listed.
    not_ready: BTreeSet<(usize, Option<Location>)>,
    /// Ids by serial that two scanners had at once. Whoever has such a serial is called by its port, for as long as the daemon
    /// runs: an id must not wander from one scanner to another when they are replugged.
    shared_serials: BTreeSet<String>,
    /// When to look again, soonest first.
    rescan_at: Vec<Instant>,
    next_id: u64,
    _watches: Vec<Box<dyn Watch>>,
}

impl RegistryThread {
    fn run(mut self, changes: &Receiver<()>, inbox: &Receiver<RegistryRequest>, _bell: &Sender<()>) -> bool {
        loop {
            let timer = self.rescan_at.first().copied().map_or_else(never, at);
            select! {
                recv(changes) -> _ => self.rescan(),
                recv(timer) -> _ => {
                    self.rescan_at.remove(0);
                    self.rescan();
                }
                recv(inbox) -> request => match request {
                    Ok(RegistryRequest::Alive(answer)) => {
                        // Whoever asked may not have waited.
                        let _ = answer.send(());
                    }
                    Ok(RegistryRequest::Rescan) => self.rescan(),
                    Ok(RegistryRequest::Stop(deadline)) => return self.stop(deadline),
                    Err(_) => return self.stop(Instant::now()),
                },
            }
        }
    }

    /// Compares what is plugged in with what is known.
    fn rescan(&mut self) {
        self.supervisors.retain(|known| {
            let ended = known.supervisor.has_ended();
            if ended {
                self.scanners.departed.lock().retain(|scanner| scanner.id != known.supervisor.scanner.id);
            }
            !ended
        });
        let mut not_ready = BTreeSet::new();
        for at in 0..self.buses.len() {
            let bus = self.buses[at].clone();
            match bus.list() {
                Ok(there) => {
                    let waited_for = there.iter().filter(|info| !is_ready(info));
                    not_ready.extend(waited_for.map(|info| (at, Some(info.location.clone()))));
                    let there: Vec<_> = there.into_iter().map(function::clamp_descriptors).collect();
                    self.remove_missing(at, &there);
                    there.into_iter().for_each(|info| self.update_or_add(at, &bus, info));
                }
                Err(error) => {
                    log::warn!("{error}");
                    not_ready.insert((at, None));
                }
            }
        }
        self.plan_rescans(not_ready);
    }

    /// Something new that is not ready begins the series of looks again; when all is ready, they end.
    fn plan_rescans(&mut self, not_ready: BTreeSet<(usize, Option<Location>)>) {
        if not_ready.is_empty() {
            self.rescan_at.clear();
        } else if !not_ready.is_subset(&self.not_ready) {
            self.rescan_at = RESCAN_DELAYS.iter().map(|later| Instant::now() + *later).collect();
        }
        self.not_ready = not_ready;
    }

    fn remove_missing(&self, bus: usize, there: &[DeviceInfo]) {
        let present = self.scanners.scanners();
        for known in self.supervisors.iter().filter(|known| known.bus == bus) {
            let scanner = &known.supervisor.scanner;
            // Looked at first: when it ceases to be kept, what it is has been written down.
            let kept = scanner.recovery.is_kept_listed();
            let is_there = there.iter().any(|info| is_same(info, &scanner.info()));
            if !is_there && !kept && present.iter().any(|present| Arc::ptr_eq(present, scanner)) {
                self.remove(scanner);
            }
        }
    }

    fn remove(&self, scanner: &Scanner) {
        self.scanners.depart(scanner.id);
        log::info!("{} ({}) is unplugged", scanner.name, scanner.info().label());
        scanner.set_gone(true);
        scanner.recovery.stop_awaiting();
        scanner.tell_pipes(|| Order::Lost);
        scanner.tell(Message::Removed);
        scanner.taps.end_all();
        let event = Event::Removal { name: scanner.name.to_string(), stable_id: scanner.stable_id() };
        self.environment
            .sessions
            .broadcast(event, |session| session.binding().is_some_and(|binding| binding.scanner == scanner.id));
    }

    fn update_or_add(&mut self, at: usize, bus: &Arc<dyn Bus>, info: DeviceInfo) {
        let of_bus = |scanner: &&Arc<Scanner>| Arc::ptr_eq(&scanner.bus, bus);
        let at_its_port = |scanner: &&Arc<Scanner>| scanner.info().location.ports == info.location.ports;
        let present = self.scanners.scanners();
        let kept = present.iter().filter(of_bus).filter(at_its_port).find(|one| one.recovery.is_kept_listed()).cloned();
        if let Some(known) = present.iter().filter(of_bus).find(|scanner| is_same(&info, &scanner.info())) {
            known.set_accessible(info.access == Access::Granted);
            return;
        }
        if let Some(kept) = kept {
            if kept.recovery.unresponsive().is_none() && is_same_at_its_port(&info, &kept.info()) {
                return self.adopt(&kept, info);
            }
            // Something else, or what did not come back in time and was switched off and on.
            self.remove(&kept);
        }
        self.add(at, bus, info);
    }

    /// A scanner has left its port in a reset, and is back. Nobody is told of that; its supervisor goes on with it.
    fn adopt(&mut self, scanner: &Scanner, info: DeviceInfo) {
        // Its rights may come later, as at an arrival; and it may not be ready to be opened.
        if self.rescan_at.is_empty() {
            self.rescan_at = RESCAN_DELAYS.iter().map(|later| Instant::now() + *later).collect();
        }
        if info.access == Access::Granted {
            scanner.recovery.has_returned(info);
        }
    }

    fn add(&mut self, at: usize, bus: &Arc<dyn Bus>, info: DeviceInfo) {
        let present = self.scanners.scanners();
        let config = self.environment.configured.now();
        let model = config.models.find(info.descriptor.vendor, info.descriptor.product).cloned();
        let functions = function::scanners(&info, model.as_ref());
        let Some(function) = functions.first() else { return };
        // Whoever means it as a scanner has given the daemon the right to open it.
        if function.may_be_a_camera() && info.access == Access::Denied {
            return;
        }
        let name: Arc<str> = names::next_name(present.iter().map(|scanner| &*scanner.name)).into();
        let stable_id = self.stable_id(&info, &present);
        log::info!("{name} is {} ({stable_id}, {})", info.label(), function.speaks);
        if info.access == Access::Denied {
            log::warn!("{name}: no permission to open it; are usbscan's udev rules in force?");
        }
        let id = ScannerId(self.next_id);
        self.next_id += 1;
        let notes = config.notes.clone();
        let parts = ScannerParts { id, name, stable_id, info, bus: bus.clone(), functions, model, notes };
        match SupervisorHandle::start(parts, self.environment.clone()) {
            Ok(supervisor) => {
                let scanner = supervisor.scanner.clone();
                self.scanners.present.lock().push(scanner.clone());
                self.supervisors.push(KnownScanner { bus: at, supervisor });
                self.environment.sessions.broadcast(Event::Arrival { device: Box::new(scanner.entry()) }, |_| false);
            }
            Err(error) => log::error!("start a thread for a scanner: {error}"),
        }
    }

    /// The new scanner's stable id. If another one has the same serial, neither keeps the id by serial.
    fn stable_id(&mut self, info: &DeviceInfo, present: &[Arc<Scanner>]) -> String {
        let Some(by_serial) = names::id_by_serial(info) else { return names::id_by_port(info) };
        let same = present.iter().filter(|other| names::id_by_serial(&other.info()).as_ref() == Some(&by_serial));
        for other in same {
            self.shared_serials.insert(by_serial.clone());
            let by_port = names::id_by_port(&other.info());
            let before = other.rename(by_port.clone());
            if before != by_port {
                log::warn!("{} and another scanner have the same serial number; it is {by_port} now", other.name);
                let removal = Event::Removal { name: other.name.to_string(), stable_id: before };
                self.environment.sessions.broadcast(removal, |_| false);
                self.environment.sessions.broadcast(Event::Arrival { device: Box::new(other.entry()) }, |_| false);
            }
        }
        if self.shared_serials.contains(&by_serial) { names::id_by_port(info) } else { by_serial }
    }

    fn stop(mut self, deadline: Instant) -> bool {
        self.supervisors.iter().for_each(|known| known.supervisor.scanner.tell(Message::Stop));
        let mut all = true;
        for known in self.supervisors.drain(..) {
            let name = known.supervisor.scanner.name.clone();
            if !known.supervisor.join(deadline) {
                log::error!("{name}: not released in time; left to the system");
                all = false;
            }
        }
        all
    }
}

/// Whether a device can be judged: it is in a configuration, and we may open it. Devices that are no scanners and nobody
/// may open stay so; they cost a few looks.
fn is_ready(info: &DeviceInfo) -> bool {
    info.configuration.is_some() && info.access == Access::Granted
}

/// A device keeps its place and its address for as long as it is plugged in.
fn is_same(one: &DeviceInfo, other: &DeviceInfo) -> bool {
    one.location == other.location && one.descriptor == other.descriptor && one.serial == other.serial
}

/// The same device, at another address of the same port.
fn is_same_at_its_port(one: &DeviceInfo, other: &DeviceInfo) -> bool {
    one.descriptor == other.descriptor && one.serial == other.serial && one.configuration == other.configuration
}

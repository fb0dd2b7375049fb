//! What a captured device did, as steps in an order that causes and effects keep: what the host sent stands where it was
//! sent, what the device sent where it arrived. Whichever thread wrote which record first makes no difference then.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use usbscan_usb::{ConfigurationDescriptor, DeviceDescriptor, EndpointAddress, Setup, SetupKind, Speed};

use super::file::{BusAddress, Record, ReplayError, TransferKind, records};
use crate::Descriptors;

/// How what the device sent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As full packets that more may follow.
    Open,
    Short,
    Stall,
    /// In a packet that was too large.
    Babble,
    Garbled,
    Gone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The host sent these bytes.
    Out {
        endpoint: EndpointAddress,
        data: Range<usize>,
        /// How it ended; never short.
        end: End,
    },
    In {
        endpoint: EndpointAddress,
        data: Range<usize>,
        end: End,
    },
    /// A class or vendor request.
    Control {
        setup: Setup,
        /// What the host sent with it, in the file.
        sent: Range<usize>,
        /// The device's data; `None` where it stalled, or never answered.
        answer: Option<Range<usize>>,
        hangs: bool,
    },
}

#[derive(Debug)]
pub struct Script {
    /// What it said of itself.
    pub descriptors: Descriptors,
    /// What happened on its bulk endpoints and on endpoint zero.
    pub steps: Vec<Step>,
    /// Interrupt packets: each may come once so many steps are done. Nobody has to wait for them.
    pub events: VecDeque<(usize, EndpointAddress, Range<usize>)>,
}

/// Understands a file. `which` names the device, where there are several.
///
/// # Errors
/// When it can't be replayed.
pub fn understand(file: &[u8], which: Option<BusAddress>) -> Result<Script, ReplayError> {
    let records = records(file)?;
    let mut known = described(file, &records);
    if let Some(which) = which {
        known.retain(|(place, _)| *place == which);
    }
    let (place, asked) = match known.len() {
        0 => return Err(ReplayError::NoDescriptors),
        1 => known.remove(0),
        _ => {
            let names: Vec<String> =
                known.iter().map(|(place, _)| format!("{}:{}", place.bus, place.address)).collect();
            return Err(ReplayError::WhichDevice(names.join(", ")));
        }
    };
    let descriptors = asked.descriptors()?;
    let of_device = records.into_iter().filter(|record| record.place == place);
    Teller { descriptors, steps: Vec::new(), events: VecDeque::new(), begun: HashMap::new() }.tell(of_device)
}

/// Descriptors that a device was asked for.
#[derive(Debug, Default)]
struct CapturedDescriptors<'a> {
    device: &'a [u8],
    configuration: &'a [u8],
    strings: HashMap<u8, String>,
}

impl CapturedDescriptors<'_> {
    fn descriptors(&self) -> Result<Descriptors, ReplayError> {
        let device = DeviceDescriptor::parse(self.device)?;
        let configuration = ConfigurationDescriptor::parse(self.configuration)?;
        let endpoints = configuration.interfaces.iter().flat_map(|interface| &interface.endpoints);
        // The link is known only by the packets that it carries.
        let speed = match endpoints.map(|endpoint| endpoint.max_packet_size & 0x7ff).max() {
            Some(1024..) => Speed::Super,
            Some(65..) => Speed::High,
            _ => Speed::Full,
        };
        let string = |index: u8| self.strings.get(&index).cloned();
        let (manufacturer, product) = (string(device.manufacturer_index), string(device.product_index));
        let serial = string(device.serial_index).filter(|_| device.serial_index != 0);
        let mut device = device;
        if serial.is_none() {
            device.serial_index = 0;
        }
        Ok(Descriptors {
            speed,
            device,
            configuration,
            manufacturer: manufacturer.unwrap_or_default(),
            product: product.unwrap_or_default(),
            serial,
        })
    }
}

/// The devices whose descriptors are known and that have a bulk-in endpoint.
fn described<'a>(file: &'a [u8], records: &[Record]) -> Vec<(BusAddress, CapturedDescriptors<'a>)> {
    let mut begun: HashMap<(BusAddress, u64), Setup> = HashMap::new();
    let mut found: Vec<(BusAddress, CapturedDescriptors<'a>)> = Vec::new();
    for record in records.iter().filter(|record| record.kind == TransferKind::Control) {
        let key = (record.place, record.urb);
        if let Some(setup) = record.setup {
            begun.insert(key, setup);
        } else if let Some(setup) = begun.remove(&key).filter(|_| record.status == 0) {
            let at = found.iter().position(|(place, _)| *place == record.place).unwrap_or_else(|| {
                found.push((record.place, CapturedDescriptors::default()));
                found.len() - 1
            });
            found[at].1.learn(setup, &file[record.data.clone()]);
        }
    }
    found.retain(|(_, asked)| {
        let configuration = ConfigurationDescriptor::parse(asked.configuration);
        let bulk_in = |configuration: &ConfigurationDescriptor| {
            let mut endpoints = configuration.interfaces.iter().flat_map(|interface| &interface.endpoints);
            endpoints.any(|e| e.address.is_in() && e.transfer_type == usbscan_usb::TransferType::Bulk)
        };
        !asked.device.is_empty() && configuration.as_ref().is_ok_and(bulk_in)
    });
    found
}

impl<'a> CapturedDescriptors<'a> {
    fn learn(&mut self, setup: Setup, data: &'a [u8]) {
        if setup.request_type != 0x80 || setup.request != 6 {
            return;
        }
        let [index, kind] = setup.value.to_le_bytes();
        match kind {
            // A host that meets a device asks for the beginning first.
            1 if data.len() > self.device.len() => self.device = data,
            2 if index == 0 && data.len() > self.configuration.len() => self.configuration = data,
            3 if index != 0 => {
                if let Ok(text) = usbscan_usb::string_descriptor_text(data) {
                    self.strings.insert(index, text);
                }
            }
            _ => {}
        }
    }
}

struct Teller {
    descriptors: Descriptors,
    steps: Vec<Option<Step>>,
    events: VecDeque<(usize, EndpointAddress, Range<usize>)>,
    /// Transfers under way, and the places that their steps have if they have one already.
    begun: HashMap<u64, (Record, Option<usize>)>,
}

impl Teller {
    fn tell(mut self, records: impl Iterator<Item = Record>) -> Result<Script, ReplayError> {
        for record in records {
            match record.end {
                b'S' => self.begins(record)?,
                b'C' => self.ends(&record)?,
                _ => {
                    self.begun.remove(&record.urb);
                }
            }
        }
        // Steps whose end nobody saw are none; events follow those that are.
        let mut before = Vec::with_capacity(self.steps.len() + 1);
        let mut kept = 0;
        for step in &self.steps {
            before.push(kept);
            kept += usize::from(step.is_some());
        }
        before.push(kept);
        self.events.iter_mut().for_each(|event| event.0 = before[event.0]);
        let steps = self.steps.into_iter().flatten().collect();
        Ok(Script { descriptors: self.descriptors, steps, events: self.events })
    }

    fn begins(&mut self, record: Record) -> Result<(), ReplayError> {
        let place = match record.kind {
            TransferKind::Control if record.setup.is_some_and(|setup| setup.kind() == SetupKind::Standard) => {
                return Ok(());
            }
            TransferKind::Bulk | TransferKind::Interrupt => {
                let mut all = self.descriptors.configuration.interfaces.iter().flat_map(|i| &i.endpoints);
                if all.all(|endpoint| endpoint.address != record.endpoint) {
                    return Err(ReplayError::NoEndpoint { at: record.at, endpoint: record.endpoint });
                }
                (!record.endpoint.is_in()).then(|| self.reserve_step())
            }
            TransferKind::Control => Some(self.reserve_step()),
        };
        let sends = place.is_some() && record.setup.is_none_or(|setup| setup.request_type & 0x80 == 0);
        if sends && record.data.len() < record.length {
            return Err(ReplayError::Withheld { at: record.at });
        }
        self.begun.insert(record.urb, (record, place));
        Ok(())
    }

    fn reserve_step(&mut self) -> usize {
        self.steps.push(None);
        self.steps.len() - 1
    }

    fn ends(&mut self, record: &Record) -> Result<(), ReplayError> {
        let Some((begun, place)) = self.begun.remove(&record.urb) else { return Ok(()) };
        let arrived = record.data.clone();
        if begun.endpoint.is_in() && arrived.len() < record.length {
            return Err(ReplayError::Withheld { at: record.at });
        }
        let endpoint = begun.endpoint;
        match (begun.kind, place) {
            (TransferKind::Control, Some(at)) => {
                let Some(setup) = begun.setup else { return Ok(()) };
                let answer = (record.status == 0).then_some(arrived);
                let hangs = matches!(record.status, -2 | -104);
                self.steps[at] = Some(Step::Control { setup, sent: begun.data, answer, hangs });
            }
            (TransferKind::Interrupt, _) if endpoint.is_in() => {
                if record.status == 0 {
                    self.events.push_back((self.steps.len(), endpoint, arrived));
                }
            }
            (_, Some(at)) => {
                let end = end(record.status, false);
                let data = begun.data.start..begun.data.start + record.length.min(begun.data.len());
                if end != End::Open || !data.is_empty() {
                    self.steps[at] = Some(Step::Out { endpoint, data, end });
                }
            }
            (_, None) => {
                let short = record.status == 0 && arrived.len() < begun.length;
                let end = end(record.status, short);
                if end != End::Open || !arrived.is_empty() {
                    self.steps.push(Some(Step::In { endpoint, data: arrived, end }));
                }
            }
        }
        Ok(())
    }
}

/// The kernel's errno of a transfer that ended so. What the host took back says nothing of the device.
fn end(status: i32, short: bool) -> End {
    match status {
        0 if short => End::Short,
        0 | -2 | -104 => End::Open,
        -32 => End::Stall,
        -75 => End::Babble,
        -19 | -108 => End::Gone,
        // What a host controller makes of rubbish: EPROTO, EILSEQ, ETIME.
        _ => End::Garbled,
    }
}

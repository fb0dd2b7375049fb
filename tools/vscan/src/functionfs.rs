//! Showing a device through a USB device controller: a gadget of FunctionFS, on dummy_hcd or on a board's
//! own port. Host controllers then do to it what they do to real ones: partial data, overflows, errors.
//!
//! The kernel chooses endpoint addresses, so they may differ from the model's.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use usb_gadget::function::custom::{
    Custom, CustomBuilder, Endpoint, EndpointDirection, EndpointReceiver, EndpointSender, Interface,
    TransferType as GadgetTransfer,
};
use usb_gadget::{Class, Config, Gadget, Id, RegGadget, Strings, Udc, udcs};
use usbscan_usb::{EndpointDescriptor, InterfaceDescriptor, TransferType};
use usbscan_virtual::{Descriptors, Model};

use crate::pump::{Pump, is_in};

/// Why a device can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum GadgetError {
    /// Nothing to show it through.
    #[error("no USB device controller is free; `modprobe dummy_hcd` makes one")]
    NoController,
    #[error("the device has no interface")]
    NoInterface,
    #[error("the device has alternate settings, which FunctionFS can't show")]
    Alternates,
    #[error("{tried}: {source}")]
    Kernel { tried: &'static str, source: io::Error },
}

fn kernel(tried: &'static str) -> impl Fn(io::Error) -> GadgetError {
    move |source| GadgetError::Kernel { tried, source }
}

/// A device on a gadget. Dropping it unplugs it.
#[derive(Debug)]
pub struct Shown {
    pub controller: String,
    pump: Arc<Pump>,
    gadget: Option<RegGadget>,
    threads: Vec<JoinHandle<()>>,
}

/// The file of an endpoint in FunctionFS.
enum EndpointFile {
    In(EndpointSender),
    Out(EndpointReceiver),
}

/// Shows `model`; `over` is told when it falls off by itself.
pub fn show(model: Box<dyn Model>, over: impl FnOnce() + Send + 'static) -> Result<Shown, GadgetError> {
    let descriptors = model.descriptors().clone();
    let controller = free_controller()?;
    let interfaces = shown_interfaces(&descriptors)?;
    let endpoints: Vec<EndpointDescriptor> =
        interfaces.iter().flat_map(|interface| &interface.endpoints).copied().collect();
    let (files, gadget_endpoints): (Vec<EndpointFile>, Vec<Endpoint>) = endpoints.iter().map(open_endpoint).unzip();
    let (mut custom, handle) = function(&interfaces, &descriptors.product, gadget_endpoints).build();
    let gadget = gadget(&descriptors)
        .with_config(config(&descriptors).with_function(handle))
        .register()
        .map_err(kernel("register a gadget in configfs"))?;
    let folder = custom.ffs_dir().map_err(kernel("find the gadget's FunctionFS"))?;
    let pump = Pump::new(model, over);
    let threads = start(&pump, custom, &endpoints, files, &folder);
    let name = controller.name().to_string_lossy().into_owned();
    // From here on, dropping it stops the threads.
    let shown = Shown { controller: name, pump, gadget: Some(gadget), threads };
    let bound = shown.gadget.as_ref().map_or(Ok(()), |gadget| gadget.bind(Some(&controller)));
    bound.map_err(kernel("bind the gadget to its controller"))?;
    Ok(shown)
}

/// The interfaces of a device, which can all be shown if none has alternate settings: FunctionFS knows none.
fn shown_interfaces(descriptors: &Descriptors) -> Result<Vec<&InterfaceDescriptor>, GadgetError> {
    let interfaces: Vec<&InterfaceDescriptor> = descriptors.configuration.interfaces.iter().collect();
    match interfaces.iter().any(|interface| interface.alternate > 0) {
        true => Err(GadgetError::Alternates),
        false if interfaces.is_empty() => Err(GadgetError::NoInterface),
        false => Ok(interfaces),
    }
}

/// The interfaces of a function of FunctionFS, with the endpoints of all of them one behind the other. Vendor requests go to
/// the device, not to an interface, and are wanted too.
fn function(interfaces: &[&InterfaceDescriptor], name: &str, endpoints: Vec<Endpoint>) -> CustomBuilder {
    let mut builder = Custom::builder();
    builder.all_ctrl_recipient = true;
    let mut endpoints = endpoints.into_iter();
    for interface in interfaces {
        let shown = Interface::new(Class::new(interface.class, interface.subclass, interface.protocol), name);
        let of_it = endpoints.by_ref().take(interface.endpoints.len());
        builder = builder.with_interface(of_it.fold(shown, Interface::with_endpoint));
    }
    builder
}

/// A thread for endpoint zero and one for each other.
fn start(
    pump: &Arc<Pump>,
    custom: Custom,
    endpoints: &[EndpointDescriptor],
    files: Vec<EndpointFile>,
    folder: &Path,
) -> Vec<JoinHandle<()>> {
    // FunctionFS names its files in the order of the descriptors, from one.
    let out_endpoints = endpoints.iter().zip(1..).filter(|(endpoint, _)| !is_in(endpoint));
    let out_files: Vec<(_, Box<Path>)> =
        out_endpoints.map(|(endpoint, i)| (endpoint.address, folder.join(format!("ep{i}")).into())).collect();
    let control = pump.clone();
    let mut threads = vec![spawn("gadget 00", move || control.pump_control(custom, &out_files))];
    for (endpoint, file) in endpoints.iter().copied().zip(files) {
        let pump = pump.clone();
        threads.push(spawn(&format!("gadget {}", endpoint.address), move || match file {
            EndpointFile::In(sender) => pump.pump_in(&endpoint, sender),
            EndpointFile::Out(receiver) => pump.pump_out(&endpoint, receiver),
        }));
    }
    threads
}

impl Drop for Shown {
    fn drop(&mut self) {
        let unbound = self.gadget.as_ref().map_or(Ok(()), |gadget| gadget.bind(None));
        if let Err(error) = unbound {
            log::warn!("unbind the gadget: {error}");
        }
        self.pump.stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a thread of the gadget panicked");
            }
        }
        if let Some(Err(error)) = self.gadget.take().map(RegGadget::remove) {
            log::warn!("remove the gadget: {error}");
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().name(name.to_owned()).spawn(run).expect("the system can start a thread")
}

/// The first controller that no gadget has.
fn free_controller() -> Result<Udc, GadgetError> {
    let mut controllers = udcs().map_err(kernel("list USB device controllers"))?;
    controllers.sort_by_key(|controller| controller.name().to_os_string());
    let is_free = |controller: &Udc| matches!(controller.function(), Ok(None));
    controllers.into_iter().find(is_free).ok_or(GadgetError::NoController)
}

fn open_endpoint(endpoint: &EndpointDescriptor) -> (EndpointFile, Endpoint) {
    let (file, direction) = if is_in(endpoint) {
        let (sender, direction) = EndpointDirection::device_to_host();
        (EndpointFile::In(sender), direction)
    } else {
        let (receiver, direction) = EndpointDirection::host_to_device();
        (EndpointFile::Out(receiver), direction)
    };
    let transfer = match endpoint.transfer_type {
        TransferType::Interrupt => GadgetTransfer::Interrupt,
        _ => GadgetTransfer::Bulk,
    };
    let mut gadget = Endpoint::custom(direction, transfer);
    gadget.max_packet_size_hs = endpoint.max_packet_size;
    gadget.interval = endpoint.interval;
    (file, gadget)
}

fn gadget(descriptors: &Descriptors) -> Gadget {
    let device = &descriptors.device;
    let serial = descriptors.serial.as_deref().unwrap_or_default();
    let mut gadget = Gadget::new(
        Class::new(device.class, device.subclass, device.protocol),
        Id::new(device.vendor.0, device.product.0),
        Strings::new(&descriptors.manufacturer, &descriptors.product, serial),
    );
    gadget.device_release = device.device_version;
    gadget
}

fn config(descriptors: &Descriptors) -> Config {
    let mut config = Config::new(&descriptors.product);
    config.self_powered = descriptors.configuration.attributes & 0x40 != 0;
    config.max_power = u16::from(descriptors.configuration.max_power) * 2;
    config
}

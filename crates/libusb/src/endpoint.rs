//! One endpoint of an open device. It runs on the thread of its owner: one pipe worker, which alone
//! submits and cancels.

use std::sync::Arc;

use crossbeam_channel::Sender;
use libusb1_sys as ffi;
use usbscan_usb::{
    Buffer, Cancel, Completion, DeviceInfo, Endpoint, EndpointAddress, Error, ErrorKind, Rejected, Setup, Token,
};

use crate::capabilities::Bulk;
use crate::claims::Claims;
use crate::open_handle::{EndpointId, HandleError, OpenHandle};
use crate::status;
use crate::submit::{self, NotStarted, Submission, SubmitError};
use crate::transfer::TransferKind;

/// What an open device and its endpoints share.
#[derive(Debug)]
pub(crate) struct DeviceShared {
    pub(crate) info: DeviceInfo,
    pub(crate) open_handle: Arc<OpenHandle>,
    pub(crate) claims: Claims,
    pub(crate) bulk: Bulk,
}

impl DeviceShared {
    pub(crate) fn error(&self, kind: ErrorKind, tried: &str) -> Error {
        Error::new(kind, format!("{tried} of {}", self.info.label()))
    }

    /// SubmitError a call that needs the device quiet was refused.
    pub(crate) fn refused(&self, refusal: HandleError, tried: &str) -> Error {
        match refusal {
            HandleError::Closed => self.error(ErrorKind::NoDevice, tried),
            HandleError::InFlight => {
                self.error(ErrorKind::InvalidParameter, &format!("{tried} while transfers are in flight"))
            }
        }
    }
}

/// An endpoint.
#[derive(Debug)]
pub(crate) struct LibusbEndpoint {
    shared: Arc<DeviceShared>,
    id: EndpointId,
    address: EndpointAddress,
    kind: TransferKind,
    max_packet_size: usize,
    completions: Sender<Completion>,
}

impl LibusbEndpoint {
    pub(crate) fn new(
        shared: Arc<DeviceShared>,
        address: EndpointAddress,
        kind: TransferKind,
        max_packet_size: usize,
        completions: Sender<Completion>,
    ) -> LibusbEndpoint {
        let id = shared.open_handle.new_endpoint();
        LibusbEndpoint { shared, id, address, kind, max_packet_size, completions }
    }

    fn error(&self, kind: ErrorKind, tried: &str) -> Error {
        self.shared.error(kind, &format!("{tried} endpoint {}", self.address))
    }

    /// SubmitError this transfer can't be put to libusb, if it can't.
    fn objection(&self, buffer: &Buffer) -> Option<Error> {
        let objection = |why: String| Some(self.error(ErrorKind::InvalidParameter, &why));
        if self.kind == TransferKind::Control {
            // The client could change the setup packet after it was checked.
            let Some(bytes) = buffer.as_slice() else { return objection("send shared memory to".to_owned()) };
            return match check_control(&self.shared, bytes) {
                Ok(()) => None,
                Err(why) => objection(format!("send {why} to")),
            };
        }
        // The limit concerns reads (a short packet in the middle) and holds for both, being never met today.
        let limit = if self.kind == TransferKind::Bulk { self.shared.bulk.limit() } else { i32::MAX as usize };
        if buffer.len() > limit {
            return objection(format!("transfer {} bytes (at most {limit} here) on", buffer.len()));
        }
        None
    }
}

/// What is wrong with a control buffer, in words. It must be exactly as long as its setup packet says:
/// libusb goes by the packet.
fn check_control(shared: &DeviceShared, buffer: &[u8]) -> Result<(), &'static str> {
    let Some((head, data)) = buffer.split_first_chunk() else { return Err("less than a setup packet") };
    let setup = Setup::from_bytes(*head);
    if setup.length > Setup::MAX_DATA {
        return Err("a data stage longer than 4096 bytes");
    }
    if data.len() != usize::from(setup.length) {
        return Err("a data stage of another length than its setup packet says");
    }
    if setup.is_reserved_for_host() {
        return Err("a request that must go through the host");
    }
    if !shared.claims.allow(&shared.info, setup) {
        return Err("a request for an interface that is not claimed");
    }
    Ok(())
}

impl Endpoint for LibusbEndpoint {
    fn address(&self) -> EndpointAddress {
        self.address
    }

    fn max_packet_size(&self) -> usize {
        self.max_packet_size
    }

    fn submit(&mut self, token: Token, buffer: Buffer) -> Result<(), Rejected> {
        if let Some(error) = self.objection(&buffer) {
            return Err(Rejected { error, buffer });
        }
        let usage = match self.shared.open_handle.enter() {
            Ok(usage) => usage,
            Err(refusal) => {
                let error = self.shared.refused(refusal, &format!("submit to endpoint {}", self.address));
                return Err(Rejected { error, buffer });
            }
        };
        let submission = Submission {
            usage,
            key: (self.id, token),
            kind: self.kind,
            endpoint: self.address,
            completions: self.completions.clone(),
            buffer,
        };
        submit::submit(submission).map_err(|NotStarted { error, buffer }| {
            let error = match error {
                SubmitError::NameInUse => self.error(ErrorKind::InvalidParameter, "submit twice under one token to"),
                SubmitError::NoMemory => self.error(ErrorKind::NoResources, "submit to"),
                SubmitError::Refused(code) => self.error(status::kind(code), "submit to").with_code(code),
            };
            Rejected { error, buffer }
        })
    }

    fn cancel(&mut self, token: Token) -> Cancel {
        let Some(target) = self.shared.open_handle.get_for_cancel((self.id, token)) else { return Cancel::NotInFlight };
        let answer = status::cancel(target.transfer().cancel());
        if let Cancel::Failed(code) = answer {
            log::warn!("cancel on endpoint {} of {}: code {code}", self.address, self.shared.info.label());
        }
        answer
    }

    fn clear_halt(&mut self) -> Result<(), Error> {
        let tried = format!("clear the halt of endpoint {}", self.address);
        if self.address.is_control() {
            // Endpoint zero recovers with the next setup packet (USB 2.0, section 8.5.3.4).
            return Ok(());
        }
        let (shared, address) = (&self.shared, self.address);
        // A pending control request would hold the kernel's lock of the device for seconds.
        let alone = shared
            .open_handle
            .enter_exclusive(|in_flight| in_flight == address || in_flight.is_control())
            .map_err(|refusal| shared.refused(refusal, &tried))?;
        // SAFETY: `alone` keeps the handle open; nothing is in flight on the endpoint and no submit can start.
        let code = unsafe { ffi::libusb_clear_halt(alone.handle(), address.0) };
        if code == 0 { Ok(()) } else { Err(shared.error(status::kind(code), &tried).with_code(code)) }
    }
}

impl Drop for LibusbEndpoint {
    fn drop(&mut self) {
        for target in self.shared.open_handle.all_for_cancel(|endpoint| endpoint == self.id) {
            target.transfer().cancel();
        }
    }
}

/// Bytes of the largest packet on endpoint zero. From USB 3 on the field is an exponent (USB 3.2, table 9-11).
pub(crate) fn max_packet_size_0(info: &DeviceInfo) -> usize {
    let field = info.descriptor.max_packet_size_0;
    if info.descriptor.usb_version >= 0x0300 && field < 16 { 1 << field } else { usize::from(field) }
}

#[cfg(test)]
mod tests {
    use usbscan_usb::{Direction, InterfaceNumber};

    use super::*;
    use crate::claims::tests::two_interfaces;

    fn shared() -> Arc<DeviceShared> {
        let open_handle = OpenHandle::new(std::ptr::null_mut());
        Arc::new(DeviceShared { info: two_interfaces(), open_handle, claims: Claims::default(), bulk: Bulk::Whole })
    }

    fn control() -> LibusbEndpoint {
        LibusbEndpoint::new(
            shared(),
            EndpointAddress::CONTROL,
            TransferKind::Control,
            64,
            crossbeam_channel::unbounded().0,
        )
    }

    fn rejection(endpoint: &mut LibusbEndpoint, buffer: impl Into<Buffer>) -> Error {
        let buffer = buffer.into();
        let length = buffer.len();
        let rejected = endpoint.submit(Token(1), buffer).expect_err("it must be refused");
        assert_eq!(rejected.buffer.len(), length, "the buffer comes back");
        rejected.error
    }

    #[test]
    fn a_control_buffer_that_does_not_fit_its_setup_packet_never_reaches_libusb() {
        let mut control = control();
        for buffer in [vec![], vec![0; 7], vec![0xc0, 1, 0, 0, 0, 0, 4, 0], vec![0x40, 1, 0, 0, 0, 0, 0, 0, 9]] {
            assert_eq!(rejection(&mut control, buffer).kind, ErrorKind::InvalidParameter);
        }
        let long = Setup::vendor(Direction::In, 1, 0, 0, 4097).buffer(&[]);
        assert_eq!(rejection(&mut control, long).kind, ErrorKind::InvalidParameter);
    }

    #[test]
    fn a_request_that_somebody_else_could_change_after_it_was_checked_is_refused() {
        let request = Setup::vendor(Direction::In, 1, 0, 0, 4).buffer(&[]);
        let memory = usbscan_shm::SharedMemory::new(request.len()).unwrap();
        let region = memory.region(0..request.len()).unwrap();
        region.copy_from(&request);
        let error = rejection(&mut control(), region);
        assert_eq!(error.kind, ErrorKind::InvalidParameter);
        assert!(error.to_string().contains("shared memory"), "{error}");
    }

    #[test]
    fn a_raw_set_configuration_is_refused() {
        let setup = Setup { request_type: 0, request: 9, value: 1, index: 0, length: 0 };
        let error = rejection(&mut control(), setup.buffer(&[]));
        assert_eq!(error.kind, ErrorKind::InvalidParameter);
        assert!(error.to_string().contains("through the host"), "{error}");
    }

    #[test]
    fn a_class_request_to_an_interface_of_somebody_else_is_refused() {
        let control = &mut control();
        control.shared.claims.insert(InterfaceNumber(0), 0);
        let setup = Setup { request_type: 0x21, request: 0x64, value: 0, index: 1, length: 0 };
        assert_eq!(rejection(control, setup.buffer(&[])).kind, ErrorKind::InvalidParameter);
    }

    #[test]
    fn after_closing_a_submit_says_no_device_and_gives_the_buffer_back() {
        let shared = shared();
        shared.open_handle.close();
        let completions = crossbeam_channel::unbounded().0;
        let mut endpoint = LibusbEndpoint::new(shared, EndpointAddress(0x81), TransferKind::Bulk, 512, completions);
        assert_eq!(rejection(&mut endpoint, vec![0; 512]).kind, ErrorKind::NoDevice);
    }
}

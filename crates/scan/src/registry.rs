//! The drivers there are, by the protocol that the daemon's list of devices names.

use crate::esci::Esci;
use crate::esci2::Esci2;
use crate::escl::Escl;
use crate::{Driver, Progress, ScanError, Scanner, Transport, Unsupported};

/// All drivers.
pub const DRIVERS: &[&dyn Driver] = &[&Esci, &Esci2, &Escl];

/// The driver of a protocol.
///
/// # Errors
/// [`ScanError::NotSupported`], naming those there are.
pub fn driver_for(protocol: &str) -> Result<&'static dyn Driver, ScanError> {
    DRIVERS.iter().find(|driver| driver.protocol() == protocol).copied().ok_or_else(|| {
        let known = DRIVERS.iter().map(|driver| driver.protocol()).collect::<Vec<_>>().join(", ");
        ScanError::NotSupported(Unsupported::Protocol { protocol: protocol.to_owned(), known })
    })
}

/// Opens the scanner behind a transport with the driver of its protocol.
///
/// # Errors
/// Those of [`driver_for`] and [`Driver::open`].
pub fn open(
    protocol: &str,
    transport: Box<dyn Transport>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Box<dyn Scanner>, ScanError> {
    driver_for(protocol)?.open(transport, progress)
}

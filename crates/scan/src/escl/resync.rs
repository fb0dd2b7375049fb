//! Back in sync with a scanner that was left in the middle of a response, from any state.

use usbscan_client::RequestData;
use usbscan_client::wire::{Pipe, RequestKind, RequestRecipient};

use super::client::Client;
use super::connection::Connection;
use crate::support::Timeouts;
use crate::support::channel::is_out_of_sync;
use crate::support::resync_io::drain;
use crate::{ControlRequest, ScanError, TransportError};

/// SOFT_RESET of the printer class: to flush the buffers and to bring the pipes to their default state.
const SOFT_RESET: u8 = 2;

/// Attempts without and with SOFT_RESET.
const ATTEMPTS: usize = 3;

/// Brings all connections to where a request is answered, whatever was left on them.
///
/// # Errors
/// Cancelled, gone, or [`ScanError::OutOfSync`].
pub(super) fn resync(client: &mut Client) -> Result<(), ScanError> {
    for attempt in 0..ATTEMPTS {
        let timeouts = client.timeouts;
        let mut connections: Vec<&mut Connection> = vec![&mut client.pages];
        connections.extend(client.second.as_mut());
        for connection in connections {
            if attempt > 0 {
                soft_reset(connection, &timeouts)?;
            }
            connection.forget()?;
            drain(&mut *connection.channel.transport, timeouts.silence)?;
        }
        match client.status(timeouts.resync) {
            Ok(_) => return Ok(()),
            Err(error) if is_out_of_sync(&error) => log::info!("the scanner is still not in sync: {error}"),
            Err(error) => return Err(error),
        }
    }
    Err(ScanError::OutOfSync)
}

/// Two forms of it are known; devices that know neither are left as they are.
fn soft_reset(connection: &mut Connection, timeouts: &Timeouts) -> Result<(), ScanError> {
    connection.forget()?;
    let transport = &mut connection.channel.transport;
    let request = ControlRequest {
        kind: RequestKind::Class,
        recipient: RequestRecipient::Interface,
        request: SOFT_RESET,
        value: 0,
        index: u16::from(transport.interface()),
        data: RequestData::Out(Vec::new()),
    };
    match transport.control(&request, timeouts.resync) {
        Ok(_) => {}
        Err(error @ (TransportError::Stall { .. } | TransportError::Timeout { .. })) => {
            log::debug!("SOFT_RESET: {error}")
        }
        Err(error) => return Err(error.into()),
    }
    for pipe in [Pipe::Read, Pipe::Write] {
        match transport.clear_halt(pipe) {
            Ok(()) => {}
            Err(error @ (TransportError::Cancelled | TransportError::NoDevice)) => return Err(error.into()),
            Err(error) => log::debug!("clear the halt of the {pipe} pipe: {error}"),
        }
    }
    Ok(())
}

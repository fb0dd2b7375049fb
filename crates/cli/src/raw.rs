//! `usbscan raw`: direct reads, writes and control requests, for debugging.

use std::io::{self, IsTerminal, Read};

use serde_json::json;
use usbscan_client::{Bytes, Endpoints, RequestData, Session, UsbRequest};
use usbscan_wire::{PipeDescription, RequestKind, RequestRecipient};

use super::args::{Direction, Raw, RawTarget, Recipient, RequestType};
use super::context::Context;
use super::device::select_device;
use super::failure::Failure;
use super::hex::{self, HexBytes};
use super::table::Table;

/// Lists endpoints, reads, writes, or sends a control request. Each session ends with `close`, which does not reset the
/// scanner, so that the next command can read the rest of its reply.
pub fn run(context: &Context<'_>, args: &Raw) -> Result<(), Failure> {
    match args {
        Raw::Pipes { device, interface } => {
            let session = context.connect()?;
            let ends = Endpoints { interface: *interface, ..Endpoints::default() };
            let opened = session.open_at(&select_device(&session, device)?, ends)?;
            session.close()?;
            context.print(&json!({ "device": opened.device.name, "pipes": opened.pipes }), |out| {
                table(&opened.pipes).write(out, "")
            })
        }
        Raw::Read { target, length, read_index, endpoint } => {
            let session = open(context, target, Endpoints { read: *read_index, ..Endpoints::default() })?;
            let bytes = read(&session, *endpoint, *length, target)?;
            session.close()?;
            show(context, target, &bytes)
        }
        Raw::Write { target, hex, then_read, write_index, read_index, endpoint, read_endpoint } => {
            // Before opening: nobody else should wait for the scanner while a person types.
            let bytes = bytes_or_stdin(hex.as_ref())?;
            let ends = Endpoints { write: *write_index, read: *read_index, ..Endpoints::default() };
            let session = open(context, target, ends)?;
            match endpoint {
                Some(endpoint) => session.write_to(*endpoint, &bytes, target.timeout)?,
                None => session.write(&bytes, target.timeout)?,
            }
            let read = then_read.map(|length| read(&session, *read_endpoint, length, target)).transpose()?;
            session.close()?;
            match read {
                Some(read) => show(context, target, &read),
                None => context.print(&json!({ "written": bytes.len() }), |_| Ok(())),
            }
        }
        Raw::Control { target, direction, request, value, index, kind, recipient, length, hex } => {
            let data = match direction {
                Direction::In => RequestData::In(*length),
                Direction::Out => RequestData::Out(hex.0.clone()),
            };
            let (kind, recipient) = ((*kind).into(), (*recipient).into());
            let request = UsbRequest { kind, recipient, request: *request, value: *value, index: *index, data };
            let session = open(context, target, Endpoints::default())?;
            let bytes = session.usb_request(request, target.timeout)?;
            session.close()?;
            show(context, target, &bytes)
        }
    }
}

fn open(context: &Context<'_>, target: &RawTarget, ends: Endpoints) -> Result<Session, Failure> {
    let session = context.connect()?;
    let device = select_device(&session, &target.device)?;
    session.open_at(&device, Endpoints { interface: target.interface, ..ends })?;
    for (interface, alternate) in &target.claim {
        session.claim(*interface, *alternate)?;
    }
    Ok(session)
}

fn read(session: &Session, endpoint: Option<u8>, length: u32, target: &RawTarget) -> Result<Bytes, Failure> {
    Ok(match endpoint {
        Some(endpoint) => session.read_from(endpoint, length, target.timeout)?,
        None => session.read(length, target.timeout)?,
    })
}

fn table(pipes: &[PipeDescription]) -> Table {
    let mut table = Table::new(["INDEX", "TYPE", "DIRECTION", "ENDPOINT", "PACKET", "INTERVAL", "USED FOR"]);
    for pipe in pipes {
        let interval = if pipe.interval_ms > 0 { format!("{} ms", pipe.interval_ms) } else { String::new() };
        table.row([
            pipe.index.to_string(),
            pipe.pipe_type.clone(),
            pipe.direction.clone(),
            format!("0x{:02x}", pipe.endpoint),
            format!("{} bytes", pipe.max_packet_size),
            interval,
            pipe.bound.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn bytes_or_stdin(given: Option<&HexBytes>) -> Result<Vec<u8>, Failure> {
    if let Some(HexBytes(bytes)) = given {
        return Ok(bytes.clone());
    }
    let mut bytes = Vec::new();
    let limit = usbscan_wire::PAYLOAD_LIMIT as u64;
    io::stdin().lock().take(limit + 1).read_to_end(&mut bytes).map_err(Failure::Stdin)?;
    if bytes.len() as u64 > limit { Err(Failure::TooLong) } else { Ok(bytes) }
}

/// Raw bytes to a file or pipe; a hex dump to a terminal, which must not interpret a scanner's bytes.
fn show(context: &Context<'_>, target: &RawTarget, bytes: &[u8]) -> Result<(), Failure> {
    let digits = target.dump || io::stdout().is_terminal();
    context.print(&json!({ "read": bytes.len(), "bytes": hex::plain(bytes) }), |out| match digits {
        true => out.write_all(hex::dump(bytes).as_bytes()),
        false => out.write_all(bytes),
    })
}

impl From<RequestType> for RequestKind {
    fn from(kind: RequestType) -> RequestKind {
        match kind {
            RequestType::Vendor => RequestKind::Vendor,
            RequestType::Class => RequestKind::Class,
            RequestType::Standard => RequestKind::Standard,
        }
    }
}

impl From<Recipient> for RequestRecipient {
    fn from(recipient: Recipient) -> RequestRecipient {
        match recipient {
            Recipient::Device => RequestRecipient::Device,
            Recipient::Interface => RequestRecipient::Interface,
            Recipient::Endpoint => RequestRecipient::Endpoint,
        }
    }
}

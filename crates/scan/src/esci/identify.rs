//! Asking a scanner what it is, and telling from the answers whether it was in sync.

use std::time::Duration;

use bytes::Bytes;

use super::capabilities::{Capabilities, Plain};
use super::codes::{DEPTH, EXTENDED_STATUS, FOCUS_POSITION, FS_IDENTITY, FS_STATUS, HARDWARE, IDENTITY};
use super::dialogue::Dialogue;
use super::identity::{self, EscIdentity, FsIdentity, Hardware, Units};
use super::levels;
use super::status::{FS_STATUS_BYTES, Installed};
use crate::support::channel;
use crate::{Identity, ProtocolError, ScanError};

/// ESC @, what it is, what it can.
pub(super) fn identify(
    dialogue: &mut Dialogue,
    first_timeout: Duration,
) -> Result<(Identity, Capabilities), ScanError> {
    let refused = match dialogue.reset(first_timeout) {
        Ok(()) => None,
        // In step, as it was a plain no.
        Err(error) if dialogue.in_sync => Some(error),
        Err(error) => return Err(error),
    };
    let (status, bytes) = dialogue.information(IDENTITY)?;
    let plain = EscIdentity::parse(&bytes)?;
    if let Some(refused) = refused {
        // Two old levels have no ESC @; they are not supported, and are told so.
        return Err(if levels::has(plain.level, b'@') { refused } else { not_supported(&plain) });
    }
    if status.has_extended() { identify_extended(dialogue) } else { identify_plain(dialogue, &plain) }
}

fn not_supported(identity: &EscIdentity) -> ScanError {
    let units = Units::parse(&[]);
    let found = Plain { identity, units, hardware: None, sixteen_bits: false, has_focus: false, model: "" };
    Capabilities::plain(found).map_or_else(ScanError::NotSupported, |_| ScanError::OutOfSync)
}

fn identify_extended(dialogue: &mut Dialogue) -> Result<(Identity, Capabilities), ScanError> {
    let bytes = dialogue.structure(FS_IDENTITY, identity::FS_IDENTITY_BYTES)?;
    let extended = FsIdentity::parse(&bytes)?;
    let installed = match extended.has_units() {
        true => Installed::parse(&dialogue.structure(FS_STATUS, FS_STATUS_BYTES)?),
        false => Installed::default(),
    };
    let has_focus = levels::has(extended.level, b'q') && answers_focus(dialogue)?;
    // FS I does not say how far apart the colours of a sensor lie.
    let sensor = match levels::has(extended.level, b'i') {
        true => answers_hardware(dialogue, extended.most_dpi)?,
        false => None,
    };
    let capabilities = Capabilities::extended(&extended, installed, sensor.as_ref(), has_focus);
    let protocol = format!("ESC/I {}, extended commands", String::from_utf8_lossy(&extended.level));
    Ok((Identity { protocol, model: extended.model, firmware: extended.firmware }, capabilities))
}

fn identify_plain(dialogue: &mut Dialogue, identity: &EscIdentity) -> Result<(Identity, Capabilities), ScanError> {
    let has = |letter| levels::has(identity.level, letter);
    dialogue.is_terse = !has(b'f');
    let status = match has(b'f') {
        true => dialogue.information(EXTENDED_STATUS)?.1,
        false => Bytes::new(),
    };
    let model = identity::name_in_status(&status);
    let hardware = match has(b'i') {
        true => Some(Hardware::parse(&dialogue.information(HARDWARE)?.1)?),
        false => None,
    };
    // The plain dialect does not say how deep its samples are, but it refuses what it can't do.
    let sixteen_bits = has(b'd') && dialogue.parameter(DEPTH, &[16])?;
    let has_focus = has(b'q') && answers_focus(dialogue)?;
    dialogue.reset(dialogue.channel.timeouts.reply)?;
    let units = Units::parse(&status);
    let found = Plain { identity, units, hardware: hardware.as_ref(), sixteen_bits, has_focus, model: &model };
    let capabilities = Capabilities::plain(found).map_err(ScanError::NotSupported)?;
    let protocol = format!("ESC/I {}", String::from_utf8_lossy(&identity.level));
    Ok((Identity { protocol, model, firmware: String::new() }, capabilities))
}

/// A scanner that does everything with extended commands may refuse the plain question: then its colours come together.
fn answers_hardware(dialogue: &mut Dialogue, most_dpi: u32) -> Result<Option<Hardware>, ScanError> {
    match dialogue.information(HARDWARE) {
        Ok((_, bytes)) => {
            let hardware = Hardware::parse(&bytes)?;
            match hardware.keeps_colors_near(most_dpi) {
                true => Ok(Some(hardware)),
                false => Err(ProtocolError::Identity { item: "ESC i", at: 4 }.into()),
            }
        }
        Err(ScanError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Not all scanners of the level that has the command can be focused; those refuse to say where they are.
fn answers_focus(dialogue: &mut Dialogue) -> Result<bool, ScanError> {
    match dialogue.information(FOCUS_POSITION) {
        Ok((_, bytes)) => Ok(bytes.first().is_some_and(|error| error & 1 == 0)),
        Err(ScanError::Refused { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether an error may come of a scanner that is in the middle of something. In ESC/I a NAK may be the answer to another
/// command.
pub(super) fn is_out_of_sync(error: &ScanError) -> bool {
    matches!(error, ScanError::Refused { .. }) || channel::is_out_of_sync(error)
}

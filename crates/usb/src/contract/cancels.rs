//! The part of the contract that is about cancels: one completion each, and what had arrived is handed over.

use super::{Loopback, Rig, VENDOR_COUNT, pattern};
use crate::{Buffer, Cancel, Completion, Direction, Setup, Token, TransferStatus};

pub(super) fn a_silent_read_stays_pending_until_it_is_cancelled(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let token = loopback.bulk_in.submit(vec![0; loopback.packet]);
    // A whole request on endpoint zero passes: the device is alive, and the read still waits.
    loopback.control.control(Setup::vendor(Direction::In, VENDOR_COUNT, 0, 0, 4), &[]);
    loopback.bulk_in.assert_nothing_more();
    assert_eq!(loopback.bulk_in.endpoint.cancel(token), Cancel::Asked);
    let completion = loopback.bulk_in.wait_for(token);
    assert_eq!((completion.status, completion.actual), (TransferStatus::Cancelled, 0));
    assert_eq!(completion.buffer.len(), loopback.packet);
    loopback.assert_echoes();
    loopback.bulk_in.assert_nothing_more();
    loopback.close();
}

pub(super) fn cancelling_what_is_not_in_flight_says_so(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    assert_eq!(loopback.bulk_in.endpoint.cancel(Token(999)), Cancel::NotInFlight);
    loopback.write(&[1]);
    let token = loopback.bulk_in.submit(vec![0; loopback.packet]);
    loopback.bulk_in.wait_for(token);
    assert_eq!(loopback.bulk_in.endpoint.cancel(token), Cancel::NotInFlight);
    loopback.assert_echoes();
    loopback.close();
}

pub(super) fn a_transfer_cancelled_twice_completes_once(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let token = loopback.bulk_in.submit(vec![0; loopback.packet]);
    assert_eq!(loopback.bulk_in.endpoint.cancel(token), Cancel::Asked);
    assert_eq!(loopback.bulk_in.endpoint.cancel(token), Cancel::NotInFlight);
    assert_eq!(loopback.bulk_in.wait_for(token).status, TransferStatus::Cancelled);
    loopback.assert_echoes();
    loopback.bulk_in.assert_nothing_more();
    loopback.close();
}

pub(super) fn bytes_that_arrived_before_a_cancel_are_handed_over(rig: &mut dyn Rig) {
    cancel_partly_read(rig, |length| vec![0; length].into(), |_| ());
}

/// Reads that are cancelled with a part of what they have room for. `buffer` makes the room for each, `check` sees what came
/// of it.
pub(super) fn cancel_partly_read(
    rig: &mut dyn Rig,
    mut buffer: impl FnMut(usize) -> Buffer,
    mut check: impl FnMut(&Completion),
) {
    let rounds = rig.rounds().min(500);
    let mut loopback = Loopback::open(rig);
    let packet = loopback.packet;
    let mut partly = 0;
    for round in 0..rounds {
        let bytes = pattern(packet * 2, round);
        let token = loopback.bulk_in.submit(buffer(packet * 8));
        loopback.write(&bytes);
        loopback.control.control(Setup::vendor(Direction::In, VENDOR_COUNT, 0, 0, 4), &[]);
        loopback.bulk_in.endpoint.cancel(token);
        let completion = loopback.bulk_in.wait_for(token);
        assert_eq!(completion.status, TransferStatus::Cancelled, "two whole packets do not fill eight");
        check(&completion);
        partly += u32::from(completion.actual > 0);
        let mut got = completion.received().to_vec();
        while got.len() < bytes.len() {
            got.extend(loopback.read(packet));
        }
        assert_eq!(got, bytes, "round {round}: nothing lost, nothing twice");
    }
    assert!(partly > 0, "in {rounds} rounds no cancelled read had carried a byte");
    println!("{partly} of {rounds} cancelled reads carried data");
    loopback.close();
}

pub(super) fn cancel_against_completion_gives_exactly_one_completion(rig: &mut dyn Rig) {
    let rounds = rig.rounds();
    let mut loopback = Loopback::open(rig);
    let packet = loopback.packet;
    let mut won = 0;
    for round in 0..rounds {
        let bytes = pattern(64, round);
        let read = loopback.bulk_in.submit(vec![0; packet]);
        let write = loopback.bulk_out.submit(bytes.clone());
        for _ in 0..(round % 64) * 50 {
            std::hint::spin_loop();
        }
        loopback.bulk_in.endpoint.cancel(read);
        let completion = loopback.bulk_in.wait_for(read);
        assert_eq!(loopback.bulk_out.wait_for(write).status, TransferStatus::Completed);
        match completion.status {
            TransferStatus::Completed => won += 1,
            TransferStatus::Cancelled => {}
            other => panic!("round {round}: {other:?}"),
        }
        let got = if completion.actual > 0 { completion.received().to_vec() } else { loopback.read(packet) };
        assert_eq!(got, bytes, "round {round}: the bytes came once");
        loopback.bulk_in.assert_nothing_more();
    }
    println!("{won} of {rounds} reads were done before their cancel");
    loopback.assert_echoes();
    loopback.close();
}

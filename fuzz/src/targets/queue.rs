//! The queue of a pipe, as a sequence of operations, beside the ledger that its own tests have.

use usbscan_daemon::queue::*;

// The file itself: what is compiled into the daemon's library for its tests is in nobody else's.
#[path = "../../../crates/daemon/src/pipe/queue/ledger.rs"]
mod ledger;

use ledger::{Op, Run, STEP};

/// What one input may hold.
const MOST: usize = 256;

/// The first byte says how many transfers may be in flight; then two bytes are an operation: which, and a number that it takes.
pub fn queue(bytes: &[u8]) {
    let Some((depth, operations)) = bytes.split_first() else { return };
    let mut run = Run::new(1 + usize::from(depth % 4));
    for pair in operations.chunks_exact(2).take(MOST) {
        run.step(understand(pair[0], usize::from(pair[1])));
    }
    run.drain();
}

fn understand(kind: u8, number: usize) -> Op {
    let (pick, bytes) = (number / 16, number % (STEP + 1));
    let reason = if number % 2 == 0 { Reason::Requested } else { Reason::Deadline };
    match kind % 24 {
        0..=4 => Op::Push { session: (number % 3) as u8, bytes: number / 4 % 20, empty_packet: number % 2 == 1 },
        5..=9 => Op::Next,
        10 | 11 => Op::Complete { pick, bytes, short: false },
        12 => Op::Complete { pick, bytes, short: true },
        13 => Op::GiveBack { pick, bytes },
        14 => Op::Break { pick, fault: [Fault::Stall, Fault::Overrun, Fault::Io][number % 3] },
        15 => Op::CancelOne { pick, reason },
        16 => Op::CancelSession { session: (number % 3) as u8 },
        17 if number < 128 => Op::CancelAll,
        17 => Op::Expire { pick },
        18 => Op::Hold,
        19 => Op::Release,
        20 => Op::Thaw,
        21 if number < 16 => Op::Lose,
        21 if number < 32 => Op::HostStuck,
        21 => Op::Refuse,
        22 => Op::NoRoom { max_transfer: bytes },
        _ => Op::Pop,
    }
}

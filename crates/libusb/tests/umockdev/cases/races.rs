//! Cancels against completions, by the thousand.

use std::thread;

use crossbeam_channel::{Sender, unbounded};
use usbscan_usb::{Completion, TransferStatus, Token};

use super::{BULK_IN, BULK_OUT, Pipe, close, loopback};
use crate::rig::UmockdevRig;

pub fn in_tens_of_thousands_of_races_every_transfer_completes_once(rig: &mut UmockdevRig<'_>) {
    const ROUNDS: u64 = 3000;
    const DEPTH: u64 = 8;
    const PACKET: usize = 512;
    let mut device = loopback(rig);
    let (mut reads, out) = (Pipe::new(&mut *device, BULK_IN), Pipe::new(&mut *device, BULK_OUT));
    let (let_write, writer) = packet_writer(out);
    let (mut cancelled, mut packets) = (0, 0);
    for round in 0..ROUNDS {
        let tokens: Vec<Token> = (0..DEPTH).map(|i| Token(round * DEPTH + i)).collect();
        tokens.iter().for_each(|token| reads.submit(token.0, vec![0; PACKET]));
        let_write.send(round % (DEPTH + 1)).expect("the writer writes on");
        for _ in 0..(round % 61) * 100 {
            std::hint::spin_loop();
        }
        let mut cancel = |token: &Token| {
            reads.endpoint.cancel(*token);
        };
        match round % 3 {
            0 => tokens.iter().rev().for_each(&mut cancel),
            1 => tokens.iter().for_each(&mut cancel),
            _ => tokens.iter().step_by(2).chain(&tokens).for_each(&mut cancel),
        }
        let mut ended: Vec<Completion> = tokens.iter().map(|_| reads.wait()).collect();
        assert!(reads.done.is_empty(), "round {round}: one completion each");
        ended.sort_by_key(|completion| completion.token);
        assert!(ended.iter().map(|completion| completion.token).eq(tokens), "round {round}");
        for completion in ended {
            assert!(matches!(completion.status, TransferStatus::Completed | TransferStatus::Cancelled), "{:?}", completion.status);
            cancelled += u64::from(completion.status == TransferStatus::Cancelled);
            for packet in completion.received().chunks(PACKET) {
                assert_eq!(packet, numbered(packets), "round {round}: nothing is lost, nothing comes twice");
                packets += 1;
            }
        }
    }
    drop(let_write);
    writer.join().expect("every write was accepted and completed");
    println!("{cancelled} of {} transfers were cancelled, {packets} packets arrived", ROUNDS * DEPTH);
    close(device);
}

/// A thread that writes as many numbered packets as it is told to, until nobody tells it any more.
fn packet_writer(mut out: Pipe) -> (Sender<u64>, thread::JoinHandle<()>) {
    let (tell, told) = unbounded::<u64>();
    let writer = thread::spawn(move || {
        let mut written = 0;
        for packets in told.into_iter().filter(|packets| *packets > 0) {
            out.submit(1, (written..written + packets).flat_map(numbered).collect::<Vec<u8>>());
            assert_eq!(out.wait().status, TransferStatus::Completed);
            written += packets;
        }
    });
    (tell, writer)
}

/// A packet that says which one it is.
fn numbered(number: u64) -> [u8; 512] {
    let mut packet = [number as u8; 512];
    packet[..8].copy_from_slice(&number.to_le_bytes());
    packet
}

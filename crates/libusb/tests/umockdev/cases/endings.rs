//! Closing, a stuck host, being idle, and what is left.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use usbscan_shm::SharedMemory;
use usbscan_usb::contract::Rig;
use usbscan_usb::{Buffer, ErrorKind, Token};

use super::{BULK_IN, DEADLINE, Pipe, close, echoes, loopback, open, plug};
use crate::models::Changed;
use crate::rig::UmockdevRig;

pub fn one_host_stuck_device_is_reported_and_harms_no_other(rig: &mut UmockdevRig<'_>) {
    let mut host_stuck = plug(rig, Changed::host_stuck());
    let mut pipe = Pipe::new(&mut *host_stuck, BULK_IN);
    pipe.submit(1, vec![0; 512]);
    let error = host_stuck.close(Duration::from_millis(50)).expect_err("the host controller keeps the transfer");
    assert_eq!(error.kind, ErrorKind::HostStuck, "{error}");
    assert!(pipe.done.is_empty(), "the transfer is still out");
    let rejected = pipe.endpoint.submit(Token(2), vec![0; 512].into()).expect_err("nobody touches it any more");
    assert_eq!(rejected.error.kind, ErrorKind::NoDevice);
    let mut other = loopback(rig);
    echoes(&mut *other);
    close(other);
    rig.unplug();
    // Unplugging the host-stuck device frees the transfer, and with it the thread that was left to close it.
    rig.unplug();
    assert_eq!(pipe.wait().token, Token(1));
}

pub fn what_a_host_stuck_device_may_write_to_stays_mapped(rig: &mut UmockdevRig<'_>) {
    let mut host_stuck = plug(rig, Changed::host_stuck());
    let mut pipe = Pipe::new(&mut *host_stuck, BULK_IN);
    let memory = SharedMemory::new(512).expect("memory");
    let region = memory.region(0..512).expect("all of it");
    let address = region.as_mut_ptr() as usize;
    pipe.submit(1, region);
    drop(memory);
    host_stuck.close(Duration::from_millis(50)).expect_err("the host controller keeps the transfer");
    assert!(mapped(address).contains("usbscan"), "the transfer is still out");
    rig.unplug();
    assert!(matches!(pipe.wait().buffer, Buffer::Shared(region) if region.as_mut_ptr() as usize == address));
}

/// The line of this process's mappings about an address.
fn mapped(address: usize) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux lists what is mapped");
    let hex = |text: &str| usize::from_str_radix(text, 16).expect("an address");
    let is_at = |line: &&str| {
        let (range, _) = line.split_once(' ').expect("a range and more");
        let (from, to) = range.split_once('-').expect("two ends");
        (hex(from)..hex(to)).contains(&address)
    };
    maps.lines().find(is_at).unwrap_or_default().to_owned()
}

pub fn submitting_while_another_thread_closes_loses_no_completion(rig: &mut UmockdevRig<'_>) {
    for round in 0..100_u32 {
        let mut device = loopback(rig);
        let mut pipe = Pipe::new(&mut *device, BULK_IN);
        let worker = thread::spawn(move || {
            let mut accepted = BTreeSet::new();
            for token in 0.. {
                match pipe.endpoint.submit(Token(token), vec![0; 512].into()) {
                    Ok(()) => assert!(accepted.insert(Token(token))),
                    Err(rejected) => {
                        assert_eq!(rejected.error.kind, ErrorKind::NoDevice, "{}", rejected.error);
                        break;
                    }
                }
            }
            (pipe, accepted)
        });
        for _ in 0..round * 200 {
            std::hint::spin_loop();
        }
        close(device);
        let (pipe, accepted) = worker.join().expect("no panic");
        let completed: Vec<Token> = pipe.done.try_iter().map(|completion| completion.token).collect();
        assert_eq!(completed.len(), accepted.len(), "one completion each, all before the close is over");
        assert_eq!(BTreeSet::from_iter(completed), accepted);
        rig.unplug();
    }
}

pub fn an_idle_device_wakes_nobody_up(rig: &mut UmockdevRig<'_>) {
    let mut device = loopback(rig);
    // Then the event thread has run, and has its name.
    echoes(&mut *device);
    let mut pipe = Pipe::new(&mut *device, BULK_IN);
    pipe.submit(1, vec![0; 512]);
    // An event thread that polls, or whose loop spins, never comes to rest.
    let event_thread = format!("usb {}", device.info().location);
    let at_rest = || {
        let before = times_asleep(&event_thread);
        thread::sleep(Duration::from_millis(300));
        times_asleep(&event_thread) == before
    };
    assert!((0..20).any(|_| at_rest()), "the event thread wakes up while nothing happens");
    pipe.endpoint.cancel(Token(1));
    pipe.wait();
    close(device);
}

pub fn nothing_is_left_running_after_the_last_close(rig: &mut UmockdevRig<'_>) {
    let threads = || std::fs::read_dir("/proc/self/task").expect("we have threads").count();
    let location = rig.plug();
    let before = threads();
    let watch = rig.bus().watch(crossbeam_channel::bounded(1).0).expect("the bus can be watched");
    close(open(rig, &location));
    assert!(threads() > before, "the watch has its thread, and libusb its own");
    drop(watch);
    // A thread that was joined may be listed for a moment longer.
    let began = Instant::now();
    while threads() > before {
        assert!(began.elapsed() < DEADLINE, "{} threads were left behind", threads() - before);
        thread::yield_now();
    }
}

/// How often a thread of this process has gone to sleep.
fn times_asleep(name: &str) -> String {
    for entry in std::fs::read_dir("/proc/self/task").expect("we have threads").flatten() {
        let file = |file| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        if file("comm").trim() == name {
            let status = file("status");
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"));
            return line.expect("Linux counts them").to_owned();
        }
    }
    panic!("no thread is named {name}");
}

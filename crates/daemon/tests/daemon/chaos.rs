//! Seeded mixtures of faults: whatever a scanner does, every request ends, once; the daemon and its other scanners go on.
//!
//!     USBSCAN_CHAOS_SEED=7 USBSCAN_CHAOS_SEEDS=1 cargo test --test daemon chaos     # one mixture again

use usbscan_wire::{Command, ControlDirection, Status};

use testkit::rig::{COUNT, Rig, open, vendor};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

#[test]
fn under_any_mixture_of_faults_every_request_ends_once_and_the_other_scanner_works() {
    let first = number("USBSCAN_CHAOS_SEED", 0);
    for seed in first..first + number("USBSCAN_CHAOS_SEEDS", 24) {
        // Shown if it fails.
        println!("USBSCAN_CHAOS_SEED={seed}");
        let rig = Rig::new(&[&format!("loopback,chaos={seed}"), "loopback,serial=OTHER"]);
        let mut client = rig.client();
        let mut watcher = rig.client();
        let opened = client.send(open("1209:0001:LOOP0001"));
        // Every second time the scanner is open before the cancel can come.
        if seed % 2 == 1 {
            client.answer(opened);
        }
        let mut sent = Vec::from_iter((seed % 2 == 0).then_some(opened));
        for length in [100, 5000, 60_000] {
            sent.push(client.write(&vec![seed as u8; length]));
            sent.push(client.read(length as u32));
            sent.push(client.send(vendor(COUNT, ControlDirection::In, 1, 8)));
        }
        sent.push(client.read(512));
        sent.push(client.send(Command::WaitEvent { endpoint: None, timeout: None }));
        // The cancel comes over another connection, so at any moment of all that.
        let cancel = watcher.call(Command::CancelPending { device: Some("1209:0001:LOOP0001".to_owned()) });
        println!("{seed}: {} {:?}", cancel.status, cancel.message);
        // What it did not meet ends with the session's own.
        let rest = client.send(Command::CancelSession { session: None });
        sent.push(rest);
        for id in sent {
            client.answer(id);
        }
        assert_eq!(client.order.len(), client.distinct(), "{seed}: one answer a request");
        drop(client);
        let mut other = rig.client();
        other.open("1209:0001:OTHER");
        other.write_all(b"unharmed");
        assert_eq!(other.read_all(512), b"unharmed", "{seed}");
        assert_eq!(other.call(Command::List { device: None, descriptors: false }).status, Status::Success);
    }
}

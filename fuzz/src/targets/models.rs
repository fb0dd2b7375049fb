//! Virtual scanners against a host that says whatever the input says: tools/vscan shows them to kernels and over TCP.

use std::time::{Duration, Instant};

use usbscan_usb::{Direction, EndpointAddress, Setup};
use usbscan_virtual::{In, spec};

const SPECS: [&str; 8] = [
    "escl,adf=2,duplex=yes",
    "escl,layout=alternate,interfaces=3,framing=length,delete=waits-for-page",
    "esci,adf=2,duplex=yes",
    "esci,level=D7,adf=2,sheet=a6",
    "esci,dialect=esc,level=B7",
    "esci2,sheet=a6,frame=dnl",
    "xerox,adf=2,jpeg=yes",
    "loopback,endpoints=3",
];

/// The first byte says which scanner; then each step is a byte that says what is done, a length, and so many bytes.
pub fn models(bytes: &[u8]) {
    let Some((which, mut rest)) = bytes.split_first() else { return };
    let mut model = spec::parse(SPECS[usize::from(*which) % SPECS.len()]).expect("a good description");
    let all: Vec<EndpointAddress> = {
        let settings = &model.descriptors().configuration.interfaces;
        settings.iter().flat_map(|setting| &setting.endpoints).map(|endpoint| endpoint.address).collect()
    };
    let of = |direction: Direction| all.iter().copied().filter(|e| e.direction() == direction).collect::<Vec<_>>();
    let (outs, ins) = (of(Direction::Out), of(Direction::In));
    let mut now = Instant::now();
    let mut buffer = vec![0; 8192];
    while let [step, length, tail @ ..] = rest {
        let (data, next) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = next;
        let number = usize::from(step >> 3);
        match step & 7 {
            0..=2 => drop(model.bulk_out(now, outs[number % outs.len()], data)),
            3 | 4 => {
                let endpoint = ins[number % ins.len()];
                for _ in 0..=*length {
                    match model.bulk_in(now, endpoint, &mut buffer) {
                        In::Data(n) => assert!(n <= buffer.len(), "{n} bytes in {}", buffer.len()),
                        _ => break,
                    }
                }
            }
            5 => {
                if let Some((head, data)) = data.split_first_chunk::<{ Setup::BYTES }>() {
                    let setup = Setup::from_bytes(*head);
                    let data = if setup.direction() == Direction::In { &[] } else { data };
                    drop(model.control(now, setup, data));
                }
            }
            6 if *length == 0 => model.reset(),
            6 => model.clear_halt(all[number % all.len()]),
            _ => now += Duration::from_millis(u64::from(*length) * 100),
        }
    }
}

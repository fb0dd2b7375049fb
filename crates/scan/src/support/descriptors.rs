//! The interfaces of a device that are of some class, from its descriptors as the daemon lists them. Values only.

use crate::ClassTriple;

const CONFIGURATION: u8 = 2;
const INTERFACE: u8 = 4;
const ENDPOINT: u8 = 5;

/// An interface with a pair of bulk pipes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InterfacePipes {
    pub interface: u8,
    pub alternate: u8,
    /// Addresses of endpoints.
    pub read: u8,
    pub write: u8,
    /// Of the packets that are read.
    pub packet_bytes: u16,
}

/// Those of one of these classes in this configuration, each once, in the order of the descriptors: what a device has made of
/// them is believed as far as it goes.
pub(crate) fn interfaces_of(descriptors: &[u8], configuration: u8, classes: &[ClassTriple]) -> Vec<InterfacePipes> {
    let mut all: Vec<InterfacePipes> = Vec::new();
    let mut is_here = false;
    // The setting that is being read: its numbers, and the endpoints that it has.
    let (mut setting, mut read, mut write) = (None, None, None);
    let mut rest = descriptors;
    while let [length, kind, ..] = *rest {
        let Some((one, behind)) = rest.split_at_checked(usize::from(length)).filter(|_| length >= 2) else { break };
        rest = behind;
        match (kind, one) {
            (CONFIGURATION, [_, _, _, _, _, value, ..]) => {
                is_here = *value == configuration;
                setting = None;
            }
            (INTERFACE, [_, _, number, alternate, _, class, subclass, protocol, ..]) => {
                let is_wanted = is_here && classes.contains(&(*class, *subclass, *protocol));
                setting = is_wanted.then_some((*number, *alternate));
                (read, write) = (None, None);
            }
            (ENDPOINT, [_, _, address, attributes, low, high, ..]) if attributes & 3 == 2 => {
                let pipe = if address & 0x80 == 0 { &mut write } else { &mut read };
                pipe.get_or_insert((*address, u16::from_le_bytes([*low, *high]) & 0x7ff));
            }
            _ => {}
        }
        if let (Some((interface, alternate)), Some((read, packet_bytes @ 1..)), Some((write, _))) =
            (setting, read, write)
        {
            if all.iter().all(|one| one.interface != interface) {
                all.push(InterfacePipes { interface, alternate, read, write, packet_bytes });
            }
            setting = None;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRINTER: [u8; 9] = [9, 4, 0, 0, 2, 7, 1, 2, 0];
    const CLASSES: [ClassTriple; 2] = [(7, 1, 4), (255, 9, 1)];

    fn configuration(value: u8) -> Vec<u8> {
        vec![9, 2, 0, 0, 2, value, 0, 0x80, 50]
    }

    fn setting(interface: u8, alternate: u8, first: u8) -> Vec<u8> {
        let head = [9, 4, interface, alternate, 2, 7, 1, 4, 0];
        // A descriptor of the class stands between, as with many devices.
        let between = [0x0a, 0x21, 1, 1, 0, 4, 0x12, 0, 0, 0];
        let ends = [[7, 5, first, 2, 0, 2, 0], [7, 5, first | 0x80, 2, 0, 2, 0]].concat();
        [&head[..], &between, &ends].concat()
    }

    #[test]
    fn each_interface_is_told_with_the_setting_and_the_pipes_in_which_it_is_of_the_class() {
        let printer = [&PRINTER[..], &[7, 5, 1, 2, 0, 2, 0], &[7, 5, 0x81, 2, 0, 2, 0]].concat();
        let all = [
            configuration(1),
            printer,
            setting(0, 1, 1),
            setting(1, 0, 2),
            setting(1, 1, 3),
            configuration(2),
            setting(4, 0, 4),
        ];
        let found = interfaces_of(&all.concat(), 1, &CLASSES);
        let one = |interface, alternate, number| InterfacePipes {
            interface,
            alternate,
            read: 0x80 | number,
            write: number,
            packet_bytes: 512,
        };
        assert_eq!(found, [one(0, 1, 1), one(1, 0, 2)]);
        assert_eq!(interfaces_of(&all.concat(), 2, &CLASSES), [one(4, 0, 4)]);
        assert_eq!(interfaces_of(&all.concat(), 3, &CLASSES), []);
    }

    proptest! {
        #[test]
        fn whatever_a_device_says_is_read_to_its_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for pipes in interfaces_of(&bytes, 1, &CLASSES) {
                prop_assert!(pipes.read & 0x80 != 0 && pipes.write & 0x80 == 0 && pipes.packet_bytes > 0);
            }
        }
    }
}

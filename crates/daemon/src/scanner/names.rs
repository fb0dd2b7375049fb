//! What scanners are called: names by order of arrival, stable ids that survive replugging, and which one is meant by
//! a beginning of either. Functions of values.

use usbscan_usb::DeviceInfo;
use usbscan_wire::{NameMatch, match_name};

use crate::failure::Failure;

/// The lowest `usbscanN` that is not taken.
pub(crate) fn next_name<'a>(taken: impl Iterator<Item = &'a str> + Clone) -> String {
    let free = |name: &String| !taken.clone().any(|taken| taken == name);
    (0..).map(|number| format!("usbscan{number}")).find(free).expect("names do not run out")
}

/// `VID:PID:serial`: the stable id of a scanner whose serial number no other has. `None` without one.
pub(crate) fn id_by_serial(info: &DeviceInfo) -> Option<String> {
    let serial = info.serial.as_deref().filter(|serial| !serial.trim().is_empty())?;
    Some(format!("{}:{}:{serial}", info.descriptor.vendor, info.descriptor.product))
}

/// `VID:PID:port`: the stable id of the others.
pub(crate) fn id_by_port(info: &DeviceInfo) -> String {
    format!("{}:{}:{}", info.descriptor.vendor, info.descriptor.product, info.location.port_path())
}

/// The scanner that is meant: by name or stable id, or by a prefix that only one of them has.
pub(crate) fn resolve(asked: &str, present: &[(&str, &str)]) -> Result<usize, Failure> {
    let found: Vec<NameMatch> = present.iter().map(|(name, id)| match_name(asked, name, id)).collect();
    if let Some(at) = found.iter().position(|found| *found == NameMatch::Whole) {
        return Ok(at);
    }
    let matches: Vec<usize> = (0..present.len()).filter(|at| found[*at] == NameMatch::Prefix).collect();
    let join = |all: Vec<String>| if all.is_empty() { "none".to_owned() } else { all.join(", ") };
    match matches[..] {
        [] => {
            let present = join(present.iter().map(|(name, id)| format!("{name} ({id})")).collect());
            Err(Failure::Unknown { asked: asked.to_owned(), present })
        }
        [at] => Ok(at),
        _ => {
            let matches = join(matches.iter().map(|at| format!("{} ({})", present[*at].0, present[*at].1)).collect());
            Err(Failure::Ambiguous { asked: asked.to_owned(), matches })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRESENT: &[(&str, &str)] =
        &[("usbscan0", "04b8:0151:ABC"), ("usbscan1", "1209:0001:LOOP0001"), ("usbscan10", "04b8:0142:1-2.4")];

    fn found(asked: &str) -> Option<usize> {
        resolve(asked, PRESENT).ok()
    }

    #[test]
    fn a_name_is_the_lowest_that_is_free() {
        assert_eq!(next_name(["usbscan0", "usbscan2"].into_iter()), "usbscan1");
        assert_eq!(next_name([].into_iter()), "usbscan0");
    }

    #[test]
    fn names_ids_and_unambiguous_beginnings_are_understood() {
        assert_eq!(found("usbscan0"), Some(0));
        assert_eq!(found("usbscan1"), Some(1), "a whole name wins over longer ones");
        assert_eq!(found("04b8:0142:1-2"), None, "a complete id is no prefix of a longer one");
        assert_eq!(found("1209"), Some(1));
        assert_eq!(found("04B8:0151:abc"), Some(0));
        assert_eq!(found("04b8:0151"), Some(0));
    }

    #[test]
    fn what_may_mean_several_is_answered_with_them() {
        let error = resolve("04b8", PRESENT).unwrap_err();
        assert_eq!(error.to_string(), r#""04b8" may mean usbscan0 (04b8:0151:ABC), usbscan10 (04b8:0142:1-2.4)"#);
    }

    #[test]
    fn what_means_nothing_is_answered_with_what_there_is() {
        assert!(resolve("x", PRESENT).unwrap_err().to_string().contains("there are: usbscan0 (04b8:0151:ABC), "));
        assert!(resolve("x", &[]).unwrap_err().to_string().ends_with("there are: none"));
        assert!(resolve("é", PRESENT).is_err());
    }
}

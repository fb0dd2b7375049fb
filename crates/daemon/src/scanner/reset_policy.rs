//! Whether a recovery may reset a scanner's port. A function of values.
//!
//! A reset takes every interface of the device from its users, and nothing shows whether a printer prints from its
//! memory. So by default it is done only where the scanner is alone.

use usbscan_usb::ConfigurationDescriptor;

use crate::config::models::ResetPolicy;

/// `bInterfaceClass` of printers and of mass storage.
const OTHERS_CLASSES: [u8; 2] = [7, 8];

/// Which policy counts: the model's own; `never` for a device that also prints or stores; else the configuration's.
pub(crate) fn policy(
    model: Option<ResetPolicy>,
    configured: ResetPolicy,
    configuration: Option<&ConfigurationDescriptor>,
) -> ResetPolicy {
    let does_more = configuration.is_some_and(|configuration| {
        configuration.interfaces.iter().any(|interface| OTHERS_CLASSES.contains(&interface.class))
    });
    model.unwrap_or(if does_more { ResetPolicy::Never } else { configured })
}

/// Why the port is not reset, where it is not. `others_hold`: another session holds another interface of the device.
///
/// # Errors
/// In words, for the report.
pub(crate) fn may_reset(policy: ResetPolicy, others_hold: bool) -> Result<(), &'static str> {
    match policy {
        ResetPolicy::Never => Err("its port is never reset"),
        ResetPolicy::IfAlone | ResetPolicy::AfterJob if others_hold => {
            Err("its port is not reset, since another session uses another interface of it")
        }
        ResetPolicy::IfAlone | ResetPolicy::AfterJob | ResetPolicy::Always => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use usbscan_usb::{InterfaceDescriptor, InterfaceNumber};

    use super::*;

    fn with_class(class: u8) -> ConfigurationDescriptor {
        let interface = |number, class| InterfaceDescriptor {
            number: InterfaceNumber(number),
            alternate: 0,
            class,
            subclass: 1,
            protocol: 2,
            string_index: 0,
            endpoints: Vec::new(),
        };
        ConfigurationDescriptor {
            value: 1,
            attributes: 0,
            max_power: 0,
            interfaces: vec![interface(0, 0xff), interface(1, class)],
        }
    }

    #[test]
    fn a_device_that_also_prints_or_stores_is_reset_only_if_its_model_says_so() {
        for class in OTHERS_CLASSES {
            let does_more = with_class(class);
            assert_eq!(policy(None, ResetPolicy::Always, Some(&does_more)), ResetPolicy::Never);
            let own = Some(ResetPolicy::AfterJob);
            assert_eq!(policy(own, ResetPolicy::Never, Some(&does_more)), ResetPolicy::AfterJob);
        }
        assert_eq!(policy(None, ResetPolicy::Always, Some(&with_class(0xff))), ResetPolicy::Always);
        assert_eq!(policy(None, ResetPolicy::IfAlone, None), ResetPolicy::IfAlone);
    }

    #[test]
    fn bystanders_keep_a_port_from_being_reset_unless_it_always_is() {
        assert!(may_reset(ResetPolicy::IfAlone, false).is_ok());
        assert!(may_reset(ResetPolicy::IfAlone, true).is_err());
        assert!(may_reset(ResetPolicy::AfterJob, true).is_err());
        assert!(may_reset(ResetPolicy::Always, true).is_ok());
        assert!(may_reset(ResetPolicy::Never, false).is_err());
    }
}

//! What a user does with a scanner, with both real programs: usbscand and usbscan. See rig.rs for the two kinds of
//! scanner that this runs on.

mod actions;
mod cancel;
mod capture;
mod clients;
mod death;
mod esci2;
mod escl;
mod escl_options;
mod faults;
mod memory;
mod output;
mod page;
mod pages;
mod passed;
mod plug;
mod program;
mod proxy;
mod recovery;
mod resets;
mod rig;
mod scan;
mod watch;
mod wrong;

//! `claim` and `release`: the interfaces that a session has besides the one that it opened, each in a setting of its choice.
//! Two sessions may have one interface in the same setting; no setting changes while another session has the interface.

use std::sync::Arc;

use usbscan_usb::InterfaceNumber;

use crate::failure::Failure;
use crate::pipe::orders::{PipeHandle, Role};
use crate::scanner::function::{self, Function};
use crate::scanner::halts::with_control_quiet;
use crate::scanner::supervisor::Supervisor;
use crate::session::binding::Binding;
use crate::session::handle::Session;

impl Supervisor {
    /// `claim`. A session that has the interface already gets the setting that it names, sent anew: both sides' data toggles
    /// begin again, as after libusb's `set_interface_alt_setting`.
    pub(super) fn claim_interface(
        &mut self,
        session: &Arc<Session>,
        interface: InterfaceNumber,
        alternate: Option<u8>,
    ) -> Result<(), Failure> {
        self.scanner.check()?;
        let scanner = self.scanner.clone();
        let device = || scanner.name.clone();
        let binding = session.binding().ok_or(Failure::NotOpen { command: "claim" })?;
        let settings: Vec<u8> =
            function::settings(&scanner.info(), interface).map(|setting| setting.alternate).collect();
        if settings.is_empty() {
            return Err(Failure::BadInterface { device: device(), interface: interface.0 });
        }
        if let Some(alternate) = alternate.filter(|wanted| !settings.contains(wanted)) {
            return Err(Failure::BadAlternate { device: device(), interface: interface.0, alternate });
        }
        let is_again = binding.claims.contains_key(&interface);
        let present = self.claim()?.take(interface)?;
        let wanted = alternate.unwrap_or(present);
        let changes = wanted != present || (is_again && alternate.is_some());
        let changed = if changes { self.change_setting(session, interface, wanted) } else { Ok(()) };
        let pipes = match changed.and_then(|()| Ok(self.claim()?.pipes_of(interface)?)) {
            Ok(pipes) => pipes,
            // It has been taken from its kernel driver, and nobody has it.
            Err(failure) if !is_again => {
                self.give_back_soon(session, interface);
                return Err(failure);
            }
            Err(failure) => return Err(failure),
        };
        let mut binding = Binding::clone(&binding);
        if interface == binding.interface {
            bind_again(&mut binding, &pipes);
        }
        binding.claims.insert(interface, pipes);
        session.rebind(binding);
        self.tell_pipes_again()
    }

    fn change_setting(
        &mut self,
        session: &Arc<Session>,
        interface: InterfaceNumber,
        alternate: u8,
    ) -> Result<(), Failure> {
        self.check_alone(session, interface)?;
        // It goes over the wire, as a write does.
        self.scanner.admit(session, || ())?;
        let device = self.scanner.name.clone();
        let changed = with_control_quiet(&self.scanner.clone(), || match self.claimed.as_mut() {
            Some(claimed) => Ok(claimed.set_alternate(interface, alternate)?),
            None => Err(Failure::Gone { device }),
        });
        if changed.is_err() && self.scanner.check().is_ok() {
            self.bind_old_setting_again(session, interface);
        }
        // The pipes of the old setting have ended, whether there is a new one or not.
        self.tell_pipes_again()?;
        changed
    }

    /// The device has refused another setting: the session has new pipes of the one that the interface is still in.
    fn bind_old_setting_again(&mut self, session: &Arc<Session>, interface: InterfaceNumber) {
        let Some(binding) = session.binding().filter(|binding| binding.has(interface)) else { return };
        let pipes = match self.claimed.as_mut().map(|claimed| claimed.pipes_of(interface)) {
            Some(Ok(pipes)) => pipes,
            Some(Err(error)) => return log::warn!("{error}"),
            None => return,
        };
        let mut binding = Binding::clone(&binding);
        if interface == binding.interface {
            bind_again(&mut binding, &pipes);
        }
        if let Some(claimed) = binding.claims.get_mut(&interface) {
            *claimed = pipes;
        }
        session.rebind(binding);
    }

    /// Nobody else has the interface, and nothing is pending on its pipes.
    fn check_alone(&self, session: &Arc<Session>, interface: InterfaceNumber) -> Result<(), Failure> {
        let device = || self.scanner.name.clone();
        let uses = |other: &Arc<Session>| other.binding().is_some_and(|binding| binding.has(interface));
        let others = self.scanner.sessions().into_iter().filter(|other| other.id() != session.id());
        if let Some(holder) = others.into_iter().find(uses) {
            return Err(Failure::InterfaceInUse {
                device: device(),
                interface: interface.0,
                holder: holder.peer.clone(),
            });
        }
        let info = self.scanner.info();
        let settings = function::settings(&info, interface);
        let endpoints: Vec<_> = settings.flat_map(|setting| &setting.endpoints).map(|one| one.address).collect();
        match session.pending().iter().any(|request| endpoints.contains(&request.endpoint)) {
            true => Err(Failure::InterfaceBusy { device: device(), interface: interface.0 }),
            false => Ok(()),
        }
    }

    /// `release`. What the session had pending there has been cancelled.
    pub(super) fn release_interface(
        &mut self,
        session: &Arc<Session>,
        interface: InterfaceNumber,
    ) -> Result<(), Failure> {
        let binding = session.binding().ok_or(Failure::NotOpen { command: "release" })?;
        let mut binding = Binding::clone(&binding);
        let not_claimed = || Failure::NotClaimed { device: self.scanner.name.clone(), interface: interface.0 };
        binding.claims.remove(&interface).ok_or_else(not_claimed)?;
        let is_last = binding.claims.is_empty();
        session.rebind(binding);
        if is_last {
            session.disarm();
        }
        self.give_back_soon(session, interface);
        Ok(())
    }

    /// Gives it back if nobody has it: now, or when that can be done.
    fn give_back_soon(&mut self, session: &Session, interface: InterfaceNumber) {
        self.given_back.insert(interface);
        self.give_back_unused(Some(session.id()));
    }

    /// Gives back what sessions have let go. It may go over the wire, so while another session than this one has the lock that waits
    /// for the end of that. What can't be given back now (somebody's control request is pending) is tried again the next time.
    pub(super) fn give_back_unused(&mut self, by: Option<u64>) {
        if self.given_back.is_empty() || self.scanner.lock_holder().is_some_and(|holder| Some(holder) != by) {
            return;
        }
        for interface in std::mem::take(&mut self.given_back) {
            if let Err(failure) = self.give_back_if_unused(interface) {
                log::info!("interface {} is given back later: {failure}", interface.0);
                self.given_back.insert(interface);
            }
        }
    }

    /// Whether an interface is in the setting that whoever opens it gets, and not in another that a session has chosen. One that
    /// nobody has is put into that.
    pub(super) fn check_setting(&mut self, function: Function) -> Result<(), Failure> {
        let interface = function.interface;
        let present = self.claimed.as_ref().and_then(|claimed| claimed.alternate(interface));
        if present.is_none_or(|present| present == function.alternate) {
            return Ok(());
        }
        let has = |session: &Arc<Session>| session.binding().is_some_and(|binding| binding.has(interface));
        match self.scanner.sessions().into_iter().find(has) {
            Some(session) => {
                let (device, holder) = (self.scanner.name.clone(), session.peer.clone());
                Err(Failure::InterfaceInUse { device, interface: interface.0, holder })
            }
            None => self.give_back_if_unused(interface),
        }
    }

    /// An interface that nobody has any more goes back to its kernel driver; the scanner's own goes back to its own setting.
    fn give_back_if_unused(&mut self, interface: InterfaceNumber) -> Result<(), Failure> {
        let own = self.scanner.function();
        let is_own = interface == own.interface;
        let uses = |session: &Arc<Session>| {
            session.binding().is_some_and(|binding| match is_own {
                true => binding.claims.contains_key(&interface),
                false => binding.has(interface),
            })
        };
        if self.scanner.check().is_err() || self.scanner.sessions().iter().any(uses) {
            return Ok(());
        }
        let Some(present) = self.claimed.as_ref().and_then(|claimed| claimed.alternate(interface)) else {
            return Ok(());
        };
        if is_own && present == own.alternate {
            return Ok(());
        }
        let scanner = self.scanner.clone();
        let done = with_control_quiet(&scanner, || match self.claimed.as_mut() {
            Some(claimed) if is_own => Ok(claimed.set_alternate(interface, own.alternate)?),
            Some(claimed) => Ok(claimed.give_back(interface)?),
            None => Ok(()),
        });
        if is_own {
            self.bind_own_again();
        }
        self.tell_pipes_again()?;
        done
    }

    /// Sessions that have the scanner's own interface open have new pipes there.
    fn bind_own_again(&mut self) {
        let own = self.scanner.function().interface;
        let Some(pipes) = self.claimed.as_mut().and_then(|claimed| claimed.pipes_of(own).ok()) else { return };
        for session in self.scanner.sessions() {
            let Some(binding) = session.binding().filter(|binding| binding.interface == own) else { continue };
            let mut binding = Binding::clone(&binding);
            bind_again(&mut binding, &pipes);
            session.rebind(binding);
        }
    }

    /// Lets cancels reach the pipes that there are now.
    fn tell_pipes_again(&mut self) -> Result<(), Failure> {
        if let Some(claimed) = self.claimed.as_ref() {
            self.scanner.set_pipes(claimed.handles());
        }
        Ok(())
    }
}

/// The bound pipes of an interface that has new ones: of each role that with the highest number.
fn bind_again(binding: &mut Binding, pipes: &[PipeHandle]) {
    let highest = |role: Role| {
        let of_role = pipes.iter().filter(|pipe| pipe.role == role);
        of_role.max_by_key(|pipe| pipe.address.number()).cloned()
    };
    // Those that were bound by index stay, where they are still there.
    let keep = |old: &Option<PipeHandle>, role: Role| {
        let same =
            old.as_ref().and_then(|old| pipes.iter().find(|pipe| pipe.address == old.address && pipe.role == role));
        same.cloned().or_else(|| highest(role))
    };
    binding.event = keep(&binding.event, Role::Event);
    binding.read = keep(&binding.read, Role::Read);
    binding.write = keep(&binding.write, Role::Write);
}

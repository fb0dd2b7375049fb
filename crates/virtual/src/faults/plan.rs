//! Which faults a device has, as values: read from words like `stall@1000`, or drawn from a seed.

use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use super::{Effect, Random};
use crate::Unlink;

/// Why words describe no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault \"{0}\"; there are: {known}", known = Fault::KNOWN)]
pub struct FaultError(pub String);

/// One fault, as the key `fault=` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// On bulk-in, at this byte.
    In(u64, Effect),
    /// On bulk-out, at this byte. A babble or garble is a stall there.
    Out(u64, Effect),
    /// Every bulk-in transfer is cut by a short packet, at places drawn from this seed.
    Short(u64),
    /// This class or vendor request (the first is 1) is never answered.
    Hang(u64),
    /// No class or vendor request is answered from this byte of bulk-in on, until a bus reset: so one can be placed inside a
    /// scan, and a recovery meets it.
    HangFrom(u64),
}

impl Fault {
    pub const KNOWN: &'static str = "silence@N[:MS], stall@N, babble@N, garble@N, unplug@N, short[@SEED], hang@K, hang-from@N, \
                                     out-silence@N[:MS], out-stall@N, out-unplug@N";
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Fault, FaultError> {
        let error = || FaultError(text.to_owned());
        let (name, at) = match text.split_once('@') {
            Some((name, at)) => (name, Some(at)),
            None => (text, None),
        };
        let (at, time) = match at.and_then(|at| at.split_once(':')) {
            Some((at, ms)) => (Some(at), Some(Duration::from_millis(ms.parse().map_err(|_| error())?))),
            None => (at, None),
        };
        let number = || at.and_then(parse_bytes).ok_or_else(error);
        let fault = match name.strip_prefix("out-").unwrap_or(name) {
            "silence" => Effect::Silence(time),
            "stall" => Effect::Stall,
            "unplug" => Effect::Unplug,
            "babble" if name == "babble" => Effect::Babble,
            "garble" if name == "garble" => Effect::Garble,
            _ if time.is_some() => return Err(error()),
            _ => {
                return match (name, at) {
                    ("short", None) => Ok(Fault::Short(0)),
                    ("short", Some(_)) => Ok(Fault::Short(number()?)),
                    ("hang", _) => Ok(Fault::Hang(number()?)),
                    ("hang-from", _) => Ok(Fault::HangFrom(number()?)),
                    _ => Err(error()),
                };
            }
        };
        if time.is_some() && !matches!(fault, Effect::Silence(_)) {
            return Err(error());
        }
        let at = number()?;
        Ok(if name.starts_with("out-") { Fault::Out(at, fault) } else { Fault::In(at, fault) })
    }
}

/// A number of bytes: `1000`, `64k`, `2M`.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'M' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// All faults of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    at_in: Vec<(u64, Effect)>,
    at_out: Vec<(u64, Effect)>,
    pub(super) short: Option<u64>,
    pub(super) hang_request: Option<u64>,
    pub(super) hang_from: Option<u64>,
    /// Bulk-in gives no more than this.
    pub bytes_per_second: Option<u64>,
    /// So many clear-halts of a halted endpoint have no effect.
    pub stuck_halts: u32,
    /// How soon cancelled transfers come back.
    pub unlink: Unlink,
    /// What a port reset does.
    pub reset: ResetEffect,
    /// The interfaces have no endpoints in setting 0, and theirs in setting 1.
    pub alternate: bool,
}

/// What a port reset does to a device that has fallen silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResetEffect {
    /// It starts afresh.
    #[default]
    Revives,
    /// It stays as it was: only switching it off helps.
    Nothing,
    /// It starts afresh, and answers nothing for so long.
    Slow(Duration),
    /// It starts afresh at another address of the same port, so much later.
    Moves(Duration),
    /// It is gone.
    Leaves,
}

impl ResetEffect {
    /// The words there are.
    pub const KNOWN: &'static str = "yes, no, slow:MS, moves[:MS] or gone";

    /// Reads one of [`ResetEffect::KNOWN`].
    pub fn parse(text: &str) -> Option<ResetEffect> {
        let (word, time) = match text.split_once(':') {
            Some((word, ms)) => (word, Some(Duration::from_millis(ms.parse().ok()?))),
            None => (text, None),
        };
        match (word, time) {
            ("yes", None) => Some(ResetEffect::Revives),
            ("no", None) => Some(ResetEffect::Nothing),
            ("slow", Some(time)) => Some(ResetEffect::Slow(time)),
            ("moves", time) => Some(ResetEffect::Moves(time.unwrap_or_default())),
            ("gone", None) => Some(ResetEffect::Leaves),
            _ => None,
        }
    }
}

impl Plan {
    pub fn add(&mut self, fault: Fault) {
        match fault {
            Fault::In(at, effect) => self.at_in.push((at, effect)),
            Fault::Out(at, effect) => self.at_out.push((at, effect)),
            Fault::Short(seed) => self.short = Some(seed),
            Fault::Hang(request) => self.hang_request = Some(request),
            Fault::HangFrom(at) => self.hang_from = Some(at),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        *self == Plan::default()
    }

    /// The byte of the next fault on bulk-in, from `sent` on; those before can't happen any more.
    pub(super) fn next_in(&self, sent: u64) -> Option<u64> {
        self.at_in.iter().map(|(at, _)| *at).filter(|at| *at >= sent).min()
    }

    /// Takes the fault whose byte is among these.
    pub(super) fn take_in(&mut self, bytes: Range<u64>) -> Option<Effect> {
        take(&mut self.at_in, &bytes)
    }

    pub(super) fn take_out(&mut self, bytes: Range<u64>) -> Option<Effect> {
        take(&mut self.at_out, &bytes)
    }
}

fn take(faults: &mut Vec<(u64, Effect)>, bytes: &Range<u64>) -> Option<Effect> {
    let at = faults.iter().position(|(at, _)| bytes.contains(at))?;
    Some(faults.remove(at).1)
}

/// A mixture of faults from a seed, as words for the keys of a description: one to four at bytes of the
/// first 4 MiB, most of them early; sometimes slow cancels and halts that stick. Never one from which only
/// replugging helps.
pub fn chaos(seed: u64) -> Vec<(&'static str, String)> {
    let mut random = Random::new(seed);
    let mut keys = Vec::new();
    for _ in 0..=random.next() % 4 {
        let at = random.next() >> (42 + random.next() % 20);
        let word = match random.next() % 6 {
            0 | 1 => format!("silence@{at}:{}", 1 + random.next() % 400),
            2 => format!("stall@{at}"),
            3 => format!("garble@{at}"),
            4 => format!("babble@{at}"),
            _ => format!("out-silence@{}:{}", at % 512, 1 + random.next() % 400),
        };
        keys.push(("fault", word));
    }
    if random.next() % 4 == 0 {
        keys.push(("fault", format!("short@{}", random.next() % 1000)));
    }
    if random.next() % 2 == 0 {
        keys.push(("slow-unlink", (random.next() % 30).to_string()));
    }
    if random.next() % 4 == 0 {
        keys.push(("stuck-halt", (1 + random.next() % 2).to_string()));
    }
    keys
}

/// Where a loose cable parts, from a seed: as early as [`chaos`] strikes, mostly while the device sends.
pub(crate) fn falls_off(seed: u64) -> Fault {
    let mut random = Random::new(seed);
    let at = random.next() >> (42 + random.next() % 20);
    if random.next() % 4 == 0 { Fault::Out(at % 512, Effect::Unplug) } else { Fault::In(at, Effect::Unplug) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_faults() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let good = [
            ("silence@10", Fault::In(10, Effect::Silence(None))),
            ("silence@4k:250", Fault::In(4096, Effect::Silence(ms(250)))),
            ("stall@0", Fault::In(0, Effect::Stall)),
            ("babble@2M", Fault::In(2 << 20, Effect::Babble)),
            ("garble@7", Fault::In(7, Effect::Garble)),
            ("unplug@7", Fault::In(7, Effect::Unplug)),
            ("out-silence@7", Fault::Out(7, Effect::Silence(None))),
            ("out-stall@7", Fault::Out(7, Effect::Stall)),
            ("short", Fault::Short(0)),
            ("short@9", Fault::Short(9)),
            ("hang@1", Fault::Hang(1)),
            ("hang-from@1k", Fault::HangFrom(1024)),
        ];
        for (words, fault) in good {
            assert_eq!(words.parse(), Ok(fault), "{words}");
        }
        for words in ["", "stall", "stall@", "stall@x", "stall@1:5", "silence@1:x", "out-babble@1", "hang", "hang@1:2"]
        {
            assert_eq!(words.parse::<Fault>(), Err(FaultError(words.to_owned())), "{words}");
        }
    }

    #[test]
    fn chaos_is_the_same_for_the_same_seed_and_always_readable() {
        for seed in 0..2000 {
            let keys = chaos(seed);
            assert_eq!(keys, chaos(seed));
            assert!(keys.iter().filter(|(key, _)| *key == "fault").all(|(_, word)| word.parse::<Fault>().is_ok()));
        }
        assert_ne!(chaos(1), chaos(2));
    }
}

//! What a scanner speaks, and how sure that is: the words of the model table.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// What a scanner speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Protocol {
    Esci,
    /// ESC/I-2, the protocol of Epson's document scanners.
    Esci2,
    /// eSCL over IPP over USB.
    Escl,
    /// What a backend of SANE's speaks.
    Sane(Backend),
}

/// The word in the socket protocol, in the table, and in the udev database: `esci`, `sane:genesys`.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Protocol::Esci => f.write_str("esci"),
            Protocol::Esci2 => f.write_str("esci2"),
            Protocol::Escl => f.write_str("escl"),
            Protocol::Sane(backend) => write!(f, "sane:{backend}"),
        }
    }
}

/// A word that is none of [`Protocol`]'s.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no protocol: esci, esci2, escl, or sane: and the name of a backend of SANE's, such as sane:genesys")]
pub struct UnknownProtocol(String);

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(word: &str) -> Result<Protocol, UnknownProtocol> {
        match word {
            "esci" => Ok(Protocol::Esci),
            "esci2" => Ok(Protocol::Esci2),
            "escl" => Ok(Protocol::Escl),
            other => {
                let backend = other.strip_prefix("sane:").and_then(Backend::new);
                backend.map(Protocol::Sane).ok_or_else(|| UnknownProtocol(other.to_owned()))
            }
        }
    }
}

impl TryFrom<String> for Protocol {
    type Error = UnknownProtocol;

    fn try_from(word: String) -> Result<Protocol, UnknownProtocol> {
        word.parse()
    }
}

/// The name of a SANE backend, as in `libsane-NAME.so.1`: 1 to 31 of `a-z`, `A-Z`, `0-9`, `_` and `-`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backend {
    /// Its letters, then zeros.
    letters: [u8; Backend::MOST],
}

impl Backend {
    /// Letters at most. The longest of SANE's has 14.
    const MOST: usize = 31;

    /// `None`: it can't be the name of a backend.
    pub fn new(name: &str) -> Option<Backend> {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || !name.bytes().all(is_letter) {
            return None;
        }
        let mut letters = [0; Backend::MOST];
        letters.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Some(Backend { letters })
    }

    /// `genesys`.
    pub fn name(&self) -> &str {
        let end = self.letters.iter().position(|byte| *byte == 0).unwrap_or(Backend::MOST);
        std::str::from_utf8(&self.letters[..end]).unwrap_or_default()
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.name(), f)
    }
}

/// How sure it is that a model speaks its protocol. A model of which the table does not say has an entry of its own making:
/// somebody has looked at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// What it replied has been published.
    Replies,
    /// A list of scanners that another driver scans with names it, and that driver speaks this protocol only.
    Listed,
    /// Named by a list of which that can't be said: the driver speaks other protocols too, two lists disagree, or the list
    /// itself calls it untested.
    Assumed,
    /// SANE's word, of a model that a backend of SANE's drives: all that it can do works.
    Complete,
    /// SANE's word: what is usually needed works.
    Good,
    /// SANE's word: it scans, and more than a little is missing.
    Basic,
    /// SANE's word: it scans in some way.
    Minimal,
    /// SANE's word: its backend knows it, and nobody has said that it works.
    Untested,
}

impl Evidence {
    /// Whether it is said of this protocol: SANE's words are about its backends.
    pub fn fits(self, protocol: Protocol) -> bool {
        let is_sanes = !matches!(self, Evidence::Replies | Evidence::Listed | Evidence::Assumed);
        is_sanes == matches!(protocol, Protocol::Sane(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_read_as_it_is_written() {
        for word in ["esci", "esci2", "escl", "sane:genesys", "sane:artec_eplus48u", "sane:scangearmp2"] {
            assert_eq!(word.parse::<Protocol>().map(|protocol| protocol.to_string()), Ok(word.to_owned()));
        }
    }

    #[test]
    fn a_name_that_leads_out_of_sanes_folder_or_to_no_file_is_none() {
        let long = "x".repeat(32);
        for name in ["", "../genesys", "genesys.so.1", "genesys\n", "gen\0esys", "génesys", &long] {
            assert_eq!(Backend::new(name), None, "{name:?}");
            assert!(format!("sane:{name}").parse::<Protocol>().is_err(), "{name:?}");
        }
        assert_eq!(Backend::new(&long[1..]).map(|backend| backend.name().len()), Some(31));
    }

    #[test]
    fn sanes_words_are_said_of_its_backends_only() {
        let genesys = "sane:genesys".parse().expect("a protocol");
        assert!(Evidence::Complete.fits(genesys) && Evidence::Listed.fits(Protocol::Esci));
        assert!(!Evidence::Untested.fits(Protocol::Esci2) && !Evidence::Replies.fits(genesys));
    }
}

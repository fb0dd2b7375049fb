//! What single models of eSCL scanners want, as their driver asks the daemon for it.

use serde::{Deserialize, Serialize};

/// The longest name of a model in [`crate::Command::EsclQuirks`], in bytes.
pub const MODEL_LIMIT: usize = 512;

/// `escl-quirks`: what a model does differently, from the model table (`quirks/` and the administrator's files). All of it left
/// out: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EsclQuirks {
    /// Asked for the next page right behind one, its feeder says that there is none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pause_between_pages: bool,
    /// 404 and 410 before the first page mean "not yet".
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_page_is_not_yet: bool,
    /// A job that has given its page must not be deleted: the scanner would be busy for long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_delete_after_page: bool,
    /// It hangs when two connections are in use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_interface: bool,
    /// It wants the port in the field `Host` of requests, as if it were 80.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub port_in_host: bool,
    /// The field `Connection` that it needs in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_connection: Option<HttpConnection>,
    /// Dots per inch, where it says more than it scans with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_resolution: Option<u32>,
}

/// A value of HTTP's `Connection`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpConnection {
    /// `keep-alive`
    KeepAlive,
    /// `close`
    Close,
}

impl HttpConnection {
    /// As it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            HttpConnection::KeepAlive => "keep-alive",
            HttpConnection::Close => "close",
        }
    }
}

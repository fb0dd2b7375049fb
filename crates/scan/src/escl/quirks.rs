//! What single models want in every request.

use usbscan_client::wire::{EsclQuirks, HttpConnection};
use usbscan_escl::http::Request;

/// Of those that want a port there; over USB there is none, and they look at no more than that.
const HOST_WITH_PORT: &str = "localhost:80";

/// A request as a model wants it.
pub(super) fn dress(request: Request, quirks: EsclQuirks) -> Request {
    let request = if quirks.port_in_host { request.with_host(HOST_WITH_PORT) } else { request };
    request.with_connection(quirks.http_connection.map(HttpConnection::as_str))
}

//! A request as bytes. Requests are small; head and body are one message for one transfer.

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
    /// DELETE.
    Delete,
}

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        }
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: Method,
    path: String,
    body: Option<(&'static str, Vec<u8>)>,
    host: &'static str,
    connection: Option<&'static str>,
}

/// Bytes that a path may have.
const PATH_LIMIT: usize = 1024;

impl Request {
    /// `None` for a path that can't stand in a request: one with spaces or control characters, or that does not begin with `/`.
    pub fn new(method: Method, path: &str) -> Option<Request> {
        let fits =
            path.starts_with('/') && path.len() <= PATH_LIMIT && path.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Request { method, path: path.to_owned(), body: None, host: "localhost", connection: None })
    }

    /// [`Request::new`] with GET.
    pub fn get(path: &str) -> Option<Request> {
        Request::new(Method::Get, path)
    }

    /// [`Request::new`] with DELETE.
    pub fn delete(path: &str) -> Option<Request> {
        Request::new(Method::Delete, path)
    }

    /// [`Request::new`] with POST and an XML document.
    pub fn post(path: &str, document: Vec<u8>) -> Option<Request> {
        Request::new(Method::Post, path).map(|request| Request { body: Some(("text/xml", document)), ..request })
    }

    /// With another field `Host` than `localhost`, which IPP-over-USB prescribes: some devices want a port in it.
    #[must_use]
    pub fn with_host(self, host: &'static str) -> Request {
        Request { host, ..self }
    }

    /// With a field `Connection`. There is none by default, since nothing is closed here; some devices need one all the same.
    #[must_use]
    pub fn with_connection(self, connection: Option<&'static str>) -> Request {
        Request { connection, ..self }
    }

    /// The whole message. No coding of the answer is offered, so that none needs to be undone.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Request { method, path, host, .. } = self;
        let version = env!("CARGO_PKG_VERSION");
        let mut head = format!(
            "{} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: usbscan/{version}\r\nAccept: */*\r\n",
            method.as_str()
        );
        if let Some(connection) = self.connection {
            head += &format!("Connection: {connection}\r\n");
        }
        let body = self.body.as_ref().map(|(kind, body)| {
            head += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
            body.as_slice()
        });
        [head.as_bytes(), b"\r\n", body.unwrap_or_default()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_message() {
        let request = Request::post("/eSCL/ScanJobs", b"<a/>".to_vec()).expect("a path");
        let text = String::from_utf8(request.to_bytes()).expect("text");
        assert!(text.starts_with("POST /eSCL/ScanJobs HTTP/1.1\r\nHost: localhost\r\n"), "{text}");
        assert!(text.ends_with("\r\nContent-Type: text/xml\r\nContent-Length: 4\r\n\r\n<a/>"), "{text}");
        let request = Request::get("/").expect("a path").with_host("localhost:80").with_connection(Some("close"));
        let text = String::from_utf8(request.to_bytes()).expect("text");
        assert!(text.contains("Host: localhost:80\r\n") && text.ends_with("Connection: close\r\n\r\n"), "{text}");
    }

    #[test]
    fn a_path_is_one_word() {
        for path in ["", "eSCL", "/a b", "/a\r\nHost: b", "/\u{e9}"] {
            assert_eq!(Request::get(path), None, "{path:?}");
        }
        assert_eq!(Request::get(&format!("/{}", "a".repeat(PATH_LIMIT))), None);
    }
}

//! A scanner's document as a tree, read by local names: devices write other prefixes than each other, some elements of a
//! document without any, and one prefix inside of values. Bounded in bytes, nodes, lists and texts.

use roxmltree::{Document, Node, ParsingOptions};

/// Bytes of a document. The longest known is of 40 KB.
const DOCUMENT_LIMIT: usize = 1 << 20;
/// Elements, texts and attributes of a document.
const NODES: u32 = 20_000;
/// Entries of a list that are looked at.
pub(crate) const ENTRIES: usize = 256;
/// Characters of a text that are kept.
const TEXT_LIMIT: usize = 200;

/// Why a document is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is larger than any.
    #[error("the scanner sent a document of {0} bytes where XML was due")]
    TooLong(usize),
    /// It is no XML.
    #[error("the scanner sent what is no XML: {0}")]
    NotXml(String),
    /// It is another one.
    #[error("the scanner sent a document {got:?} where {expected:?} was due")]
    Other {
        /// What was asked for.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// It is of a time before the protocol was what it is now.
    #[error("the scanner speaks eSCL {0}; only versions from 2.0 on are supported")]
    OldVersion(String),
    /// It leaves out what must be there.
    #[error("the scanner's capabilities make no page: {0}")]
    Missing(&'static str),
}

/// Hands the root of a document to `read`.
pub(crate) fn with_root<T>(
    bytes: &[u8],
    expected: &'static str,
    read: impl FnOnce(Node<'_, '_>) -> Result<T, DocumentError>,
) -> Result<T, DocumentError> {
    if bytes.len() > DOCUMENT_LIMIT {
        return Err(DocumentError::TooLong(bytes.len()));
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}').trim_matches(['\0', ' ', '\t', '\r', '\n']);
    let options = ParsingOptions { nodes_limit: NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options);
    let document = document.map_err(|error| DocumentError::NotXml(clean(&error.to_string())))?;
    let root = document.root_element();
    if !is(root, expected) {
        return Err(DocumentError::Other { expected, got: clean(root.tag_name().name()) });
    }
    read(root)
}

/// Whether an element has this local name.
pub(crate) fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

/// The children of this name, up to a bound.
pub(crate) fn children<'a, 'input>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| is(*child, name)).take(ENTRIES)
}

/// The first child of this name.
pub(crate) fn child<'a, 'input>(node: Node<'a, 'input>, name: &'static str) -> Option<Node<'a, 'input>> {
    children(node, name).next()
}

/// The text in an element, that can be shown; empty without any.
pub(crate) fn text(node: Node<'_, '_>) -> String {
    clean(node.text().unwrap_or_default())
}

/// The same of a child.
pub(crate) fn text_of(node: Node<'_, '_>, name: &'static str) -> Option<String> {
    child(node, name).map(text).filter(|text| !text.is_empty())
}

/// A child's text without the prefix that some put in front of words: `scan:AutoColorDetection`.
pub(crate) fn word(node: Node<'_, '_>) -> String {
    let text = text(node);
    text.rsplit(':').next().unwrap_or_default().to_owned()
}

/// A child's number.
pub(crate) fn number(node: Node<'_, '_>, name: &'static str) -> Option<u32> {
    child(node, name).and_then(|child| child.text()?.trim().parse().ok())
}

/// The same with a sign, or written with a fraction that is left out.
pub(crate) fn signed(node: Node<'_, '_>, name: &'static str) -> Option<i32> {
    let value: f64 = child(node, name)?.text()?.trim().parse().ok()?;
    (value.abs() <= 1e9).then_some(value as i32)
}

fn clean(text: &str) -> String {
    let printable: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(4 * TEXT_LIMIT).collect();
    let words = printable.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(TEXT_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(bytes: &[u8]) -> Result<String, DocumentError> {
        with_root(bytes, "a", |root| Ok(text_of(root, "b").unwrap_or_default()))
    }

    #[test]
    fn prefixes_mean_nothing_and_texts_can_be_shown() {
        let text = b"\xef\xbb\xbf <?xml version='1.0'?>\r\n<!-- x --><x:a xmlns:x='u'><b>\r\n one \t two &#x9b;3\xff </b></x:a>\0";
        assert_eq!(root(text).as_deref(), Ok("one two 3\u{fffd}"));
    }

    #[test]
    fn what_is_no_document_is_refused_in_words() {
        assert!(matches!(root(b"HTTP/1.1 404"), Err(DocumentError::NotXml(_))));
        assert!(matches!(root(b""), Err(DocumentError::NotXml(_))));
        assert!(matches!(root(b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"), Err(DocumentError::NotXml(_))));
        assert_eq!(root(b"<c/>"), Err(DocumentError::Other { expected: "a", got: "c".to_owned() }));
        assert_eq!(root(&vec![b' '; DOCUMENT_LIMIT + 1]), Err(DocumentError::TooLong(DOCUMENT_LIMIT + 1)));
    }

    #[test]
    fn nothing_that_is_deep_or_long_costs_more_than_it_may() {
        let deep = ["<a>".repeat(5_000), "</a>".repeat(5_000)].concat();
        assert_eq!(root(deep.as_bytes()).as_deref(), Ok(""));
        let many = ["<a>", &"<b/>".repeat(30_000), "</a>"].concat();
        assert!(matches!(root(many.as_bytes()), Err(DocumentError::NotXml(_))));
        let long = ["<a><b>", &"x".repeat(10_000), "</b></a>"].concat();
        assert_eq!(root(long.as_bytes()).map(|text| text.len()), Ok(TEXT_LIMIT));
    }
}

//! What the words of a source or a mode mean, whatever a backend of SANE calls them: `ADF Front`, `Document Feeder`,
//! `24bit Color`, `True Gray`. Facts from the options of SANE's backends.

use super::{Constraint, OptionDescriptor, Value, names};

/// What a word of the option `source` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// The glass.
    Flatbed,
    /// The feeder, one side of each sheet.
    Feeder,
    /// The feeder, both sides.
    FeederDuplex,
    /// Film and slides.
    Transparency,
}

/// What a mode means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ModeKind {
    Color,
    Gray,
    Lineart,
}

fn has_one_of(word: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| word.contains(part))
}

/// What a source is; `None` where the word does not say.
pub fn source_kind(word: &str) -> Option<SourceKind> {
    let word = word.to_lowercase();
    if has_one_of(&word, &["duplex", "both sides", "adfdplx", "front and back"]) {
        return Some(SourceKind::FeederDuplex);
    }
    if has_one_of(&word, &["transparen", "tpu", "tma", "film", "slide", "negative", "positive"]) {
        return Some(SourceKind::Transparency);
    }
    let feeder = ["adf", "feeder", "simplex", "card front", "card back", "front", "back"];
    if has_one_of(&word, &feeder) {
        return Some(SourceKind::Feeder);
    }
    has_one_of(&word, &["flatbed", "platen", "glass", "normal"]).then_some(SourceKind::Flatbed)
}

fn mode_kind(word: &str) -> Option<ModeKind> {
    let word = word.to_lowercase();
    if has_one_of(&word, &["lineart", "line art", "binary", "black & white", "black and white", "b/w", "1 bit", "1bit"])
    {
        return Some(ModeKind::Lineart);
    }
    if has_one_of(&word, &["halftone", "dither", "infrared"]) {
        return None;
    }
    if has_one_of(&word, &["gray", "grey"]) {
        return Some(ModeKind::Gray);
    }
    has_one_of(&word, &["color", "colour", "rgb"]).then_some(ModeKind::Color)
}

/// How far a word is from the plain meaning of its kind: fewer is nearer.
fn oddness(word: &str) -> usize {
    let lower = word.to_lowercase();
    let odd =
        ["back", "card", "slide", "negative", "raw", "48", "36", "16", "12", "4 bit", "gray mode", "lineart color"];
    // A length breaks what is left: the shorter the plainer.
    odd.iter().filter(|part| lower.contains(*part)).count() * 1000 + word.len()
}

/// The value of `option` that means what `wanted` says, where the option is a source or a mode.
pub(super) fn fit(option: &OptionDescriptor, wanted: &Value) -> Option<Value> {
    let (Constraint::List(values), Value::Text(wanted)) = (&option.constraint, wanted) else { return None };
    let is_meant = |word: &str| match &*option.name {
        names::SOURCE => source_kind(wanted).is_some_and(|kind| source_kind(word) == Some(kind)),
        names::MODE => mode_kind(wanted).is_some_and(|kind| mode_kind(word) == Some(kind)),
        _ => false,
    };
    let words = values.iter().filter_map(|value| if let Value::Text(word) = value { Some(word) } else { None });
    words.filter(|word| is_meant(word)).min_by_key(|word| oddness(word)).map(|word| Value::Text(word.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources;

    fn fitted(name: &'static str, words: &[&str], wanted: &str) -> Option<String> {
        let list = Constraint::List(words.iter().map(|word| Value::from(*word)).collect());
        let option = OptionDescriptor::new(name, "", "", list, Value::from(words[0]));
        fit(&option, &Value::from(wanted)).map(|value| value.to_string())
    }

    #[test]
    fn a_source_is_found_whatever_the_backend_calls_it() {
        for (words, flatbed, feeder, duplex) in [
            (&["Flatbed", "ADF Front", "ADF Back", "ADF Duplex"][..], "Flatbed", "ADF Front", "ADF Duplex"),
            (
                &["Flatbed", "Card Front", "Card Back", "ADF Back", "ADF Front", "Card Duplex"],
                "Flatbed",
                "ADF Front",
                "Card Duplex",
            ),
            (&["Normal", "ADF", "ADF Duplex", "TMA Slides"], "Normal", "ADF", "ADF Duplex"),
            (
                &[
                    "Flatbed",
                    "Automatic Document Feeder(left aligned)",
                    "Automatic Document Feeder(left aligned,Duplex)",
                ],
                "Flatbed",
                "Automatic Document Feeder(left aligned)",
                "Automatic Document Feeder(left aligned,Duplex)",
            ),
            (&["Flatbed", "Document Feeder", "Duplex"], "Flatbed", "Document Feeder", "Duplex"),
        ] {
            let found = |wanted| fitted(names::SOURCE, words, wanted);
            assert_eq!(found(sources::FLATBED).as_deref(), Some(flatbed), "{words:?}");
            assert_eq!(found(sources::FEEDER).as_deref(), Some(feeder), "{words:?}");
            assert_eq!(found(sources::FEEDER_DUPLEX).as_deref(), Some(duplex), "{words:?}");
        }
        let film = |words: &[&str]| fitted(names::SOURCE, words, sources::TRANSPARENCY);
        assert_eq!(film(&["Flatbed", "Transparency Adapter"]).as_deref(), Some("Transparency Adapter"));
        assert_eq!(film(&["Normal", "Negative", "Slide"]).as_deref(), Some("Slide"));
        assert_eq!(film(&["Flatbed", "ADF"]), None);
    }

    #[test]
    fn a_mode_is_found_whatever_the_backend_calls_it() {
        let words = ["Lineart", "Gray", "24bit Color", "48bit Color", "Halftone", "16bit Gray"];
        assert_eq!(fitted(names::MODE, &words, "Color").as_deref(), Some("24bit Color"));
        assert_eq!(fitted(names::MODE, &words, "Gray").as_deref(), Some("Gray"));
        let words = ["Black & White", "True Gray", "Color (48 bits)", "Color RGB"];
        assert_eq!(fitted(names::MODE, &words, "Lineart").as_deref(), Some("Black & White"));
        assert_eq!(fitted(names::MODE, &words, "Gray").as_deref(), Some("True Gray"));
        assert_eq!(fitted(names::MODE, &words, "Color").as_deref(), Some("Color RGB"));
        assert_eq!(fitted(names::MODE, &["Color48", "Color24", "Gray16", "Gray8"], "Gray").as_deref(), Some("Gray8"));
        assert_eq!(fitted("other", &["Gray8"], "Gray"), None, "only of the options that the command line knows");
    }
}

//! What the scanner says that it can do, and holds clients to: its own document, or one of a real scanner from a file.

use std::fmt::Write;

use roxmltree::{Document, Node};

use super::settings::{ColorMode, Format, Refusal, ScanSettings, Source, text};
use crate::glass::Alignment;

/// What one source of pages has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct InputCaps {
    /// Least and most, in 300ths of an inch.
    pub width: (u32, u32),
    pub height: (u32, u32),
    /// Pairs across and down; ranges are their ends.
    resolutions: Vec<(u32, u32)>,
    range: Option<(u32, u32)>,
    modes: Vec<String>,
    formats: Vec<String>,
}

/// A scanner's capabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// The document, as it is sent.
    pub xml: String,
    pub make_and_model: String,
    pub version: String,
    pub platen: Option<InputCaps>,
    pub simplex: Option<InputCaps>,
    pub duplex: Option<InputCaps>,
}

/// What the scanner's own document says.
#[derive(Debug, Clone)]
pub(super) struct Own<'a> {
    pub name: &'a str,
    pub serial: &'a str,
    pub platen: bool,
    pub feeder: bool,
    pub duplex: bool,
    pub alignment: Alignment,
    pub formats: &'a [Format],
}

/// Resolutions of the glass; the feeder has those up to 600.
const RESOLUTIONS: [u32; 6] = [75, 100, 150, 200, 300, 600];
/// Letter width by A4 height, and Legal, in 300ths of an inch.
const PLATEN: (u32, u32) = (2550, 3508);
const FEEDER: (u32, u32) = (2550, 4200);
/// The narrowest and the shortest page.
const LEAST: u32 = 16;

/// Width of the feeder, and in how many to an inch.
pub(super) const FEEDER_BED: (u32, u32) = (FEEDER.0, 300);

impl Capabilities {
    /// The scanner's own.
    pub(super) fn own(own: &Own<'_>) -> Capabilities {
        Capabilities::parse(document(own)).expect("the scanner's own document can be read")
    }

    /// Those of a document. `None`: it is none that can be read.
    pub(super) fn parse(xml: String) -> Option<Capabilities> {
        let document = Document::parse(xml.trim_start_matches('\u{feff}').trim_start()).ok()?;
        let root = document.root_element();
        if root.tag_name().name() != "ScannerCapabilities" {
            return None;
        }
        let caps = |name: &str| {
            root.descendants().find(|node| node.tag_name().name() == name).map(|node| input_caps(root, node))
        };
        let (platen, simplex, duplex) =
            (caps("PlatenInputCaps"), caps("AdfSimplexInputCaps"), caps("AdfDuplexInputCaps"));
        let make_and_model = text(root, "MakeAndModel").unwrap_or("eSCL scanner").to_owned();
        let version = text(root, "Version").unwrap_or("2.0").to_owned();
        drop(document);
        Some(Capabilities { xml, make_and_model, version, platen, simplex, duplex })
    }

    pub(super) fn has_feeder(&self) -> bool {
        self.simplex.is_some() || self.duplex.is_some()
    }

    fn of(&self, source: Source) -> Option<&InputCaps> {
        match source {
            Source::Platen => self.platen.as_ref(),
            Source::Feeder { duplex: false } => self.simplex.as_ref(),
            Source::Feeder { duplex: true } => self.duplex.as_ref(),
        }
    }

    /// Holds settings to these; an area of nothing becomes all there is.
    pub(super) fn check(&self, mut settings: ScanSettings) -> Result<ScanSettings, Refusal> {
        let caps = self.of(settings.source).ok_or(Refusal::Unsupported)?;
        let [x, y, width, height] = settings.area;
        if width == 0 && height == 0 {
            settings.area = [0, 0, caps.width.1, caps.height.1];
        } else {
            let fits = |start: u32, size: u32, (least, most): (u32, u32)| {
                size >= least && start.checked_add(size).is_some_and(|end| end <= most)
            };
            if !fits(x, width, caps.width) || !fits(y, height, caps.height) {
                return Err(Refusal::Unsupported);
            }
        }
        let mode = |name: &String| ColorMode::parse(name) == Some(settings.mode);
        let format = |name: &String| Format::parse(name) == Some(settings.format);
        let in_range = caps.range.is_some_and(|(least, most)| {
            (least..=most).contains(&settings.dpi.0) && (least..=most).contains(&settings.dpi.1)
        });
        let offers = caps.modes.iter().any(mode)
            && (caps.formats.is_empty() || caps.formats.iter().any(format))
            && (in_range || caps.resolutions.contains(&settings.dpi));
        // JPEG has no samples of one bit.
        let is_possible = settings.mode != ColorMode::Bit || settings.format != Format::Jpeg;
        if offers && is_possible { Ok(settings) } else { Err(Refusal::Unsupported) }
    }
}

fn named<'a, 'input>(node: Node<'a, 'input>, name: &'static str) -> impl Iterator<Item = Node<'a, 'input>> {
    node.descendants().filter(move |node| node.is_element() && node.tag_name().name() == name)
}

fn texts(node: Node<'_, '_>, name: &'static str) -> Vec<String> {
    named(node, name)
        .filter_map(|node| node.text())
        .map(|text| text.trim().trim_start_matches("scan:").to_owned())
        .collect()
}

/// One source; profiles that it refers to stand at the root.
fn input_caps(root: Node<'_, '_>, node: Node<'_, '_>) -> InputCaps {
    let number = |name: &str, or: u32| text(node, name).and_then(|text| text.parse().ok()).unwrap_or(or);
    let mut caps = InputCaps {
        width: (number("MinWidth", 1), number("MaxWidth", 0)),
        height: (number("MinHeight", 1), number("MaxHeight", 0)),
        ..InputCaps::default()
    };
    let mut profiles = vec![node];
    for reference in named(node, "SettingProfile").filter_map(|profile| profile.attribute("ref")) {
        let is_meant = |profile: &Node<'_, '_>| profile.attribute("name") == Some(reference);
        profiles.extend(named(root, "SettingProfile").filter(is_meant));
    }
    for profile in profiles {
        caps.modes.extend(texts(profile, "ColorMode"));
        caps.formats.extend(texts(profile, "DocumentFormat"));
        caps.formats.extend(texts(profile, "DocumentFormatExt"));
        for resolution in named(profile, "DiscreteResolution") {
            let side = |name| text(resolution, name).and_then(|text| text.parse().ok());
            if let (Some(x), Some(y)) = (side("XResolution"), side("YResolution")) {
                caps.resolutions.push((x, y));
            }
        }
        for range in named(profile, "XResolutionRange") {
            let end = |name| text(range, name).and_then(|text| text.parse().ok());
            if let (Some(least), Some(most)) = (end("Min"), end("Max")) {
                caps.range = Some((least, most));
            }
        }
    }
    caps
}

/// The scanner's own document. Prefixes are the usual ones, since ipp-usb and sane-airscan look for those by letter, and
/// PlatenInputCaps is the first child of Platen, as sane-airscan wants it.
fn document(own: &Own<'_>) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<scan:ScannerCapabilities");
    xml += " xmlns:scan=\"http://schemas.hp.com/imaging/escl/2011/05/03\"";
    xml += " xmlns:pwg=\"http://www.pwg.org/schemas/2010/12/sm\">\n";
    let _ = writeln!(
        xml,
        "<pwg:Version>2.63</pwg:Version>\n<pwg:MakeAndModel>{}</pwg:MakeAndModel>\n<pwg:SerialNumber>{}</pwg:SerialNumber>",
        escape(own.name),
        escape(own.serial)
    );
    xml += "<scan:UUID>6b0c4c2e-5c1d-4a53-9a0b-7573627363616e</scan:UUID>\n";
    if own.platen {
        let caps = caps("PlatenInputCaps", PLATEN, &RESOLUTIONS, own.formats);
        let _ = writeln!(xml, "<scan:Platen>\n{caps}</scan:Platen>");
    }
    if own.feeder {
        xml += "<scan:Adf>\n";
        xml += &caps("AdfSimplexInputCaps", FEEDER, &RESOLUTIONS[1..], own.formats);
        if own.duplex {
            xml += &caps("AdfDuplexInputCaps", FEEDER, &RESOLUTIONS[1..], own.formats);
        }
        let (option, justification) =
            (if own.duplex { "<scan:AdfOption>Duplex</scan:AdfOption>" } else { "" }, own.alignment);
        let across = match justification {
            Alignment::Left => "Left",
            Alignment::Center => "Center",
            Alignment::Right => "Right",
        };
        let _ = writeln!(
            xml,
            "<scan:FeederCapacity>50</scan:FeederCapacity>\n<scan:AdfOptions><scan:AdfOption>DetectPaperLoaded\
             </scan:AdfOption>{option}</scan:AdfOptions>\n<scan:Justification><pwg:XImagePosition>{across}\
             </pwg:XImagePosition><pwg:YImagePosition>Top</pwg:YImagePosition></scan:Justification>\n</scan:Adf>"
        );
    }
    let ranges = [
        ("Brightness", 0, 2000, 1000),
        ("CompressionFactor", 0, 99, 10),
        ("Contrast", 0, 2000, 1000),
        ("Sharpen", 0, 100, 0),
        ("Threshold", 0, 255, 128),
    ];
    for (name, least, most, normal) in ranges {
        let _ = writeln!(
            xml,
            "<scan:{name}Support><scan:Min>{least}</scan:Min><scan:Max>{most}</scan:Max><scan:Normal>{normal}</scan:Normal>\
             <scan:Step>1</scan:Step></scan:{name}Support>"
        );
    }
    xml + "</scan:ScannerCapabilities>\n"
}

fn caps(name: &str, most: (u32, u32), resolutions: &[u32], formats: &[Format]) -> String {
    let mut xml = format!(
        "<scan:{name}>\n<scan:MinWidth>{LEAST}</scan:MinWidth><scan:MaxWidth>{}</scan:MaxWidth>\
         <scan:MinHeight>{LEAST}</scan:MinHeight><scan:MaxHeight>{}</scan:MaxHeight>\
         <scan:MaxScanRegions>1</scan:MaxScanRegions>\n<scan:SettingProfiles><scan:SettingProfile>\n",
        most.0, most.1
    );
    // One bit a pixel goes with raw and PDF alone.
    let has_bits = formats.iter().any(|format| *format != Format::Jpeg);
    let modes = ["BlackAndWhite1", "Grayscale8", "RGB24"];
    xml += "<scan:ColorModes>";
    for mode in &modes[usize::from(!has_bits)..] {
        let _ = write!(xml, "<scan:ColorMode>{mode}</scan:ColorMode>");
    }
    xml += "</scan:ColorModes>\n<scan:DocumentFormats>";
    for element in ["pwg:DocumentFormat", "scan:DocumentFormatExt"] {
        for format in formats {
            let _ = write!(xml, "<{element}>{}</{element}>", format.content_type());
        }
    }
    xml += "</scan:DocumentFormats>\n<scan:SupportedResolutions><scan:DiscreteResolutions>\n";
    for dpi in resolutions {
        let _ = writeln!(
            xml,
            "<scan:DiscreteResolution><scan:XResolution>{dpi}</scan:XResolution><scan:YResolution>{dpi}</scan:YResolution>\
             </scan:DiscreteResolution>"
        );
    }
    xml += "</scan:DiscreteResolutions></scan:SupportedResolutions>\n<scan:ColorSpaces><scan:ColorSpace>sRGB\
            </scan:ColorSpace></scan:ColorSpaces>\n</scan:SettingProfile></scan:SettingProfiles>\n<scan:SupportedIntents>";
    for intent in ["Document", "TextAndGraphic", "Photo", "Preview"] {
        let _ = write!(xml, "<scan:Intent>{intent}</scan:Intent>");
    }
    let optical = resolutions.last().copied().unwrap_or(300);
    let _ = writeln!(
        xml,
        "</scan:SupportedIntents>\n<scan:MaxOpticalXResolution>{optical}</scan:MaxOpticalXResolution>\
         <scan:MaxOpticalYResolution>{optical}</scan:MaxOpticalYResolution>\n</scan:{name}>"
    );
    xml
}

/// Text as XML has it.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Capabilities {
        Capabilities::own(&Own {
            name: "A & B",
            serial: "S1",
            platen: true,
            feeder: true,
            duplex: true,
            alignment: Alignment::Center,
            formats: &[Format::Jpeg, Format::Pdf],
        })
    }

    fn settings() -> ScanSettings {
        ScanSettings {
            source: Source::Platen,
            mode: ColorMode::Rgb24,
            format: Format::Jpeg,
            dpi: (300, 300),
            area: [0, 0, 2550, 3508],
            brightness: None,
            contrast: None,
            threshold: None,
            compression: None,
        }
    }

    #[test]
    fn settings_are_held_to_what_the_document_says() {
        let own = own();
        assert_eq!(own.make_and_model, "A & B");
        assert!(own.check(settings()).is_ok());
        let refused = [
            ScanSettings { dpi: (300, 600), ..settings() },
            ScanSettings { area: [1, 0, 2550, 3508], ..settings() },
            ScanSettings { area: [0, 0, 15, 3508], ..settings() },
            ScanSettings { mode: ColorMode::Bit, ..settings() },
            ScanSettings { format: Format::Raw, ..settings() },
            ScanSettings { source: Source::Feeder { duplex: true }, dpi: (75, 75), ..settings() },
        ];
        for settings in refused {
            assert_eq!(own.check(settings.clone()), Err(Refusal::Unsupported), "{settings:?}");
        }
        let all = own.check(ScanSettings { area: [0; 4], source: Source::Feeder { duplex: false }, ..settings() });
        assert_eq!(all.map(|settings| settings.area), Ok([0, 0, 2550, 4200]));
    }

    /// Forms that real scanners use: profiles by reference, a range of resolutions, names without a prefix.
    #[test]
    fn a_real_scanners_document_is_understood() {
        let xml = "<!-- c --><ScannerCapabilities xmlns=\"x\"><Version>2.1</Version><SettingProfiles>\
                   <SettingProfile name=\"p1\"><ColorModes><ColorMode>scan:RGB24</ColorMode></ColorModes><DocumentFormats>\
                   <DocumentFormat>image/jpeg</DocumentFormat></DocumentFormats><SupportedResolutions><ResolutionRange>\
                   <XResolutionRange><Min>100</Min><Max>600</Max></XResolutionRange></ResolutionRange>\
                   </SupportedResolutions></SettingProfile></SettingProfiles><Platen><PlatenInputCaps><MaxWidth>2550\
                   </MaxWidth><MaxHeight>3508</MaxHeight><SettingProfiles><SettingProfile ref=\"p1\"/></SettingProfiles>\
                   </PlatenInputCaps></Platen></ScannerCapabilities>";
        let caps = Capabilities::parse(xml.to_owned()).expect("capabilities");
        assert!(caps.check(ScanSettings { dpi: (250, 250), ..settings() }).is_ok() && !caps.has_feeder());
        assert_eq!(Capabilities::parse("<a/>".to_owned()), None);
    }
}

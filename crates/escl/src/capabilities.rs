//! ScannerCapabilities: what a scanner is and can do.

use roxmltree::Node;

use crate::input::InputCaps;
use crate::range::Range;
use crate::xml::{self, DocumentError, child, children, number, text_of, with_root};

/// The namespace of eSCL 1.0, which has other elements.
const OLD_NAMESPACE: &str = "http://schemas.hp.com/imaging/escl/2011/02/08";

/// A version: a decimal fraction, so that 2.63 is older than 2.9.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// As the scanner writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn read(root: Node<'_, '_>) -> Result<Version, DocumentError> {
        let text = text_of(root, "Version").unwrap_or_else(|| "2.0".to_owned());
        let is_number = !text.is_empty() && text.len() <= 16 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let is_old = root.tag_name().namespace() == Some(OLD_NAMESPACE) || text.starts_with("1.") || text == "1";
        match (is_old, is_number) {
            (true, _) => Err(DocumentError::OldVersion(text)),
            (false, true) => Ok(Version(text)),
            (false, false) => Ok(Version("2.0".to_owned())),
        }
    }
}

/// Where a sheet that is narrower than the feeder lies in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Justification {
    /// At the left, or not said.
    #[default]
    Left,
    /// In the middle.
    Center,
    /// At the right.
    Right,
}

/// The document feeder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adf {
    /// For one side.
    pub simplex: InputCaps,
    /// For both; its being there says that they can be had. Its sizes may be others.
    pub duplex: Option<InputCaps>,
    /// Sheets.
    pub capacity: Option<u32>,
    /// Whether it tells an empty feeder from a loaded one.
    pub detects_paper: bool,
    /// Where sheets lie.
    pub justification: Justification,
}

/// What a scanner is and can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannerCapabilities {
    /// Of the protocol.
    pub version: Version,
    /// May be of no use: `xxxx` (HP DeskJet 2540), `CND570` (Canon).
    pub make_and_model: String,
    /// Empty when it is not said.
    pub manufacturer: String,
    /// Empty when it is not said.
    pub serial_number: String,
    /// The glass.
    pub platen: Option<InputCaps>,
    /// The feeder.
    pub adf: Option<Adf>,
    /// Brightness.
    pub brightness: Option<Range>,
    /// Contrast.
    pub contrast: Option<Range>,
    /// Sharpness.
    pub sharpen: Option<Range>,
    /// What becomes black.
    pub threshold: Option<Range>,
    /// How strongly pages are compressed; lower is better.
    pub compression: Option<Range>,
    /// Gamma.
    pub gamma: Option<Range>,
    /// The brightest that is told apart.
    pub highlight: Option<Range>,
    /// The darkest that is told apart.
    pub shadow: Option<Range>,
    /// How much noise is removed.
    pub noise_removal: Option<Range>,
}

impl ScannerCapabilities {
    /// Understands the document.
    ///
    /// # Errors
    /// [`DocumentError`]; [`DocumentError::OldVersion`] for eSCL 1.0.
    pub fn parse(bytes: &[u8]) -> Result<ScannerCapabilities, DocumentError> {
        with_root(bytes, "ScannerCapabilities", |root| {
            let version = Version::read(root)?;
            let shared = child(root, "SettingProfiles");
            let platen = child(root, "Platen").and_then(|platen| child(platen, "PlatenInputCaps"));
            let platen = platen.map(|node| InputCaps::read(node, shared)).transpose()?;
            let adf = child(root, "Adf").map(|adf| Adf::read(adf, shared)).transpose()?.flatten();
            if platen.is_none() && adf.is_none() {
                return Err(DocumentError::Missing("it has neither a glass nor a feeder"));
            }
            let range = |name| Range::read(root, name);
            Ok(ScannerCapabilities {
                version,
                make_and_model: text_of(root, "MakeAndModel").unwrap_or_default(),
                manufacturer: text_of(root, "Manufacturer").unwrap_or_default(),
                serial_number: text_of(root, "SerialNumber").unwrap_or_default(),
                platen,
                adf,
                brightness: range("BrightnessSupport"),
                contrast: range("ContrastSupport"),
                sharpen: range("SharpenSupport"),
                threshold: range("ThresholdSupport"),
                compression: range("CompressionFactorSupport"),
                gamma: range("GammaSupport"),
                highlight: range("HighlightSupport"),
                shadow: range("ShadowSupport"),
                noise_removal: range("NoiseRemovalSupport"),
            })
        })
    }
}

impl Adf {
    /// `None` of an element that says nothing of what the feeder can do.
    fn read(node: Node<'_, '_>, shared: Option<Node<'_, '_>>) -> Result<Option<Adf>, DocumentError> {
        let caps = |name| child(node, name).map(|node| InputCaps::read(node, shared)).transpose();
        let (simplex, duplex) = (caps("AdfSimplexInputCaps")?, caps("AdfDuplexInputCaps")?);
        let Some(simplex) = simplex.or_else(|| duplex.clone()) else { return Ok(None) };
        let mut options = children(node, "AdfOptions").flat_map(|list| children(list, "AdfOption"));
        let justification = child(node, "Justification").and_then(|node| child(node, "XImagePosition")).map(xml::word);
        Ok(Some(Adf {
            simplex,
            duplex,
            capacity: number(node, "FeederCapacity"),
            detects_paper: options.any(|option| xml::word(option) == "DetectPaperLoaded"),
            justification: match justification.as_deref() {
                Some("Center") => Justification::Center,
                Some("Right") => Justification::Right,
                _ => Justification::Left,
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::ColorMode;

    const PROFILE: &str = "<scan:ColorModes><scan:ColorMode>Grayscale8</scan:ColorMode><scan:ColorMode>RGB24</scan:ColorMode>\
        </scan:ColorModes><scan:DocumentFormats><pwg:DocumentFormat>image/jpeg</pwg:DocumentFormat></scan:DocumentFormats>\
        <scan:SupportedResolutions><scan:DiscreteResolutions><scan:DiscreteResolution><scan:XResolution>300</scan:XResolution>\
        <scan:YResolution>300</scan:YResolution></scan:DiscreteResolution></scan:DiscreteResolutions></scan:SupportedResolutions>";

    fn caps(name: &str, max_height: u32, profile: &str) -> String {
        format!(
            "<scan:{name}><scan:MinWidth>16</scan:MinWidth><scan:MaxWidth>2550</scan:MaxWidth><scan:MinHeight>16</scan:MinHeight>\
             <scan:MaxHeight>{max_height}</scan:MaxHeight><scan:SettingProfiles>{profile}</scan:SettingProfiles></scan:{name}>"
        )
    }

    fn own(name: &str, max_height: u32) -> String {
        caps(name, max_height, &format!("<scan:SettingProfile>{PROFILE}</scan:SettingProfile>"))
    }

    fn document(content: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><!----><scan:ScannerCapabilities \
             xmlns:scan=\"http://schemas.hp.com/imaging/escl/2011/05/03\" xmlns:pwg=\"http://www.pwg.org/schemas/2010/12/sm\">\
             <pwg:Version>2.63</pwg:Version><pwg:MakeAndModel>Acme\u{7f} V1</pwg:MakeAndModel>{content}</scan:ScannerCapabilities>"
        )
    }

    fn parsed(content: &str) -> Result<ScannerCapabilities, DocumentError> {
        ScannerCapabilities::parse(document(content).as_bytes())
    }

    #[test]
    fn glass_and_feeder_are_kept_apart_and_so_are_the_feeders_sides() {
        let content = format!(
            "<scan:Platen>{}</scan:Platen><scan:Adf>{}{}<scan:FeederCapacity>35</scan:FeederCapacity><scan:AdfOptions>\
             <scan:AdfOption>DetectPaperLoaded</scan:AdfOption></scan:AdfOptions><scan:Justification><pwg:XImagePosition>Right\
             </pwg:XImagePosition></scan:Justification></scan:Adf>",
            own("PlatenInputCaps", 3508),
            own("AdfSimplexInputCaps", 36_600),
            own("AdfDuplexInputCaps", 4200),
        );
        let all = parsed(&content).expect("capabilities");
        assert_eq!((all.version.as_str(), all.make_and_model.as_str()), ("2.63", "Acme V1"));
        assert_eq!(all.platen.expect("a glass").max_height, 3508);
        let adf = all.adf.expect("a feeder");
        assert_eq!((adf.simplex.max_height, adf.duplex.map(|caps| caps.max_height)), (36_600, Some(4200)));
        assert_eq!((adf.capacity, adf.detects_paper, adf.justification), (Some(35), true, Justification::Right));
    }

    #[test]
    fn a_scanner_may_have_no_glass_or_no_feeder_but_not_neither() {
        // Brother's DS-940DW has no Platen, by ScanBridge's issue 112.
        let feeder = parsed(&format!("<scan:Adf>{}</scan:Adf>", own("AdfSimplexInputCaps", 4200))).expect("a feeder");
        assert!(feeder.platen.is_none() && feeder.adf.expect("a feeder").duplex.is_none());
        let glass = parsed(&format!("<scan:Platen>{}</scan:Platen><scan:Adf/>", own("PlatenInputCaps", 1)));
        assert!(glass.expect("a glass").adf.is_none());
        assert!(matches!(parsed("<scan:Adf/>"), Err(DocumentError::Missing(_))));
    }

    #[test]
    fn a_profile_may_stand_once_and_be_referred_to() {
        let shared = format!(
            "<scan:SettingProfiles><scan:SettingProfile name=\"p1\">{PROFILE}</scan:SettingProfile></scan:SettingProfiles>"
        );
        let glass = |name: &str| {
            let reference = format!("<scan:SettingProfile ref=\"{name}\"/>");
            format!("{shared}<scan:Platen>{}</scan:Platen>", caps("PlatenInputCaps", 3508, &reference))
        };
        let all = parsed(&glass("p1")).expect("capabilities");
        assert!(all.platen.expect("a glass").resolutions(ColorMode::Rgb24).is_some());
        assert!(matches!(parsed(&glass("p2")), Err(DocumentError::Missing(_))));
    }

    #[test]
    fn ranges_are_found_with_and_without_a_prefix() {
        // Xerox's B235 has them without.
        let content = format!(
            "<scan:Platen>{}</scan:Platen><BrightnessSupport xmlns=\"\"><Min>0</Min><Max>255</Max><Normal>128</Normal>\
             </BrightnessSupport><scan:ContrastSupport><scan:Min>0</scan:Min><scan:Max>2000</scan:Max></scan:ContrastSupport>",
            own("PlatenInputCaps", 3508),
        );
        let all = parsed(&content).expect("capabilities");
        assert_eq!(all.brightness, Some(Range { min: 0, max: 255, normal: 128, step: 1 }));
        assert_eq!(all.contrast, Some(Range { min: 0, max: 2000, normal: 1000, step: 1 }));
        assert_eq!(all.sharpen, None);
    }

    #[test]
    fn escl_1_0_is_refused_in_words() {
        // HP's LaserJet Pro M521dn and Officejet 6600, by sane-airscan's issues 18 and 299.
        let text = format!(
            "<scan:ScannerCapabilities xmlns:scan=\"{OLD_NAMESPACE}\" xmlns:pwg2=\"http://www.pwg.org/schemas/2010/12/sm\">\
             <pwg2:Version>1.0</pwg2:Version></scan:ScannerCapabilities>"
        );
        let error = ScannerCapabilities::parse(text.as_bytes()).expect_err("old");
        assert_eq!(error.to_string(), "the scanner speaks eSCL 1.0; only versions from 2.0 on are supported");
    }
}

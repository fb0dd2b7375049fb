//! ScanSettings: what a job is asked for.

use crate::capabilities::Version;
use crate::input::{ColorMode, Format};

/// Where pages come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputSource {
    /// The glass.
    Platen,
    /// The feeder, one side.
    Feeder,
    /// The feeder, both sides.
    FeederDuplex,
}

/// An area, in [`crate::UNITS_PER_INCH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// Across.
    pub width: u32,
    /// Down.
    pub height: u32,
}

/// What a job is asked for. Numbers without a value are left to the scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanSettings {
    /// The scanner's own version of the protocol.
    pub version: Version,
    /// What the page is: one of [`crate::InputCaps::intents`].
    pub intent: Option<String>,
    /// The area.
    pub region: Region,
    /// Where pages come from.
    pub source: InputSource,
    /// The colour mode.
    pub mode: ColorMode,
    /// The form of pages.
    pub format: Format,
    /// Say it in DocumentFormatExt too: only if the scanner's capabilities have it there.
    pub has_format_ext: bool,
    /// Dots per inch, across and down.
    pub resolution: u32,
    /// See [`crate::ScannerCapabilities::brightness`]; likewise the others.
    pub brightness: Option<i32>,
    /// Contrast.
    pub contrast: Option<i32>,
    /// Sharpness.
    pub sharpen: Option<i32>,
    /// What becomes black.
    pub threshold: Option<i32>,
    /// How strongly pages are compressed.
    pub compression: Option<i32>,
}

impl ScanSettings {
    /// The document. Elements stand in the order in which clients that work with most devices send them, with the prefixes
    /// that some devices look for.
    pub fn to_xml(&self) -> String {
        let Region { x, y, width, height } = self.region;
        let mut all = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <scan:ScanSettings xmlns:pwg=\"http://www.pwg.org/schemas/2010/12/sm\" \
             xmlns:scan=\"http://schemas.hp.com/imaging/escl/2011/05/03\">\n<pwg:Version>{}</pwg:Version>\n",
            self.version.as_str()
        );
        if let Some(intent) = self.intent.as_ref().filter(|intent| intent.chars().all(|c| c.is_ascii_alphanumeric())) {
            all += &format!("<scan:Intent>{intent}</scan:Intent>\n");
        }
        all += &format!(
            "<pwg:ScanRegions><pwg:ScanRegion>\n\
             <pwg:ContentRegionUnits>escl:ThreeHundredthsOfInches</pwg:ContentRegionUnits>\n\
             <pwg:XOffset>{x}</pwg:XOffset><pwg:YOffset>{y}</pwg:YOffset>\
             <pwg:Width>{width}</pwg:Width><pwg:Height>{height}</pwg:Height>\n</pwg:ScanRegion></pwg:ScanRegions>\n"
        );
        let is_feeder = self.source != InputSource::Platen;
        let source = if is_feeder { "Feeder" } else { "Platen" };
        all += &format!("<pwg:InputSource>{source}</pwg:InputSource>\n");
        let number = |name: &str, value: Option<i32>| {
            value.map_or_else(String::new, |value| format!("<scan:{name}>{value}</scan:{name}>\n"))
        };
        all += &number("CompressionFactor", self.compression);
        all += &format!("<scan:ColorMode>{}</scan:ColorMode>\n", self.mode.as_str());
        let media_type = self.format.media_type();
        all += &format!("<pwg:DocumentFormat>{media_type}</pwg:DocumentFormat>\n");
        if self.has_format_ext {
            all += &format!("<scan:DocumentFormatExt>{media_type}</scan:DocumentFormatExt>\n");
        }
        let dpi = self.resolution;
        all += &format!("<scan:XResolution>{dpi}</scan:XResolution><scan:YResolution>{dpi}</scan:YResolution>\n");
        if is_feeder {
            all += &format!("<scan:Duplex>{}</scan:Duplex>\n", self.source == InputSource::FeederDuplex);
        }
        all += &number("Brightness", self.brightness);
        all += &number("Contrast", self.contrast);
        all += &number("Sharpen", self.sharpen);
        all += &number("Threshold", self.threshold);
        all + "</scan:ScanSettings>\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScannerCapabilities;

    fn settings(source: InputSource) -> ScanSettings {
        let capabilities = "<ScannerCapabilities><Version>2.63</Version><Platen><PlatenInputCaps><MaxWidth>9</MaxWidth>\
            <MaxHeight>9</MaxHeight><SettingProfiles><SettingProfile><ColorModes><ColorMode>RGB24</ColorMode></ColorModes>\
            <SupportedResolutions><DiscreteResolutions><DiscreteResolution><XResolution>1</XResolution>\
            <YResolution>1</YResolution></DiscreteResolution></DiscreteResolutions></SupportedResolutions></SettingProfile>\
            </SettingProfiles></PlatenInputCaps></Platen></ScannerCapabilities>";
        ScanSettings {
            version: ScannerCapabilities::parse(capabilities.as_bytes()).expect("capabilities").version,
            intent: Some("Document".to_owned()),
            region: Region { x: 1, y: 2, width: 2480, height: 3508 },
            source,
            mode: ColorMode::Rgb24,
            format: Format::Jpeg,
            has_format_ext: false,
            resolution: 300,
            brightness: None,
            contrast: None,
            sharpen: None,
            threshold: None,
            compression: None,
        }
    }

    #[test]
    fn settings_are_well_formed_and_in_order() {
        let mut all = settings(InputSource::FeederDuplex);
        (all.has_format_ext, all.compression, all.brightness) = (true, Some(25), Some(-3));
        let text = all.to_xml();
        let document = roxmltree::Document::parse(&text).expect("XML");
        let elements: Vec<_> = document.root_element().children().filter(|node| node.is_element()).collect();
        let names: Vec<_> = elements.iter().map(|node| node.tag_name().name()).collect();
        let expected = [
            "Version",
            "Intent",
            "ScanRegions",
            "InputSource",
            "CompressionFactor",
            "ColorMode",
            "DocumentFormat",
            "DocumentFormatExt",
            "XResolution",
            "YResolution",
            "Duplex",
            "Brightness",
        ];
        assert_eq!(names, expected);
        let text_of = |name| elements.iter().find(|node| node.tag_name().name() == name).and_then(|node| node.text());
        assert_eq!((text_of("Version"), text_of("InputSource")), (Some("2.63"), Some("Feeder")));
        assert_eq!((text_of("Duplex"), text_of("Brightness")), (Some("true"), Some("-3")));
    }

    #[test]
    fn the_glass_has_no_sides_and_only_words_are_intents() {
        let all = ScanSettings { intent: Some("<x>".to_owned()), ..settings(InputSource::Platen) };
        let text = all.to_xml();
        assert!(!text.contains("Duplex") && !text.contains("Intent") && !text.contains("FormatExt"), "{text}");
        assert!(settings(InputSource::Feeder).to_xml().contains("<scan:Duplex>false</scan:Duplex>"));
    }
}

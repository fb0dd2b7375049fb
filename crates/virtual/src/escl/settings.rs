//! What a client wants scanned: the ScanSettings document, read by local names, whatever its prefixes are.

use roxmltree::{Document, Node};

/// A picture's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColorMode {
    Bit,
    Gray8,
    Rgb24,
}

impl ColorMode {
    pub(super) fn parse(text: &str) -> Option<ColorMode> {
        match text {
            "BlackAndWhite1" => Some(ColorMode::Bit),
            "Grayscale8" => Some(ColorMode::Gray8),
            "RGB24" => Some(ColorMode::Rgb24),
            _ => None,
        }
    }
}

/// The form of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Jpeg,
    Pdf,
    Raw,
}

impl Format {
    pub(super) fn parse(text: &str) -> Option<Format> {
        match text {
            "image/jpeg" => Some(Format::Jpeg),
            "application/pdf" => Some(Format::Pdf),
            "application/octet-stream" => Some(Format::Raw),
            _ => None,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::Jpeg => "image/jpeg",
            Format::Pdf => "application/pdf",
            Format::Raw => "application/octet-stream",
        }
    }
}

/// Where a page comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Platen,
    Feeder { duplex: bool },
}

/// The settings of one job. What a client leaves out is chosen by the scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScanSettings {
    pub source: Source,
    pub mode: ColorMode,
    pub format: Format,
    pub dpi: (u32, u32),
    /// x, y, width and height in 300ths of an inch; all 0: as much as there is.
    pub area: [u32; 4],
    pub brightness: Option<i32>,
    pub contrast: Option<i32>,
    pub threshold: Option<u8>,
    pub compression: Option<u32>,
}

impl ScanSettings {
    /// JPEG quality: the lower the compression factor, the better the picture.
    pub(super) fn quality(&self) -> u8 {
        self.compression.map_or(90, |factor| (100 - factor.min(99)) as u8)
    }
}

/// Why settings are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No XML, or no ScanSettings.
    Malformed,
    /// A value that this scanner has not.
    Unsupported,
}

/// The text of the first element of that name, anywhere below.
pub(super) fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    let found = node.descendants().find(|node| node.is_element() && node.tag_name().name() == name)?;
    found.text().map(str::trim).filter(|text| !text.is_empty())
}

fn number<T: std::str::FromStr>(node: Node<'_, '_>, name: &str) -> Result<Option<T>, Refusal> {
    text(node, name).map(|text| text.parse().map_err(|_| Refusal::Unsupported)).transpose()
}

/// Reads a document.
pub(super) fn parse(bytes: &[u8]) -> Result<ScanSettings, Refusal> {
    let xml = std::str::from_utf8(bytes).map_err(|_| Refusal::Malformed)?;
    let document = Document::parse(xml.trim_start_matches('\u{feff}').trim_start()).map_err(|_| Refusal::Malformed)?;
    let root = document.root_element();
    if root.tag_name().name() != "ScanSettings" {
        return Err(Refusal::Malformed);
    }
    let duplex = match text(root, "Duplex") {
        None | Some("false" | "0") => false,
        Some("true" | "1") => true,
        Some(_) => return Err(Refusal::Unsupported),
    };
    let source = match text(root, "InputSource") {
        None | Some("Platen") => Source::Platen,
        Some("Feeder") => Source::Feeder { duplex },
        Some(_) => return Err(Refusal::Unsupported),
    };
    // SANE's escl sends DocumentFormatExt alone; the same type stands in both where both are sent.
    let format = text(root, "DocumentFormatExt").or(text(root, "DocumentFormat"));
    let format = format.map_or(Some(Format::Jpeg), Format::parse).ok_or(Refusal::Unsupported)?;
    let mode = text(root, "ColorMode").map_or(Some(ColorMode::Rgb24), ColorMode::parse).ok_or(Refusal::Unsupported)?;
    let across = number(root, "XResolution")?;
    let down = number(root, "YResolution")?.or(across);
    let side = |name| number(root, name).map(|side: Option<u32>| side.unwrap_or(0));
    Ok(ScanSettings {
        source,
        mode,
        format,
        dpi: (across.or(down).unwrap_or(300), down.unwrap_or(300)),
        area: [side("XOffset")?, side("YOffset")?, side("Width")?, side("Height")?],
        brightness: number(root, "Brightness")?,
        contrast: number(root, "Contrast")?,
        threshold: number(root, "Threshold")?,
        compression: number(root, "CompressionFactor")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AIRSCAN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
        <scan:ScanSettings xmlns:pwg=\"http://www.pwg.org/schemas/2010/12/sm\" \
        xmlns:scan=\"http://schemas.hp.com/imaging/escl/2011/05/03\"><pwg:Version>2.0</pwg:Version>\
        <pwg:ScanRegions><pwg:ScanRegion><pwg:ContentRegionUnits>escl:ThreeHundredthsOfInches</pwg:ContentRegionUnits>\
        <pwg:XOffset>0</pwg:XOffset><pwg:YOffset>5</pwg:YOffset><pwg:Width>2480</pwg:Width><pwg:Height>3508</pwg:Height>\
        </pwg:ScanRegion></pwg:ScanRegions><pwg:InputSource>Feeder</pwg:InputSource><scan:ColorMode>Grayscale8\
        </scan:ColorMode><pwg:DocumentFormat>image/jpeg</pwg:DocumentFormat><scan:XResolution>200</scan:XResolution>\
        <scan:YResolution>400</scan:YResolution><scan:Duplex>true</scan:Duplex></scan:ScanSettings>";

    #[test]
    fn settings_are_read_by_local_names() {
        let settings = parse(AIRSCAN.as_bytes()).expect("good settings");
        assert_eq!((settings.source, settings.mode), (Source::Feeder { duplex: true }, ColorMode::Gray8));
        assert_eq!((settings.dpi, settings.area), ((200, 400), [0, 5, 2480, 3508]));
        let plain =
            AIRSCAN.replace("scan:", "").replace("pwg:", "").replace("xmlns:scan", "a").replace("xmlns:pwg", "b");
        let plain = plain.replace("xmlns=", "c=");
        assert_eq!(parse(plain.as_bytes()).map(|settings| settings.dpi), Ok((200, 400)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(parse(b"<a/>"), Err(Refusal::Malformed));
        assert_eq!(parse(b"\xff"), Err(Refusal::Malformed));
        assert_eq!(parse(AIRSCAN.replace("Grayscale8", "RGB99").as_bytes()), Err(Refusal::Unsupported));
        assert_eq!(parse(AIRSCAN.replace("2480", "x").as_bytes()), Err(Refusal::Unsupported));
    }
}

//! The configuration's page and its shipped file beside what the daemon reads: neither may leave a key out, or promise
//! another default.

use std::fs;
use std::path::{Path, PathBuf};

use usbscan_daemon::config::Config;

fn source(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path))
        .expect("it is part of the sources")
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a temporary folder"));
        fs::create_dir(folder.path("models")).expect("it is empty");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Reads a configuration with an empty folder of models, or with what lies there.
    fn read(&self, text: &str) -> Result<Config, String> {
        let file = self.path("usbscand.toml");
        fs::write(&file, text.replace("@MODELS@", &format!("{:?}", self.path("models")))).expect("it can be written");
        Config::read(Some(&file)).map_err(|error| error.to_string())
    }
}

/// The keys that may stand where `nonsense` stood: serde names them when it refuses it.
fn known_keys(refusal: &str) -> Vec<String> {
    let (_, list) = refusal.split_once("expected one of ").unwrap_or_else(|| panic!("no list of keys in: {refusal}"));
    let keys = list.split('`').skip(1).step_by(2).map(str::to_owned);
    keys.take_while(|key| !key.is_empty()).collect()
}

/// Whether the page has the key in bold: alone after .B, or among others after .BR.
fn describes(page: &str, key: &str) -> bool {
    let lines = page.lines().filter_map(|line| line.strip_prefix(".B ").or(line.strip_prefix(".BR ")));
    lines.flat_map(|line| line.split([' ', ','])).any(|word| word.trim_matches('"') == key)
}

#[test]
fn the_shipped_file_says_what_holds_anyway() {
    let shipped = source("packaging/usbscand.toml");
    let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
    let settings: Vec<_> = shipped.lines().filter(is_setting).map(|line| &line[1..]).collect();
    let folder = Folder::new();
    let uncommented = settings.join("\n").replace("\"/etc/usbscan/quirks.d\"", "@MODELS@");
    assert_eq!(folder.read(&uncommented).expect("it is understood"), folder.read("models = @MODELS@").unwrap());
    assert_eq!(folder.read("models = @MODELS@").unwrap(), Config::default());
}

#[test]
fn every_key_is_in_the_page_and_in_the_shipped_file() {
    let (page, shipped) = (source("man/usbscand.toml.5"), source("packaging/usbscand.toml"));
    let folder = Folder::new();
    for table in ["", "[limits]\n"] {
        let refusal = folder.read(&format!("{table}nonsense = 1")).unwrap_err();
        let keys = known_keys(&refusal);
        assert!(keys.len() >= 5, "{keys:?}");
        for key in keys {
            assert!(
                describes(&page, &key)
                    || page.contains(&format!(".SS [{key}]"))
                    || page.contains(&format!(".SS [[{key}]]")),
                "{key} is not in usbscand.toml(5)"
            );
            assert!(
                shipped.contains(&format!("#{key} = "))
                    || shipped.contains(&format!("#[{key}]"))
                    || shipped.contains(&format!("# [[{key}]]")),
                "{key} is not in packaging/usbscand.toml"
            );
        }
    }
}

#[test]
fn every_key_of_an_action_is_in_the_page_and_the_pages_example_is_understood() {
    let page = source("man/usbscand.toml.5");
    let folder = Folder::new();
    let refusal = folder.read("[[action]]\nnonsense = 1").unwrap_err();
    for key in known_keys(&refusal) {
        assert!(describes(&page, &key), "{key} is not in usbscand.toml(5)");
    }
    let (_, example) = page.split_once(".EX\n[[action]]").expect("an example");
    let (example, _) = example.split_once(".EE").expect("its end");
    let text = format!("models = @MODELS@\n[[action]]{}", example.replace("\\-", "-"));
    assert_eq!(folder.read(&text).expect("it is understood").actions.len(), 1);
}

#[test]
fn every_key_of_a_model_is_in_the_page_and_in_the_readme() {
    let (page, readme) = (source("man/usbscand.toml.5"), source("quirks/README.md"));
    let folder = Folder::new();
    let model = "vendor = \"04b8\"\nmanufacturer = \"x\"\n[[model]]\nnonsense = 1";
    for text in ["nonsense = 1", model, "[[list]]\nnonsense = 1"] {
        fs::write(folder.path("models/mine.toml"), text).unwrap();
        let refusal = folder.read("models = @MODELS@").unwrap_err();
        for key in known_keys(&refusal).into_iter().filter(|key| !["model", "list"].contains(&&**key)) {
            assert!(describes(&page, &key), "{key} is not in usbscand.toml(5)");
            assert!(readme.contains(&format!("`{key}`")), "{key} is not in quirks/README.md");
        }
    }
}

#[test]
fn the_pages_examples_of_models_are_understood() {
    let page = source("man/usbscand.toml.5");
    let (_, section) = page.split_once(".SH MODELS").expect("the section on models");
    let blocks = section.split(".EX\n").skip(1).map(|block| block.split_once(".EE").expect("its end").0);
    let examples: Vec<&str> = blocks.filter(|block| block.contains("[[")).collect();
    assert_eq!(examples.len(), 4, "one of ours, one of SANE's, a list, and one that speaks eSCL");
    for example in examples {
        let folder = Folder::new();
        fs::write(folder.path("models/mine.toml"), example.replace("\\-", "-")).unwrap();
        let config = folder.read("models = @MODELS@").unwrap_or_else(|error| panic!("{error}\n{example}"));
        if example.contains("[[escl]]") {
            let quirks = config.models.escl_quirks(&["Brother MFC-1234"], &mut |_, _, _| {});
            assert!(quirks.pause_between_pages, "{example}");
            continue;
        }
        assert!(config.models.models().any(|model| model.source.ends_with("mine.toml")), "{example}");
    }
}

//! Checks the SANE backend: whether it is installed, and enabled in SANE's configuration.

use usbscan_daemon::quirks::{Backend, Protocol, Table};

use super::finding::Finding;
use super::host::Host;

const BACKEND: &str = "libsane-usbscan.so.1";
/// Debian's package of SANE's own backends, and of scanimage.
const BACKENDS_OF_SANE: &str = "libsane1";
const PROGRAMS_OF_SANE: &str = "sane-utils";
/// Backends from elsewhere that Debian has, and their packages.
const FROM_ELSEWHERE: [(&str, &str); 2] = [("hpaio", "libsane-hpaio"), ("airscan", "sane-airscan")];

pub fn findings(host: &Host) -> Vec<Finding> {
    if host.rights("/etc/sane.d").is_none() {
        return vec![Finding::note("sane", "SANE is not installed; usbscan does not need it")];
    }
    let Some(backend) = file_of(host, BACKEND) else {
        return vec![Finding::note(
            "sane",
            format!("{BACKEND} is not installed: SANE applications do not see these scanners"),
        )];
    };
    match enabled_in(host, "usbscan") {
        Some(file) => vec![Finding::ok("sane", format!("{backend}, enabled in {file}"))],
        None => vec![
            Finding::problem("sane", format!("{backend} is installed, but not enabled in SANE's configuration"))
                .with_fix("echo usbscan | sudo tee /etc/sane.d/dll.d/usbscan"),
        ],
    }
}

/// How to scan with a scanner that none of our drivers but this backend of SANE's can do.
pub fn of_backend(host: &Host, check: &str, backend: Backend) -> Finding {
    let says = format!("SANE drives it, with its backend {backend}");
    if file_of(host, &format!("libsane-{backend}.so.1")).is_none() {
        return match package(backend) {
            Some(package) => Finding::problem(check, format!("{says}, which is in Debian's package {package}"))
                .with_fix(format!("sudo apt-get install {package} {PROGRAMS_OF_SANE}")),
            None => Finding::problem(
                check,
                format!("{says}, which is not installed, and not part of SANE; the scanner's maker may have it"),
            ),
        };
    }
    if enabled_in(host, backend.name()).is_none() {
        return Finding::problem(check, format!("{says}, which is not enabled in SANE's configuration"))
            .with_fix(format!("echo {backend} | sudo tee /etc/sane.d/dll.d/{backend}"));
    }
    if host.first_of(&["/usr/bin/scanimage", "/usr/local/bin/scanimage"]).is_none() {
        return Finding::problem(check, format!("{says}, for programs of SANE's, such as scanimage, which is missing"))
            .with_fix(format!("sudo apt-get install {PROGRAMS_OF_SANE}"));
    }
    Finding::note(check, format!("{says}; any program of SANE's can scan with it over usbscand, for example:"))
        .with_details("usbscan run scanimage --format=png --output-file=page.png")
}

fn package(backend: Backend) -> Option<&'static str> {
    if let Some((_, package)) = FROM_ELSEWHERE.iter().find(|(name, _)| *name == backend.name()) {
        return Some(package);
    }
    let is_sanes = Table::built_in().models().any(|model| model.protocol == Some(Protocol::Sane(backend)));
    is_sanes.then_some(BACKENDS_OF_SANE)
}

/// Where SANE has a backend's file.
fn file_of(host: &Host, name: &str) -> Option<String> {
    let mut folders = vec!["/usr/local/lib/sane".to_owned(), "/usr/lib64/sane".to_owned(), "/usr/lib/sane".to_owned()];
    folders.extend(host.names("/usr/lib").into_iter().map(|name| format!("/usr/lib/{name}/sane")));
    folders.into_iter().map(|folder| format!("{folder}/{name}")).find(|path| host.path(path).exists())
}

/// The file of SANE's configuration that enables a backend.
fn enabled_in(host: &Host, name: &str) -> Option<String> {
    let mut files: Vec<String> =
        host.names("/etc/sane.d/dll.d").into_iter().map(|name| format!("/etc/sane.d/dll.d/{name}")).collect();
    files.push("/etc/sane.d/dll.conf".to_owned());
    files.into_iter().find(|file| host.read(file).is_some_and(|text| text.lines().any(|line| line.trim() == name)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::finding::Level;
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_way_to_a_page_from_a_scanner_of_sanes_is_said_step_by_step() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::at(root.path());
        let said = |name: &str| {
            let finding = of_backend(&host, "device 1-1", Backend::new(name).unwrap());
            (finding.level, finding.fix.or(finding.details).unwrap_or_default())
        };
        let missing = (Level::Problem, "sudo apt-get install libsane1 sane-utils".to_owned());
        assert_eq!(said("genesys"), missing);
        assert_eq!(said("hpaio"), (Level::Problem, "sudo apt-get install libsane-hpaio sane-utils".to_owned()));
        assert_eq!(said("epkowa"), (Level::Problem, String::new()), "no package of Debian's has it");

        put(root.path(), "usr/lib/x86_64-linux-gnu/sane/libsane-genesys.so.1", "");
        let disabled = (Level::Problem, "echo genesys | sudo tee /etc/sane.d/dll.d/genesys".to_owned());
        assert_eq!(said("genesys"), disabled);
        put(root.path(), "etc/sane.d/dll.conf", "epson2\n#genesys\n");
        assert_eq!(said("genesys"), disabled);
        put(root.path(), "etc/sane.d/dll.conf", "epson2\ngenesys\n");
        assert_eq!(said("genesys"), (Level::Problem, "sudo apt-get install sane-utils".to_owned()));
        put(root.path(), "usr/bin/scanimage", "");
        let (level, command) = said("genesys");
        assert_eq!(level, Level::Note);
        assert!(command.starts_with("usbscan run scanimage"), "{command}");
    }

    #[test]
    fn a_backend_that_is_not_enabled_is_a_problem_with_a_fix() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "etc/sane.d/dll.conf", "epson2\n#usbscan\n");
        put(root.path(), "usr/lib/x86_64-linux-gnu/sane/libsane-usbscan.so.1", "");
        let host = Host::at(root.path());
        assert_eq!(findings(&host)[0].level, Level::Problem);
        put(root.path(), "etc/sane.d/dll.d/usbscan", "# ours\nusbscan\n");
        assert_eq!(findings(&host)[0].level, Level::Ok);
    }
}

//! Checks the SANE backend: whether it is installed, and enabled in SANE's configuration.

use super::finding::Finding;
use super::host::Host;

const BACKEND: &str = "libsane-usbscan.so.1";

pub fn findings(host: &Host) -> Vec<Finding> {
    if host.rights("/etc/sane.d").is_none() {
        return vec![Finding::note("sane", "SANE is not installed; usbscan does not need it")];
    }
    let Some(backend) = backend(host) else {
        return vec![Finding::note(
            "sane",
            format!("{BACKEND} is not installed: SANE applications do not see these scanners"),
        )];
    };
    match enabled_in(host) {
        Some(file) => vec![Finding::ok("sane", format!("{backend}, enabled in {file}"))],
        None => vec![
            Finding::problem("sane", format!("{backend} is installed, but not enabled in SANE's configuration"))
                .with_fix("echo usbscan | sudo tee /etc/sane.d/dll.d/usbscan"),
        ],
    }
}

fn backend(host: &Host) -> Option<String> {
    let mut folders = vec!["/usr/local/lib/sane".to_owned(), "/usr/lib64/sane".to_owned(), "/usr/lib/sane".to_owned()];
    folders.extend(host.names("/usr/lib").into_iter().map(|name| format!("/usr/lib/{name}/sane")));
    folders.into_iter().map(|folder| format!("{folder}/{BACKEND}")).find(|path| host.path(path).exists())
}

fn enabled_in(host: &Host) -> Option<String> {
    let mut files: Vec<String> =
        host.names("/etc/sane.d/dll.d").into_iter().map(|name| format!("/etc/sane.d/dll.d/{name}")).collect();
    files.push("/etc/sane.d/dll.conf".to_owned());
    files.into_iter().find(|file| host.read(file).is_some_and(|text| text.lines().any(|line| line.trim() == "usbscan")))
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

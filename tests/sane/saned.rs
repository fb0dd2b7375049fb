//! Debian's saned: another machine's scanimage scans with our scanner over the network.

use std::net::TcpStream;
use std::process::Command;

use crate::bench::Bench;
use crate::picture::Pnm;
use crate::program::{Ended, Program};
use crate::requirements::{self, SANE_UTILS, SANED};
use crate::rig::eventually;

/// An address of this machine that nothing else listens at: saned's clients know no port but one.
const ADDRESS: &str = "127.83.78.68";
const PORT: u16 = 6566;

/// scanimage with SANE's net backend alone.
fn run(bench: &Bench, arguments: &[&str]) -> Ended {
    let mut command = Command::new("scanimage");
    command.env("SANE_CONFIG_DIR", bench.path("other-machine")).args(arguments).current_dir(bench.path("."));
    Program::start(&mut command).end()
}

#[test]
fn another_machine_scans_through_saned() {
    if !requirements::are_there("saned with our scanner", &[&SANE_UTILS, &SANED]) {
        return;
    }
    let bench = Bench::new(&["esci"]);
    std::fs::write(bench.path("saned.conf"), format!("{ADDRESS}/8\n")).expect("a file");
    std::fs::create_dir(bench.path("other-machine")).expect("a folder");
    std::fs::write(bench.path("other-machine/dll.conf"), "net\n").expect("a file");
    std::fs::write(bench.path("other-machine/net.conf"), format!("{ADDRESS}\n")).expect("a file");
    let mut saned = bench.command("/usr/sbin/saned");
    let saned = Program::start(saned.args(["--listen", "--stderr", "--debug=3", "--bind", ADDRESS]));
    eventually("saned listens", || TcpStream::connect((ADDRESS, PORT)).is_ok());

    let listed = run(&bench, &["-L"]);
    let name = format!("net:{ADDRESS}:usbscan:04b8:0151:VIRTUAL1");
    assert!(listed.stdout.contains(&format!("device `{name}' is a EPSON")), "{}{}", listed.stdout, listed.stderr);

    let page = ["--format=pnm", "--mode=Color", "--resolution=100", "-x", "100", "-y", "80", "-o"];
    bench.done(&[&page[..], &["here.pnm"]].concat());
    for attempt in ["there.pnm", "again.pnm"] {
        let ended = run(&bench, &[&["-d", &name], &page[..], &[attempt]].concat());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        Pnm::read(&bench.path(attempt)).assert_equals(&Pnm::read(&bench.path("here.pnm")), attempt);
    }
    saned.signal(rustix::process::Signal::TERM);
    saned.end();
}

//! `usbscand`: the daemon. Combines crates/daemon with the USB buses, libusb and virtual; reads the command line and the
//! configuration; waits for signals.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use log::LevelFilter;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use usbscan_daemon::args::{self, Arguments};
use usbscan_daemon::config::{Claim, check};
use usbscan_daemon::{Config, Running, process_limits, socket, systemd};
use usbscan_usb::Bus;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments = args::parse(usbscan_virtual::spec::help());
    log_to_stderr(arguments.verbose);
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs until a signal comes. Returns `false` if the shutdown timed out.
fn run(arguments: &Arguments) -> Result<bool, BoxError> {
    let config = configuration(arguments)?;
    if arguments.check_config {
        let problems = check::problems(&config);
        if !problems.is_empty() {
            return Err(problems.join("; ").into());
        }
        // Standard output may be closed; the exit code has the result too.
        let _ = writeln!(io::stdout(), "the configuration is valid");
        return Ok(true);
    }
    process_limits::check(&config.limits)?;
    // Installed before the first thread starts. Rust's runtime already ignores SIGPIPE.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let inherited = if arguments.socket.is_none() { systemd::inherited_socket()? } else { None };
    let (listener, own) = match inherited {
        Some(inherited) => (inherited, None),
        None => {
            let (listener, path) = socket::bind(&config.socket, config.mode, &config.group)?;
            (listener, Some(path))
        }
    };
    let stop_timeout = config.stop;
    // An idle exit needs systemd, which starts the daemon again; and `claim = "always"` needs a daemon that keeps running.
    let exit_idle = config.exit_idle.filter(|_| own.is_none() && config.claim == Claim::OnUse);
    let running = Arc::new(Running::start(config, buses(arguments)?)?);
    running.listen(listener)?;
    let address =
        own.as_ref().map_or_else(|| "a socket from systemd".to_owned(), |own| own.path().display().to_string());
    let status = format!("{}, listening on {address}", scanners(&running));
    log::info!("usbscand {}: {status}", env!("CARGO_PKG_VERSION"));
    systemd::ready(&status);
    let watched = Arc::downgrade(&running);
    let watchdog =
        systemd::Watchdog::start(move || watched.upgrade().is_some_and(|running| running.alive(systemd::PATIENCE)));
    let end = signals.handle();
    let unused = exit_idle.map(|after| running.when_unused(after, move || end.close())).transpose()?;
    for signal in signals.forever() {
        if signal == SIGHUP {
            reload(arguments, &running);
            continue;
        }
        log::info!("{}: shutting down", signal_hook::low_level::signal_name(signal).unwrap_or("a signal"));
        break;
    }
    if signals.handle().is_closed() {
        log::info!("idle timeout reached, exiting; the next client starts it again");
    }
    systemd::stopping("cancelling what is pending, releasing scanners");
    drop((watchdog, unused));
    let Some(running) = Arc::into_inner(running) else { return Err("the daemon is still in use".into()) };
    let in_time = running.stop(stop_timeout);
    drop(own);
    log::info!("{}", if in_time { "exited" } else { "shutdown timed out" });
    Ok(in_time)
}

fn configuration(arguments: &Arguments) -> Result<Config, BoxError> {
    let mut config = Config::read(arguments.config.as_deref())?;
    if let Some(socket) = &arguments.socket {
        config.socket.clone_from(socket);
    }
    config.notes = systemd::runtime_directory();
    Ok(config)
}

/// An invalid configuration changes nothing.
fn reload(arguments: &Arguments, running: &Running) {
    systemd::reloading();
    match configuration(arguments) {
        Ok(config) => {
            running.reconfigure(config);
            log::info!("configuration reloaded");
        }
        Err(error) => log::error!("configuration not reloaded: {error}"),
    }
    systemd::ready(&scanners(running));
}

fn scanners(running: &Running) -> String {
    match running.scanners() {
        1 => "1 scanner".to_owned(),
        number => format!("{number} scanners"),
    }
}

fn buses(arguments: &Arguments) -> Result<Vec<Arc<dyn Bus>>, BoxError> {
    let mut buses: Vec<Arc<dyn Bus>> = Vec::new();
    if !arguments.no_usb {
        buses.push(Arc::new(usbscan_libusb::LibusbBus::new()?));
    }
    if !arguments.virtual_scanners.is_empty() {
        let bus = usbscan_virtual::VirtualBus::new();
        for model in &arguments.virtual_scanners {
            bus.plug_spec(model)?;
        }
        buses.push(Arc::new(bus));
    }
    Ok(buses)
}

fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let mut logger = env_logger::Builder::new();
    logger.filter_level(level).parse_default_env();
    if systemd::stderr_is_the_journal() {
        logger.format(|out, record| {
            writeln!(out, "{}", systemd::with_priority(record.level(), &record.args().to_string()))
        });
    }
    logger.init();
}

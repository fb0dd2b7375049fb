//! Bulk transfers and cancels in the barest loop that libusb allows: one thread, one callback, no engine of ours.
//! The peer that the engine is measured against; `engine_loop` does the same work through it.
//!
//!     cargo run --release -p usbscan-libusb --example bare_loop -- --queued 4 --size 262144
//!
//! With `--queued 0` one synchronous call after another, as most scanner programs read.
//!
//! Needs the loopback device on a USB bus that libusb sees.

mod load;

use std::cell::Cell;
use std::ffi::c_void;
use std::process::ExitCode;
use std::ptr::null_mut;
use std::time::{Duration, Instant};

use libusb1_sys as ffi;
use libusb1_sys::constants::{LIBUSB_TRANSFER_CANCELLED, LIBUSB_TRANSFER_COMPLETED};
use load::{Load, Took};
use rusb::{Context, DeviceHandle, UsbContext};

/// What the callback sees. Everything is on one thread.
struct Loop {
    /// Bytes still to be asked for.
    left: Cell<usize>,
    in_flight: Cell<usize>,
    expected: i32,
    surprise: Cell<Option<i32>>,
}

fn main() -> ExitCode {
    let Some(load) = Load::from_arguments().filter(|load| !load.shared) else {
        eprintln!("usage: bare_loop {}", load::USAGE);
        return ExitCode::from(2);
    };
    match run(&load) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bare_loop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(load: &Load) -> Result<(), rusb::Error> {
    let context = Context::new()?;
    let handle = context.open_device_with_vid_pid(load.device.0, load.device.1).ok_or(rusb::Error::NoDevice)?;
    handle.set_auto_detach_kernel_driver(true)?;
    handle.claim_interface(0)?;
    let (bulk_in, bulk_out) = (bulk(&handle, 0x80)?, bulk(&handle, 0)?);
    tell(&handle, 0x14, 0)?;
    load.report_cancels("bare", cancels(load, &context, &handle, bulk_in)?);
    if load.out {
        tell(&handle, 0x16, 0)?;
    } else {
        load.runs().into_iter().try_for_each(|kib| tell(&handle, 0x15, kib))?;
    }
    let endpoint = if load.out { bulk_out } else { bulk_in };
    let took = if load.queued == 0 {
        Took::by(|| one_after_another(load, &handle, endpoint))?
    } else {
        Took::by(|| queued(load, &context, &handle, endpoint))?
    };
    load.report_throughput("bare", took);
    Ok(())
}

/// The first bulk endpoint of this direction, which is the address's highest bit.
fn bulk(handle: &DeviceHandle<Context>, direction: u8) -> Result<u8, rusb::Error> {
    let configuration = handle.device().active_config_descriptor()?;
    let endpoints = configuration.interfaces().flat_map(|i| i.descriptors()).flat_map(|d| {
        let all: Vec<(u8, rusb::TransferType)> =
            d.endpoint_descriptors().map(|e| (e.address(), e.transfer_type())).collect();
        all
    });
    let found = endpoints.into_iter().find(|(a, kind)| a & 0x80 == direction && *kind == rusb::TransferType::Bulk);
    found.map(|(address, _)| address).ok_or(rusb::Error::NotFound)
}

/// A vendor request without data. Synchronous, which is safe here: no other thread handles events.
fn tell(handle: &DeviceHandle<Context>, request: u8, value: u16) -> Result<(), rusb::Error> {
    handle.write_control(0x40, request, value, 0, &[], Duration::from_secs(5)).map(drop)
}

/// Moves `load.bytes` by libusb's synchronous calls.
fn one_after_another(load: &Load, handle: &DeviceHandle<Context>, endpoint: u8) -> Result<(), rusb::Error> {
    let mut buffer = vec![0; load.size];
    let patience = Duration::from_secs(30);
    for _ in 0..load.bytes / load.size {
        let moved = if load.out {
            handle.write_bulk(endpoint, &buffer, patience)?
        } else {
            handle.read_bulk(endpoint, &mut buffer, patience)?
        };
        if moved != load.size {
            return Err(rusb::Error::Io);
        }
    }
    Ok(())
}

/// Moves `load.bytes` with `load.queued` transfers in flight.
fn queued(load: &Load, context: &Context, handle: &DeviceHandle<Context>, endpoint: u8) -> Result<(), rusb::Error> {
    let state = Loop {
        left: Cell::new(load.bytes),
        in_flight: Cell::new(0),
        expected: LIBUSB_TRANSFER_COMPLETED,
        surprise: Cell::new(None),
    };
    let mut buffers: Vec<Vec<u8>> = (0..load.queued).map(|_| vec![0; load.size]).collect();
    let transfers: Vec<_> = buffers.iter_mut().map(|buffer| transfer(handle, endpoint, buffer, &state)).collect();
    for raw in &transfers {
        if state.left.get() > 0 {
            submit(&state, *raw, load.size);
        }
    }
    while state.in_flight.get() > 0 {
        context.handle_events(None)?;
    }
    transfers.into_iter().for_each(free);
    expect_no_surprise(&state)
}

/// Cancels one read after another; the time is from asking to the callback.
fn cancels(
    load: &Load,
    context: &Context,
    handle: &DeviceHandle<Context>,
    endpoint: u8,
) -> Result<Vec<Duration>, rusb::Error> {
    let state = Loop {
        left: Cell::new(0),
        in_flight: Cell::new(0),
        expected: LIBUSB_TRANSFER_CANCELLED,
        surprise: Cell::new(None),
    };
    let mut buffer = vec![0; load.size];
    let raw = transfer(handle, endpoint, &mut buffer, &state);
    let mut took = Vec::with_capacity(load.rounds);
    for _ in 0..load.rounds {
        submit(&state, raw, 0);
        let began = Instant::now();
        // SAFETY: the transfer is allocated, and freed below only.
        unsafe { ffi::libusb_cancel_transfer(raw) };
        while state.in_flight.get() > 0 {
            context.handle_events(None)?;
        }
        took.push(began.elapsed());
    }
    free(raw);
    expect_no_surprise(&state)?;
    Ok(took)
}

fn expect_no_surprise(state: &Loop) -> Result<(), rusb::Error> {
    match state.surprise.get() {
        None => Ok(()),
        Some(status) => {
            eprintln!("a transfer ended with status {status}");
            Err(rusb::Error::Io)
        }
    }
}

fn transfer(
    handle: &DeviceHandle<Context>,
    endpoint: u8,
    buffer: &mut [u8],
    state: &Loop,
) -> *mut ffi::libusb_transfer {
    // SAFETY: no preconditions.
    let raw = unsafe { ffi::libusb_alloc_transfer(0) };
    assert!(!raw.is_null(), "no memory");
    let (handle, start, length) = (handle.as_raw(), buffer.as_mut_ptr(), buffer.len() as i32);
    let user_data = std::ptr::from_ref(state).cast_mut().cast::<c_void>();
    // SAFETY: `raw` is allocated and idle; the callers keep buffer, handle and state until nothing is in flight.
    unsafe { ffi::libusb_fill_bulk_transfer(raw, handle, endpoint, start, length, ended, user_data, 0) };
    raw
}

fn free(raw: *mut ffi::libusb_transfer) {
    // SAFETY: the loops above ran until nothing was in flight.
    unsafe { ffi::libusb_free_transfer(raw) }
}

fn submit(state: &Loop, raw: *mut ffi::libusb_transfer, size: usize) {
    // SAFETY: the transfer is filled and not in flight.
    let code = unsafe { ffi::libusb_submit_transfer(raw) };
    if code != 0 {
        state.surprise.set(Some(code));
        return;
    }
    state.left.set(state.left.get().saturating_sub(size));
    state.in_flight.set(state.in_flight.get() + 1);
}

extern "system" fn ended(raw: *mut ffi::libusb_transfer) {
    // SAFETY: libusb calls back with a transfer of ours.
    let transfer = unsafe { &mut *raw };
    // SAFETY: `user_data` is the state, which outlives the transfers; all is on one thread.
    let state = unsafe { &*transfer.user_data.cast::<Loop>() };
    debug_assert_ne!(transfer.user_data, null_mut());
    state.in_flight.set(state.in_flight.get() - 1);
    if transfer.status != state.expected {
        state.surprise.set(Some(transfer.status));
    } else if state.left.get() > 0 {
        submit(state, raw, transfer.length as usize);
    }
}

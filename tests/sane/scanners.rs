//! The C interface with scanners behind it: options, pages, cancelling from a handler and from a thread, several scanners,
//! calls at random, all from a C program, also under valgrind.

use crate::abi::{run, valgrind};
use crate::bench::Bench;
use crate::requirements::{self, LIBSANE_DEV, VALGRIND};

fn bench() -> Bench {
    Bench::new(&["esci,serial=FIRST", "esci,serial=SECOND,dialect=esc"])
}

#[test]
fn with_scanners_every_call_answers_as_sane_says() {
    if requirements::are_there("the backend with scanners, called from C", &[&LIBSANE_DEV]) {
        let bench = bench();
        run(bench.backend(), "scanner", |program| bench.command(program));
    }
}

#[test]
fn with_scanners_no_call_touches_memory_that_is_not_its_own() {
    if requirements::are_there("the backend with scanners, under valgrind", &[&LIBSANE_DEV, &VALGRIND]) {
        let bench = bench();
        run(bench.backend(), "scanner", |program| valgrind(bench.command("valgrind"), program));
    }
}

#[test]
fn after_an_unplug_each_start_is_an_io_error() {
    if requirements::are_there("an unplug, called from C", &[&LIBSANE_DEV]) {
        let bench = Bench::new(&["esci,fault=unplug@100000"]);
        run(bench.backend(), "unplugged", |program| bench.command(program));
    }
}

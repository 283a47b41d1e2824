//! The calls against the host's own kernel: the same random calls, the same answers.
//!
//! Run with `make compare`, as root on Linux with a
//! tmpfs at `/dev/shm`; `CASES` says how many. Ignored otherwise: hosts differ in what they allow.

mod files;
mod streams;

use super::dispatch::dispatch;
use super::errno::Errno;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::ffi::c_long;
use std::fmt::Debug;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn __errno_location() -> *mut i32;
}

/// Who answers.
#[derive(Clone, Copy)]
enum Side {
    Ours,
    Host,
}

/// No descriptor.
const CLOSED: usize = 9999;

fn call(side: Side, number: u32, a: [usize; 6]) -> Result<usize, i32> {
    match side {
        Side::Ours => dispatch(number as usize, &a).map_err(Errno::number),
        Side::Host => {
            // SAFETY: the same arguments are good for both: descriptors, flags, and memory of this test.
            let result = unsafe { syscall(number.into(), a[0], a[1], a[2], a[3], a[4], a[5]) };
            if result < 0 {
                // SAFETY: errno of this thread.
                return Err(unsafe { *__errno_location() });
            }
            Ok(result as usize)
        }
    }
}

/// Any sum of up to three of these bits.
fn bits(all: &'static [u32]) -> impl Strategy<Value = u32> {
    let some = proptest::collection::vec(proptest::sample::select(all), 0..4);
    some.prop_map(|bits| bits.into_iter().fold(0, |a, b| a | b))
}

/// Runs `compare` on many random lists of steps.
fn run_cases<S: Debug>(
    step: impl Strategy<Value = S>,
    compare: impl Fn(&[S], u32) -> Result<(), String>,
) {
    let cases = std::env::var("CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(2000);
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let count = std::cell::Cell::new(0);
    let result = runner.run(&proptest::collection::vec(step, 1..60), |steps| {
        count.set(count.get() + 1);
        compare(&steps, count.get()).map_err(TestCaseError::fail)
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// Says that two answers differ, and after which steps.
fn difference<S: Debug>(ours: &str, host: &str, steps: &[S]) -> Result<(), String> {
    if ours == host {
        return Ok(());
    }
    let cut = |text: &str| text.chars().take(300).collect::<String>();
    let done: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
    Err(format!(
        "ours {} host {} after {done:#?}",
        cut(ours),
        cut(host)
    ))
}

//! `pthread_once`.

use core::{
    ffi::{c_int, c_void},
    ptr,
};

use super::cancel;
use crate::once::Once;

/// Runs when the thread ends inside the routine: then another one runs it.
unsafe extern "C" fn given_up(once: *mut c_void) {
    // SAFETY: pushed below with this argument, which lives as long as its users.
    unsafe { &*once.cast::<Once>() }.abandon();
}

/// Runs `routine` if nobody has yet; see `pthread_once`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_once(once: &Once, routine: unsafe extern "C" fn()) -> c_int {
    if once.begin() {
        let argument = ptr::from_ref(once).cast_mut().cast();
        // SAFETY: the caller's contract.
        cancel::with_cleanup(given_up, argument, || unsafe { routine() });
        once.finish();
    }
    0
}

/// Runs `routine` if nobody has yet; see C11's `call_once`.
#[unsafe(no_mangle)]
unsafe extern "C" fn call_once(once: &Once, routine: unsafe extern "C" fn()) {
    // SAFETY: the caller's contract.
    unsafe { pthread_once(once, routine) };
}

//! What a page fault leads to.

use super::{address_space, frames};
use crate::arch::page_table::USER_RANGE;
use crate::arch::user_copy;
use core::sync::atomic::{AtomicU64, Ordering};
use mmap_shim::{Access, FaultError, FrameUse};

/// Why an access fails: the signal and its code (sigaction(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultReason {
    /// Nothing is mapped there: SIGSEGV, `SEGV_MAPERR`.
    NotMapped,
    /// What is mapped does not allow it: SIGSEGV, `SEGV_ACCERR`.
    AccessDenied,
    /// It lies past the end of the mapped file: SIGBUS, `BUS_ADRERR`.
    PastEnd,
    /// There is no memory for it: SIGBUS, `BUS_ADRERR`.
    NoMemory,
}

impl From<FaultError> for FaultReason {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::NotMapped => FaultReason::NotMapped,
            FaultError::AccessDenied => FaultReason::AccessDenied,
            FaultError::PastEnd => FaultReason::PastEnd,
            FaultError::NoMemory => FaultReason::NoMemory,
        }
    }
}

/// What the fault handler does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOutcome {
    /// The page is there now: run the instruction again.
    Resolved,
    /// The kernel was touching C's memory and is prepared: go on at this address.
    ContinueAt(usize),
    /// The access is wrong: a signal for C, a panic for the kernel.
    Fatal(FaultReason),
}

static FAULTS: AtomicU64 = AtomicU64::new(0);

/// Returns how many faults were resolved (`ru_minflt` of getrusage(2)).
pub fn fault_count() -> u64 {
    FAULTS.load(Ordering::Relaxed)
}

/// Deals with a page fault at `address`, by the instruction at `instruction`.
///
/// Called by the exception handler, on its own stack with interrupts off.
pub fn handle_page_fault(address: usize, access: Access, instruction: usize) -> FaultOutcome {
    let result = if USER_RANGE.contains(&address) {
        resolve(address, access)
    } else {
        Err(reason_outside(address))
    };
    match result {
        Ok(()) => {
            FAULTS.fetch_add(1, Ordering::Relaxed);
            FaultOutcome::Resolved
        }
        Err(reason) => match user_copy::fixup(instruction) {
            Some(next) => FaultOutcome::ContinueAt(next),
            None => FaultOutcome::Fatal(reason),
        },
    }
}

fn resolve(address: usize, access: Access) -> Result<(), FaultReason> {
    // Most faults want a page of zeros: it is made before the lock is taken.
    let spare = frames::alloc_page(FrameUse::Lazy).inspect(|&frame| frames::zero(frame));
    let mut space = address_space::lock().lock();
    space.mapper().begin_fault(spare);
    let result = space.handle_fault(address, access);
    let unused = space.mapper().end_fault();
    drop(space);
    if let Some(frame) = unused {
        frames::free(frame);
    }
    Ok(result?)
}

/// The image is mapped for good, so a fault there is one of rights.
fn reason_outside(address: usize) -> FaultReason {
    let sections = crate::arch::page_table::image_sections();
    let is_image = sections.iter().any(|(range, ..)| range.contains(&address));
    if is_image {
        FaultReason::AccessDenied
    } else {
        FaultReason::NotMapped
    }
}

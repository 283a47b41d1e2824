//! TLB shootdown.

/// Makes every CPU forget the translations of `start..end` before it next uses user memory, and
/// returns when no CPU can use them any more: the frames may be reused. Idle CPUs are not disturbed,
/// they flush when they leave idle.
///
/// # Panics
///
/// If interrupts are off: two CPUs that shoot at each other must both answer. The page-fault handler,
/// which holds no spin lock, uses [`shootdown_from_fault`].
pub fn shootdown(start: usize, end: usize) {
    let _ = (start, end);
    unimplemented!()
}

/// As [`shootdown`], and idle CPUs take part: for when page tables are freed, which the
/// hardware of an idle CPU may still walk speculatively.
pub fn shootdown_tables(start: usize, end: usize) {
    let _ = (start, end);
    unimplemented!()
}

/// As [`shootdown`], with interrupts off, for the page-fault handler: it answers other CPUs'
/// requests while it waits. No spin lock may be held.
pub fn shootdown_from_fault(start: usize, end: usize) {
    let _ = (start, end);
    unimplemented!()
}

/// Answers the requests of other CPUs; for who waits with interrupts off.
pub fn service_shootdown() {}

/// Handles [`crate::Ipi::Shootdown`].
pub fn on_shootdown_ipi() {
    service_shootdown();
}

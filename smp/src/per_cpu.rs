//! One value per CPU.

#![forbid(unsafe_code)]

use core::ops::Index;

use crossbeam_utils::CachePadded;

use crate::{CpuId, IrqGuard, MAX_CPUS, PreemptGuard, machine};

/// Proof that the caller stays on its CPU.
pub trait Pinned {}
impl Pinned for IrqGuard {}
impl Pinned for PreemptGuard {}

/// One `T` per CPU, each on cache lines of its own.
///
/// Other CPUs may look ([`Index`]), so `T` is of atomics or locks and no unsafe code is needed.
#[derive(Debug)]
pub struct PerCpu<T>([CachePadded<T>; MAX_CPUS]);

impl<T> PerCpu<T> {
    /// Makes the values from one constant each, so that it can be a static.
    pub const fn new(values: [CachePadded<T>; MAX_CPUS]) -> Self {
        Self(values)
    }

    /// Runs `f` on this CPU's value.
    pub fn with<R>(&self, _pinned: &impl Pinned, f: impl FnOnce(&T) -> R) -> R {
        f(&self[machine::this_cpu()])
    }
}

impl<T> Index<CpuId> for PerCpu<T> {
    type Output = T;

    fn index(&self, cpu: CpuId) -> &T {
        &self.0[cpu.index()]
    }
}

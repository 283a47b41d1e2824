//! CPU numbers and sets of them.

#![forbid(unsafe_code)]

/// The most CPUs this kernel runs on; a [`CpuMask`] is one word.
pub const MAX_CPUS: usize = 64;

/// A CPU, counted from 0 (the boot CPU) in the order in which the firmware lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuId(pub u32);

impl CpuId {
    /// Returns the number as an index into per-CPU arrays.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of CPUs: bit `n` stands for CPU `n`, as in `sched_setaffinity(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct CpuMask(u64);

impl CpuMask {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// Every CPU there can be.
    pub const ALL: Self = Self(u64::MAX);

    /// Makes the set whose bits are `bits`.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the set as bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Makes the set of `cpu` alone.
    pub const fn only(cpu: CpuId) -> Self {
        Self(1 << cpu.0)
    }

    /// Makes the set of the first `count` CPUs.
    pub const fn first(count: usize) -> Self {
        if count >= MAX_CPUS {
            Self(u64::MAX)
        } else {
            Self((1 << count) - 1)
        }
    }

    /// Says whether `cpu` is in the set.
    pub const fn contains(self, cpu: CpuId) -> bool {
        self.0 & (1 << cpu.0) != 0
    }

    /// Says whether the set has no member.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the number of members.
    pub const fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Returns the set with `cpu` in it.
    #[must_use]
    pub const fn with(self, cpu: CpuId) -> Self {
        Self(self.0 | 1 << cpu.0)
    }

    /// Returns the set with `cpu` not in it.
    #[must_use]
    pub const fn without(self, cpu: CpuId) -> Self {
        Self(self.0 & !(1 << cpu.0))
    }

    /// Returns the CPUs that are in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the member with the lowest number.
    pub const fn lowest(self) -> Option<CpuId> {
        if self.0 == 0 {
            None
        } else {
            Some(CpuId(self.0.trailing_zeros()))
        }
    }

    /// Returns the members in ascending order.
    pub fn iter(self) -> impl Iterator<Item = CpuId> {
        let mut rest = self;
        core::iter::from_fn(move || {
            let cpu = rest.lowest()?;
            rest = rest.without(cpu);
            Some(cpu)
        })
    }
}

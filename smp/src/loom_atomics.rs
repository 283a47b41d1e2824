//! Loom's atomics, in such a way that its search overlooks no race for them.
//!
//! Loom 0.7 tries two accesses in both orders if it sees that they conflict, and compares each
//! access with the last one of that atomic alone. A thread that loads a value before it changes it
//! so hides from the search what other threads loaded before that: they are never made to load
//! after the change (loom's issues 166 and 392). All that load, decide and exchange do this.
//!
//! Hence each access first stores to a flag beside the value: any two accesses conflict then,
//! the load of one thread and that of another as well. Relaxed, it orders nothing else.

use core::sync::atomic::Ordering;

use loom::sync::atomic;

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[doc = concat!("As `core::sync::atomic::", stringify!($name), "`.")]
        #[derive(Debug)]
        pub struct $name {
            value: atomic::$name,
            is_accessed: atomic::AtomicBool,
        }

        impl $name {
            /// Makes an atomic of this value.
            #[must_use]
            pub fn new(value: $value) -> Self {
                Self {
                    value: atomic::$name::new(value),
                    is_accessed: atomic::AtomicBool::new(false),
                }
            }

            /// Returns the value, for one access.
            fn access(&self) -> &atomic::$name {
                self.is_accessed.store(true, Ordering::Relaxed);
                &self.value
            }

            /// Returns the value.
            pub fn load(&self, order: Ordering) -> $value {
                self.access().load(order)
            }

            /// Sets the value.
            pub fn store(&self, value: $value, order: Ordering) {
                self.access().store(value, order);
            }

            /// Sets the value and returns the old one.
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                self.access().swap(value, order)
            }

            /// Sets the value if it is `current`.
            ///
            /// # Errors
            ///
            /// The value, if it is another one.
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.access()
                    .compare_exchange(current, new, success, failure)
            }

            /// As [`Self::compare_exchange`]: loom has no failure without a reason.
            ///
            /// # Errors
            ///
            /// The value, if it is another one.
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }

            /// Replaces the value by what `update` makes of it.
            ///
            /// # Errors
            ///
            /// The value, if `update` returned nothing.
            pub fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                mut update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut old = self.load(failure);
                while let Some(new) = update(old) {
                    match self.compare_exchange_weak(old, new, success, failure) {
                        Ok(old) => return Ok(old),
                        Err(other) => old = other,
                    }
                }
                Err(old)
            }
        }
    };
}

macro_rules! atomic_number {
    ($name:ident, $value:ty) => {
        atomic!($name, $value);

        impl $name {
            /// Adds to the value and returns the old one.
            pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                self.access().fetch_add(value, order)
            }

            /// Subtracts from the value and returns the old one.
            pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                self.access().fetch_sub(value, order)
            }

            /// Keeps the bits of the value that are in `value` too, and returns the old one.
            pub fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                self.access().fetch_and(value, order)
            }

            /// Adds bits to the value and returns the old one.
            pub fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                self.access().fetch_or(value, order)
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic_number!(AtomicU32, u32);
atomic_number!(AtomicU64, u64);
atomic_number!(AtomicUsize, usize);

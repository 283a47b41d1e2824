//! A fault while the kernel touched C's memory is `EFAULT` to C.

use super::errno::Errno;
use crate::memory::user::Fault;

impl From<Fault> for Errno {
    fn from(Fault: Fault) -> Self {
        Self::EFAULT
    }
}

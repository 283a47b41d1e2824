//! eventfd(2): a counter that can be waited for.

use super::anonymous;
use super::file::{File, Metadata, OpenFlags, PollEvents};
use super::io::{Sink, Source};
use crate::libc::errno::{Errno, SysResult};
use smp::{SpinLock, WaitQueue};

/// The counter stays below this.
const LIMIT: u64 = u64::MAX;

/// A counter.
pub struct EventFd {
    count: SpinLock<u64>,
    is_semaphore: bool,
    changed: WaitQueue,
    metadata: Metadata,
}

impl EventFd {
    /// Makes one; a semaphore is read by ones (EFD_SEMAPHORE).
    pub fn new(count: u32, is_semaphore: bool) -> Self {
        EventFd {
            count: SpinLock::new(u64::from(count)),
            is_semaphore,
            changed: WaitQueue::new(),
            // An anonymous inode has no type bits on Linux either.
            metadata: anonymous::metadata(0o600),
        }
    }

    fn wait<R>(
        &self,
        flags: OpenFlags,
        mut attempt: impl FnMut(&mut u64) -> Option<R>,
    ) -> Result<R, Errno> {
        if flags.is_nonblocking() {
            return attempt(&mut self.count.lock()).ok_or(Errno::EAGAIN);
        }
        let result = self
            .changed
            .wait(None, true, || attempt(&mut self.count.lock()));
        result.map_err(|_| Errno::RESTART)
    }
}

impl File for EventFd {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.metadata)
    }

    fn read(&self, to: &mut dyn Sink, flags: OpenFlags) -> SysResult {
        if to.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let value = self.wait(flags, |count| {
            let taken = if self.is_semaphore {
                (*count).min(1)
            } else {
                *count
            };
            *count -= taken;
            (taken > 0).then_some(taken)
        })?;
        self.changed.wake_all();
        to.put(&value.to_ne_bytes())?;
        Ok(8)
    }

    fn write(&self, from: &mut dyn Source, flags: OpenFlags) -> SysResult {
        // Linux takes exactly eight bytes, whatever eventfd(2) says of more.
        if from.remaining() != 8 {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; 8];
        from.take(&mut bytes)?;
        let value = u64::from_ne_bytes(bytes);
        if value == LIMIT {
            return Err(Errno::EINVAL);
        }
        self.wait(flags, |count| {
            let sum = count.checked_add(value).filter(|&sum| sum < LIMIT)?;
            *count = sum;
            Some(())
        })?;
        self.changed.wake_all();
        Ok(8)
    }

    fn poll(&self) -> PollEvents {
        let count = *self.count.lock();
        let mut events = PollEvents::empty();
        events.set(PollEvents::READABLE, count > 0);
        events.set(PollEvents::WRITABLE, count < LIMIT - 1);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.changed)
    }

    fn ignores_seek(&self) -> bool {
        true
    }

    fn label(&self) -> &'static str {
        "eventfd"
    }
}

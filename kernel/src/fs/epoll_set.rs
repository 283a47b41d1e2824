//! A set of files that tells which of them are ready; see epoll(7).
//!
//! Every item has a waiter in the wait queue of its file. When told, the waiter puts the item on
//! the ready list and wakes who waits for the set. Only items on that list are asked: those that
//! are not ready leave it until they are told again; level-triggered ones that are stay on it.
//!
//! The waiter's callback runs in the middle of somebody else's wake-up, with interrupts off. So
//! it touches the ready list only, which does not hold the set or any file alive.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use linux_raw_sys::general as raw;
use smp::{Mutex, SpinLock, WaitError, WaitQueue, Waiter};

use super::anonymous;
use super::description::Description;
use super::file::{File, Metadata, PollEvents};
use crate::libc::errno::Errno;
use crate::libc::signal::has_effect;

/// How deep sets may be nested, as in Linux.
const MAX_NESTING: usize = 5;

/// A set with fewer items than this is not searched for closed files.
const MIN_SWEEP: usize = 16;

/// Serialises the adding of sets to sets, so that two at once cannot make a ring.
static NESTING: Mutex<()> = Mutex::new(());

/// What is asked of one file: the two members of `struct epoll_event`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interest {
    /// Events and flags.
    pub events: u32,
    /// Given back with every report.
    pub data: u64,
}

/// What one ready file is ready for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// The events.
    pub events: PollEvents,
    /// The interest's data.
    pub data: u64,
}

/// A set.
pub struct EpollSet {
    items: Mutex<BTreeMap<Key, Arc<Item>>>,
    ready: Arc<Ready>,
    metadata: Metadata,
    /// At how many items to look for those of closed files.
    next_sweep: AtomicUsize,
}

/// A descriptor's number and the open file it meant: the number may mean another one by now.
type Key = (i32, usize);

struct Ready {
    /// Items to ask, in the order in which they were told.
    list: SpinLock<VecDeque<Weak<Item>>>,
    /// Who waits for the set.
    queue: WaitQueue,
}

struct Item {
    /// Gone when all descriptors of the open file are closed; then so is the item.
    target: Weak<Description>,
    interest: SpinLock<Interest>,
    /// It is on the ready list.
    is_listed: AtomicBool,
    waiter: Arc<Waiter>,
}

impl Interest {
    fn has(&self, flag: u32) -> bool {
        self.events & flag != 0
    }

    fn wanted(&self) -> PollEvents {
        PollEvents::from_bits_truncate(self.events) | PollEvents::ALWAYS
    }

    /// A one-shot interest that has been reported asks for nothing until it is modified.
    fn is_armed(&self) -> bool {
        self.events & !FLAGS != 0
    }

    fn disarm(&mut self) {
        self.events &= FLAGS;
    }
}

/// The bits that are no events.
const FLAGS: u32 = raw::EPOLLET | raw::EPOLLONESHOT | raw::EPOLLWAKEUP | raw::EPOLLEXCLUSIVE;

/// What may stand beside EPOLLEXCLUSIVE.
const WITH_EXCLUSIVE: u32 = raw::EPOLLIN
    | raw::EPOLLOUT
    | raw::EPOLLERR
    | raw::EPOLLHUP
    | raw::EPOLLWAKEUP
    | raw::EPOLLET
    | raw::EPOLLEXCLUSIVE;

impl Ready {
    /// Puts an item on the list, once, and wakes one thread that waits.
    fn list(&self, item: &Arc<Item>) {
        if !item.is_listed.swap(true, Ordering::AcqRel) {
            self.list.lock().push_back(Arc::downgrade(item));
        }
        self.queue.wake_one();
    }

    fn pop(&self) -> Option<Weak<Item>> {
        self.list.lock().pop_front()
    }

    fn len(&self) -> usize {
        self.list.lock().len()
    }
}

impl Item {
    /// What the file is ready for, of what is asked.
    fn ask(&self) -> PollEvents {
        let interest = *self.interest.lock();
        if !interest.is_armed() {
            return PollEvents::empty();
        }
        match self.target.upgrade() {
            Some(target) => target.poll() & interest.wanted(),
            None => PollEvents::empty(),
        }
    }

    fn register(&self, target: &Description) {
        if let Some(queue) = target.file().wait_queue() {
            queue.register(&self.waiter);
        }
    }

    fn unregister(&self) {
        if let Some(target) = self.target.upgrade()
            && let Some(queue) = target.file().wait_queue()
        {
            queue.unregister(&self.waiter);
        }
    }
}

fn key(fd: i32, target: &Arc<Description>) -> Key {
    (fd, Arc::as_ptr(target).addr())
}

impl EpollSet {
    /// An empty set.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            items: Mutex::new(BTreeMap::new()),
            ready: Arc::new(Ready {
                list: SpinLock::new(VecDeque::new()),
                queue: WaitQueue::new(),
            }),
            metadata: anonymous::metadata(0o600),
            next_sweep: AtomicUsize::new(MIN_SWEEP),
        })
    }

    /// EPOLL_CTL_ADD of epoll_ctl(2).
    pub fn add(
        self: &Arc<Self>,
        fd: i32,
        target: &Arc<Description>,
        interest: Interest,
    ) -> Result<(), Errno> {
        let nested: Option<Arc<EpollSet>> = target.file().downcast();
        if interest.has(raw::EPOLLEXCLUSIVE)
            && (interest.events & !WITH_EXCLUSIVE != 0 || nested.is_some())
        {
            return Err(Errno::EINVAL);
        }
        let _nesting = nested.as_ref().map(|_| NESTING.lock());
        if let Some(nested) = &nested {
            self.check_nesting(nested)?;
        }
        let mut items = self.items.lock();
        let key = key(fd, target);
        if items.contains_key(&key) {
            return Err(Errno::EEXIST);
        }
        self.forget_closed(&mut items);
        let item = Arc::new_cyclic(|item: &Weak<Item>| Item {
            target: Arc::downgrade(target),
            interest: SpinLock::new(interest),
            is_listed: AtomicBool::new(false),
            waiter: Waiter::with_callback({
                let (item, ready) = (item.clone(), self.ready.clone());
                move || {
                    if let Some(item) = item.upgrade() {
                        ready.list(&item);
                    }
                }
            }),
        });
        // Told from now on, then asked: no change is missed in between.
        item.register(target);
        items.insert(key, item.clone());
        drop(items);
        self.list_if_ready(&item);
        Ok(())
    }

    /// Drops the items of closed files, whenever the set has grown to twice what was left the last
    /// time: so the set stays in proportion to the files that are open, at a constant cost per file.
    fn forget_closed(&self, items: &mut BTreeMap<Key, Arc<Item>>) {
        if items.len() < self.next_sweep.load(Ordering::Relaxed) {
            return;
        }
        items.retain(|_, item| item.target.strong_count() > 0);
        self.next_sweep
            .store((items.len() * 2).max(MIN_SWEEP), Ordering::Relaxed);
    }

    /// EPOLL_CTL_MOD of epoll_ctl(2).
    pub fn modify(
        &self,
        fd: i32,
        target: &Arc<Description>,
        interest: Interest,
    ) -> Result<(), Errno> {
        if interest.has(raw::EPOLLEXCLUSIVE) {
            return Err(Errno::EINVAL);
        }
        let item = self
            .items
            .lock()
            .get(&key(fd, target))
            .cloned()
            .ok_or(Errno::ENOENT)?;
        {
            let mut current = item.interest.lock();
            if current.has(raw::EPOLLEXCLUSIVE) {
                return Err(Errno::EINVAL);
            }
            *current = interest;
        }
        self.list_if_ready(&item);
        Ok(())
    }

    /// EPOLL_CTL_DEL of epoll_ctl(2).
    pub fn remove(&self, fd: i32, target: &Arc<Description>) -> Result<(), Errno> {
        let item = self
            .items
            .lock()
            .remove(&key(fd, target))
            .ok_or(Errno::ENOENT)?;
        item.unregister();
        Ok(())
    }

    fn list_if_ready(&self, item: &Arc<Item>) {
        if !item.ask().is_empty() {
            self.ready.list(item);
        }
    }

    /// `ELOOP` if `nested` holds this set, however deep, or would nest too deep.
    fn check_nesting(self: &Arc<Self>, nested: &Arc<EpollSet>) -> Result<(), Errno> {
        let mut level: Vec<Arc<EpollSet>> = alloc::vec![nested.clone()];
        for _ in 1..MAX_NESTING {
            if level.iter().any(|set| Arc::ptr_eq(set, self)) {
                return Err(Errno::ELOOP);
            }
            level = level.iter().flat_map(|set| set.collect_nested()).collect();
            if level.is_empty() {
                return Ok(());
            }
        }
        Err(Errno::ELOOP)
    }

    fn collect_nested(&self) -> Vec<Arc<EpollSet>> {
        let items = self.items.lock();
        items
            .values()
            .filter_map(|item| item.target.upgrade()?.file().downcast())
            .collect()
    }

    /// Waits until a file is ready, `deadline_ns` (`Some(0)`: does not wait), or a signal; reports
    /// at most `max` files.
    pub fn wait(&self, max: usize, deadline_ns: Option<u64>) -> Result<Vec<Report>, Errno> {
        let some_reports = || Some(self.collect_reports(max)).filter(|reports| !reports.is_empty());
        if deadline_ns == Some(0) {
            return Ok(self.collect_reports(max));
        }
        loop {
            match self.ready.queue.wait(deadline_ns, true, some_reports) {
                Ok(reports) => return Ok(reports),
                Err(WaitError::TimedOut) => return Ok(Vec::new()),
                Err(WaitError::Interrupted) if has_effect() => return Err(Errno::EINTR),
                Err(WaitError::Interrupted) => {}
            }
        }
    }

    /// Asks the items on the ready list, each at most once.
    fn collect_reports(&self, max: usize) -> Vec<Report> {
        let mut reports = Vec::new();
        for _ in 0..self.ready.len() {
            if reports.len() == max {
                break;
            }
            let Some(weak) = self.ready.pop() else { break };
            let Some(item) = weak.upgrade() else { continue };
            // Unlisted before asking: a change after the answer lists it again.
            item.is_listed.store(false, Ordering::Release);
            let events = item.ask();
            if events.is_empty() {
                continue;
            }
            let mut interest = item.interest.lock();
            // A one-shot item is reported by one thread only.
            if !interest.is_armed() {
                continue;
            }
            reports.push(Report {
                events,
                data: interest.data,
            });
            if interest.has(raw::EPOLLONESHOT) {
                interest.disarm();
            } else if !interest.has(raw::EPOLLET) {
                drop(interest);
                self.list_quietly(&item);
            }
        }
        if !reports.is_empty() && self.ready.len() > 0 {
            // More than this thread took, perhaps: another one may have a look.
            self.ready.queue.wake_one();
        }
        reports
    }

    /// Keeps a level-triggered item on the list; nobody need wake for that.
    fn list_quietly(&self, item: &Arc<Item>) {
        if !item.is_listed.swap(true, Ordering::AcqRel) {
            self.ready.list.lock().push_back(Arc::downgrade(item));
        }
    }
}

impl Drop for EpollSet {
    fn drop(&mut self) {
        for item in self.items.lock().values() {
            item.unregister();
        }
    }
}

impl File for EpollSet {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.metadata)
    }

    fn poll(&self) -> PollEvents {
        for _ in 0..self.ready.len() {
            let Some(weak) = self.ready.pop() else { break };
            let Some(item) = weak.upgrade() else { continue };
            item.is_listed.store(false, Ordering::Release);
            if !item.ask().is_empty() {
                self.list_quietly(&item);
                return PollEvents::READABLE;
            }
        }
        PollEvents::empty()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.ready.queue)
    }

    fn ignores_seek(&self) -> bool {
        true
    }

    fn label(&self) -> &'static str {
        "eventpoll"
    }
}

#[cfg(test)]
#[path = "epoll_set_tests.rs"]
mod tests;

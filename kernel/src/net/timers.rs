//! The network's own thread: it runs the stack when a timer is due, and writes what leases tell of name servers.

use super::{resolver, stack};
use crate::{kernel_thread, log};
use smp::ThreadRef;
use spin::Once;

/// Read without a lock: interrupts on several CPUs wake it, and so do those who send.
static THREAD: Once<ThreadRef> = Once::new();

/// Starts the thread.
pub fn init() {
    if kernel_thread::spawn("network", run, 0).is_none() {
        log::error!("kernel.net", "no memory for the network's thread");
    }
}

/// Has the thread look at the timers again.
pub fn wake() {
    if let Some(thread) = THREAD.get() {
        thread.unpark();
    }
}

extern "C" fn run(_: usize) -> ! {
    // Before it looks: who wakes it after that must find it.
    THREAD.call_once(smp::current_ref);
    loop {
        let (deadline_ns, name_servers) =
            stack::with(|stack| (stack.run_timers(), stack.take_name_servers()));
        // Without the stack's lock: files have locks of their own.
        if let Some(servers) = name_servers
            && let Err(errno) = resolver::write(&servers)
        {
            log::warn!("kernel.net", "/etc/resolv.conf: {errno:?}");
        }
        // Who plans something sooner does it under the stack's lock and unparks after: a wake-up
        // between the line above and this one ends the sleep before it begins.
        smp::park(deadline_ns, false);
    }
}

//! Clocks, sleeps and timers; see time(7).

mod alarm;
mod calls;
mod clock;
mod cpu_limit;
#[cfg(target_os = "none")]
mod direct;
mod interval;
pub mod posix_timer;
mod timer_fd;
mod units;

pub use calls::{CALLS, alarm, time};
pub use clock::{STEPPED, deadline_of_realtime, monotonic_ns, realtime_ns, set_realtime_ns, steps};
pub use cpu_limit::set_cpu_limit;
pub use units::{ClockId, NS_MAX, NS_PER_SEC, TICKS_PER_SEC, TimerSetting, Timespec, Timeval};

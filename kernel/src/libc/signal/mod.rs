//! Signals: who sends, who takes, and how a handler runs; see signal(7).
//!
//! ```text
//!   kill, Ctrl-C, timer ──► send ──► pending (thread or process) ──► Thread::interrupt
//!                                                                        │
//!   thread_notify ◄── end of a kernel call, or interrupt trampoline ◄────┘
//!        └──► next_step ──► handler, as a plain C call on the user stack
//! ```
//!
//! Two signals tell a thread of an exception that another thread, or Ctrl-C, raises in it. Python
//! looks for it between bytecodes and after `EINTR`, so one whose handler ran just before a wait
//! would be seen only after it. While such an exception waits, the thread therefore stays
//! notified, as by a signal, and its next wait is broken off: `ThreadData::waiting_exception`.
//!
//! There is no job control: stop signals do nothing unless they have a handler.

mod action;
mod calls;
mod deliver;
mod describe;
mod fault;
mod info;
mod queue;
mod send;
mod set;
mod state;

pub use calls::{CALLS, TemporaryMask, pause, read_set, set_handler};
pub use deliver::{
    has_effect, note_interrupted_call, should_restart, thread_notify, will_run_handler,
};
pub use describe::describe;
pub use fault::{deliver_fault, fault_stack};
pub use info::SignalInfo;
pub use queue::MAX_QUEUED;
pub use send::{hand_over, raise_in_current, to_process, to_thread};
pub use set::{Signal, SignalSet};
pub use state::{ProcessState, ThreadState};

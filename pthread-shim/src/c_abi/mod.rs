//! The C functions: `<pthread.h>`, `<semaphore.h>`, `<threads.h>`, the thread half of
//! `<sched.h>` and `<signal.h>`, and what musl's own sources call of its `src/thread`.
//!
//! Arguments that C declares as pointers to objects come as references: that the object is
//! there and initialised is the contract of every one of these functions. Functions of
//! `<pthread.h>` return an error number, those of `<semaphore.h>` and `<sched.h>` set
//! `errno` and return -1, as POSIX.1-2024 says on the page named like the function.

mod attributes;
mod barrier;
mod c11;
pub mod cancel;
mod condition;
mod create;
mod join;
pub mod keys;
mod musl;
mod mutex;
mod mutex_attributes;
mod names;
mod once;
mod process;
mod rwlock;
mod scheduling;
mod semaphore;
mod signal;
mod spin;
mod stack;
mod stack_bounds;
mod synccall;
mod thread;
mod thread_list;

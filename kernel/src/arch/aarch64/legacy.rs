//! The calls that Linux has on one architecture alone: arm64 came late and has none.

use crate::libc::dispatch::Calls;
use crate::libc::names::call_names;

/// The calls and their functions.
pub const LEGACY_CALLS: Calls = &[];

/// The names of all such calls, for log lines.
pub const LEGACY_NAMES: &[(u32, &str)] = call_names![];

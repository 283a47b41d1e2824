//! The machine's functions as this crate calls them: the bound [`crate::Platform`] on bare
//! metal, stand-ins on a host.

#[cfg(target_os = "none")]
mod bare;
#[cfg(not(target_os = "none"))]
mod host;

#[cfg(target_os = "none")]
pub use bare::now_ns;
#[cfg(target_os = "none")]
pub(crate) use bare::*;
#[cfg(not(target_os = "none"))]
pub use host::now_ns;
#[cfg(not(target_os = "none"))]
pub(crate) use host::*;

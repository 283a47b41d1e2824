//! Physical frames.

use super::call::Call;
use super::enter::enter;
use super::object::{self, Error, Result};
use crate::memory::{Frame, PAGE_SIZE, frames, physical};

/// The most frames that can be asked for at a time: those of the largest block.
const MAX_COUNT: u64 = 1 << 14;

/// `frame_stats()`.
pub fn stats(_: &Call) -> Result {
    let (total, free, largest) = enter(|| {
        (
            frames::total_count(),
            frames::free_count(),
            frames::largest_free_block(),
        )
    });
    object::tuple([total, free, largest].map(|count| object::int(count as u64)))
}

/// `frames_alloc(count, align_frames=1)`.
pub fn alloc(call: &Call) -> Result {
    let count = call.int(0, u64::MAX)?;
    let align = call.int_or(1, MAX_COUNT, 1)?;
    if count == 0 || !align.is_power_of_two() {
        return Err(Error::Value(
            c"count is at least 1 and align_frames a power of two",
        ));
    }
    if count > MAX_COUNT {
        return Err(Error::Memory);
    }
    let first = enter(|| physical::alloc_frames(count as usize, align as usize));
    object::int(first.ok_or(Error::Memory)?.start())
}

/// `frames_free(phys, count)`.
pub fn free(call: &Call) -> Result {
    let (physical, count) = (call.word(0)?, call.word(1)?);
    if !physical.is_multiple_of(PAGE_SIZE) {
        return Err(Error::Value(c"the address is not that of a frame"));
    }
    let first = Frame::containing(physical as u64);
    enter(|| physical::free_frames(first, count))
        .map_err(|_| Error::Value(c"frames_alloc did not give these frames"))?;
    object::none()
}

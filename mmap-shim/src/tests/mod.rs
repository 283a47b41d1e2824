//! What each call does, and how it fails.

mod advise;
mod fault;
mod map;
mod memory;
mod model;
mod protect;
mod remap;
mod residency;

use crate::fake::{FakeFile, Space};
use crate::{MapError, MapFlags, MapRequest, PAGE_SIZE, Protection, Source};
use std::sync::Arc;

const RW: Protection = Protection::READ.union(Protection::WRITE);
const R: Protection = Protection::READ;
const NONE: Protection = Protection::empty();
const PRIVATE: MapFlags = MapFlags::PRIVATE.union(MapFlags::ANONYMOUS);
const SHARED: MapFlags = MapFlags::SHARED.union(MapFlags::ANONYMOUS);
const P: usize = PAGE_SIZE;

/// Asks for `pages` anonymous pages.
fn anonymous(address: usize, pages: usize, protection: Protection, flags: MapFlags) -> MapRequest {
    MapRequest {
        address,
        len: pages * P,
        protection,
        flags: flags.bits(),
        source: Source::Anonymous,
        offset: 0,
    }
}

/// Maps `pages` private anonymous pages, readable and writable, at `address`.
fn map_at(space: &mut Space, address: usize, pages: usize) -> usize {
    let request = anonymous(address, pages, RW, PRIVATE | MapFlags::FIXED);
    space.map(request).expect("there is room").address
}

/// Asks for pages of a file that is open for reading and writing.
fn of_file(
    file: &Arc<FakeFile>,
    first_page: u64,
    pages: usize,
    protection: Protection,
    flags: MapFlags,
) -> MapRequest {
    let source = Source::File {
        backing: file.clone(),
        is_readable: true,
        is_writable: true,
    };
    let offset = first_page * P as u64;
    MapRequest {
        address: 0,
        len: pages * P,
        protection,
        flags: flags.bits(),
        source,
        offset,
    }
}

/// Lists the areas: start and end in pages from the start of the space, and protection.
fn layout(space: &Space) -> Vec<(usize, usize, Protection)> {
    let start = crate::fake::START;
    let page = |address: usize| (address - start) / P;
    space
        .areas
        .iter()
        .map(|(&start, area)| (page(start), page(area.end), area.protection))
        .collect()
}

fn fails<T: std::fmt::Debug>(result: Result<T, MapError>, error: MapError) {
    assert_eq!(result.expect_err("the call fails"), error);
}

//! madvise(2).

use super::*;
use crate::fake::{START, space};
use crate::{Access, FaultError};
use linux_raw_sys::general as raw;

#[test]
fn malformed_requests_are_refused() {
    let mut space = space();
    map_at(&mut space, START, 4);
    fails(space.advise(START, P, 77), MapError::InvalidArgument);
    fails(
        space.advise(START, P, raw::MADV_HUGEPAGE),
        MapError::InvalidArgument,
    );
    fails(
        space.advise(START + 1, P, raw::MADV_NORMAL),
        MapError::InvalidArgument,
    );
    fails(
        space.advise(START, usize::MAX, raw::MADV_NORMAL),
        MapError::InvalidArgument,
    );
    assert_eq!(
        space.advise(START + 10 * P, 0, raw::MADV_DONTNEED),
        Ok(None)
    );
    assert_eq!(space.advise(START, 4 * P, raw::MADV_RANDOM), Ok(None));
    assert_eq!(
        space.advise(START, 4 * P, raw::MADV_POPULATE_WRITE),
        Ok(Some(Access::Write))
    );
}

#[test]
fn a_hole_fails_after_the_rest_is_done() {
    let mut space = space();
    map_at(&mut space, START, 2);
    map_at(&mut space, START + 4 * P, 2);
    space.write(START + 5 * P, 5).unwrap();
    fails(
        space.advise(START, 6 * P, raw::MADV_DONTNEED),
        MapError::NoMemory,
    );
    fails(
        space.advise(START, 9 * P, raw::MADV_NORMAL),
        MapError::NoMemory,
    );
    fails(
        space.advise(START + 9 * P, P, raw::MADV_NORMAL),
        MapError::NoMemory,
    );
    assert_eq!(space.read(START + 5 * P), Ok(0));
}

#[test]
fn dropped_pages_come_back_as_zeros_or_as_the_file_has_them() {
    let mut space = space();
    let before = space.mapper.free;
    map_at(&mut space, START, 4);
    for page in 0..4 {
        space.write(START + page * P, 1).unwrap();
    }
    assert_eq!(space.mapper.free, before - 4);
    space.advise(START + P, 2 * P, raw::MADV_DONTNEED).unwrap();
    space.advise(START + 3 * P, P, raw::MADV_FREE).unwrap();
    assert_eq!(space.mapper.free, before - 1);
    assert_eq!(
        [0, 1, 2, 3].map(|page| space.read(START + page * P).unwrap()),
        [1, 0, 0, 0]
    );
    let file = FakeFile::new(&space.mapper.memory, 1, 4, 100);
    let copy = space
        .map(of_file(&file, 0, 4, RW, MapFlags::PRIVATE))
        .unwrap()
        .address;
    space.write(copy, 5).unwrap();
    space.advise(copy, P, raw::MADV_DONTNEED).unwrap();
    assert_eq!(space.read(copy), Ok(100));
    let shared = space.map(anonymous(0, 1, RW, SHARED)).unwrap().address;
    space.write(shared, 6).unwrap();
    space.advise(shared, P, raw::MADV_DONTNEED).unwrap();
    assert_eq!(space.read(shared), Ok(6), "a shared area is its own object");
    space.advise(shared, P, raw::MADV_REMOVE).unwrap();
    assert_eq!(space.read(shared), Ok(0));
    space.check();
}

#[test]
fn some_advice_fits_some_areas_only() {
    let mut space = space();
    let file = FakeFile::new(&space.mapper.memory, 1, 4, 100);
    let private = map_at(&mut space, START, 1);
    let shared = space
        .map(of_file(&file, 0, 1, RW, MapFlags::SHARED))
        .unwrap()
        .address;
    let read_only = space.map(anonymous(0, 1, R, SHARED)).unwrap().address;
    fails(
        space.advise(shared, P, raw::MADV_FREE),
        MapError::InvalidArgument,
    );
    fails(
        space.advise(shared, P, raw::MADV_WIPEONFORK),
        MapError::InvalidArgument,
    );
    fails(
        space.advise(shared, P, raw::MADV_REMOVE),
        MapError::NotSupported,
    );
    fails(
        space.advise(private, P, raw::MADV_REMOVE),
        MapError::InvalidArgument,
    );
    fails(
        space.advise(read_only, P, raw::MADV_REMOVE),
        MapError::AccessDenied,
    );
    assert_eq!(space.advise(private, P, raw::MADV_WIPEONFORK), Ok(None));
    space.write(private, 1).unwrap();
    space.set_locked(private, P, true).unwrap();
    fails(
        space.advise(private, P, raw::MADV_DONTNEED),
        MapError::InvalidArgument,
    );
    fails(
        space.advise(private, P, raw::MADV_FREE),
        MapError::InvalidArgument,
    );
    space.advise(private, P, raw::MADV_DONTNEED_LOCKED).unwrap();
    assert_eq!(space.read(private), Ok(0));
    assert_eq!(space.read(START + 9 * P), Err(FaultError::NotMapped));
    space.check();
}

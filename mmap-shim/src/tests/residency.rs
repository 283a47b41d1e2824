//! msync(2), mincore(2), mlock(2).

use super::*;
use crate::fake::{END, START, space};
use linux_raw_sys::general as raw;
use std::sync::atomic::Ordering;

#[test]
fn synchronising_checks_its_arguments_and_notes_the_write() {
    let mut space = space();
    let file = FakeFile::new(&space.mapper.memory, 1, 4, 100);
    let a = space
        .map(of_file(&file, 0, 4, RW, MapFlags::SHARED))
        .unwrap()
        .address;
    fails(
        space.sync(a + 1, P, raw::MS_SYNC),
        MapError::InvalidArgument,
    );
    fails(
        space.sync(a, P, raw::MS_SYNC | raw::MS_ASYNC),
        MapError::InvalidArgument,
    );
    fails(space.sync(a, P, 0x40), MapError::InvalidArgument);
    fails(space.sync(a, usize::MAX, raw::MS_SYNC), MapError::NoMemory);
    fails(space.sync(a, 5 * P, raw::MS_SYNC), MapError::NoMemory);
    assert_eq!(space.sync(a, 0, 0), Ok(()));
    assert_eq!(space.sync(a, 4 * P, raw::MS_SYNC), Ok(()));
    assert_eq!(file.writes.load(Ordering::Relaxed), 2);
    space.set_locked(a, P, true).unwrap();
    fails(space.sync(a, 4 * P, raw::MS_INVALIDATE), MapError::Busy);
}

#[test]
fn residency_is_told_page_by_page() {
    let mut space = space();
    map_at(&mut space, START, 4);
    space.write(START + P, 1).unwrap();
    let mut report = [9; 4];
    space.residency(START, &mut report).unwrap();
    assert_eq!(report, [0, 1, 0, 0]);
    fails(space.residency(START, &mut [0; 5]), MapError::NoMemory);
    let file = FakeFile::new(&space.mapper.memory, 1, 2, 100);
    let a = space
        .map(of_file(&file, 0, 4, R, MapFlags::SHARED))
        .unwrap()
        .address;
    space.residency(a, &mut report).unwrap();
    assert_eq!(report, [1, 1, 0, 0]);
    assert_eq!(space.residency_pages(START, 3 * P + 1), Ok(4));
    fails(
        space.residency_pages(START + 1, P),
        MapError::InvalidArgument,
    );
    fails(space.residency_pages(START, usize::MAX), MapError::NoMemory);
    fails(space.residency_pages(END, P), MapError::NoMemory);
}

#[test]
fn locking_marks_parts_of_areas() {
    let mut space = space();
    map_at(&mut space, START, 10);
    assert_eq!(
        space.set_locked(START + 2 * P + 5, 2 * P, true),
        Ok((START + 2 * P, START + 5 * P))
    );
    assert_eq!(space.usage().locked, 3);
    assert_eq!(space.area_count(), 3);
    fails(
        space.set_locked(START + 8 * P, 4 * P, true),
        MapError::NoMemory,
    );
    fails(
        space.set_locked(START, usize::MAX, true),
        MapError::InvalidArgument,
    );
    space.set_locked(START, 10 * P, false).unwrap();
    assert_eq!((space.usage().locked, space.area_count()), (0, 1));
    space.check();
}

#[test]
fn everything_can_be_locked_now_and_later() {
    let mut space = space();
    map_at(&mut space, START, 10);
    fails(space.set_all_locked(Some(0)), MapError::InvalidArgument);
    fails(
        space.set_all_locked(Some(raw::MCL_ONFAULT)),
        MapError::InvalidArgument,
    );
    fails(space.set_all_locked(Some(0x100)), MapError::InvalidArgument);
    space
        .set_all_locked(Some(raw::MCL_CURRENT | raw::MCL_FUTURE))
        .unwrap();
    assert_eq!(space.usage().locked, 10);
    assert!(space.map(anonymous(0, 5, RW, PRIVATE)).unwrap().wants_pages);
    assert_eq!(space.usage().locked, 15);
    space.set_all_locked(None).unwrap();
    assert_eq!(space.usage().locked, 0);
    assert!(!space.map(anonymous(0, 5, RW, PRIVATE)).unwrap().wants_pages);
    space.check();
}

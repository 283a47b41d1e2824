//! mprotect(2).

use super::*;
use crate::fake::{END, START, space};
use crate::{Access, FaultError};
use linux_raw_sys::general as raw;

#[test]
fn malformed_requests_are_refused() {
    let mut space = space();
    map_at(&mut space, START, 4);
    fails(
        space.protect(START + 1, P, raw::PROT_READ),
        MapError::InvalidArgument,
    );
    fails(space.protect(START, P, 0x10), MapError::InvalidArgument);
    fails(
        space.protect(START, P, raw::PROT_GROWSDOWN | raw::PROT_GROWSUP),
        MapError::InvalidArgument,
    );
    fails(
        space.protect(START, P, raw::PROT_GROWSDOWN),
        MapError::InvalidArgument,
    );
    fails(
        space.protect(START, usize::MAX, raw::PROT_READ),
        MapError::NoMemory,
    );
    fails(space.protect(END, P, raw::PROT_READ), MapError::NoMemory);
    assert_eq!(space.protect(START, 0, raw::PROT_READ), Ok(()));
    assert_eq!(
        space.protect(START, P, raw::PROT_READ | raw::PROT_WRITE | raw::PROT_SEM),
        Ok(())
    );
    assert_eq!(layout(&space), [(0, 4, RW)]);
}

#[test]
fn a_hole_stops_the_change_where_it_is() {
    let mut space = space();
    map_at(&mut space, START, 4);
    map_at(&mut space, START + 6 * P, 4);
    fails(
        space.protect(START + 2 * P, 6 * P, raw::PROT_READ),
        MapError::NoMemory,
    );
    assert_eq!(layout(&space), [(0, 2, RW), (2, 4, R), (6, 10, RW)]);
    space.check();
}

#[test]
fn content_survives_having_no_rights() {
    let mut space = space();
    map_at(&mut space, START, 4);
    space.write(START + P, 42).unwrap();
    space.protect(START, 2 * P, raw::PROT_NONE).unwrap();
    assert_eq!(space.read(START + P), Err(FaultError::AccessDenied));
    assert_eq!(layout(&space), [(0, 2, NONE), (2, 4, RW)]);
    space.check();
    space.protect(START, 4 * P, raw::PROT_READ).unwrap();
    assert_eq!(space.read(START + P), Ok(42));
    assert_eq!(space.write(START + P, 1), Err(FaultError::AccessDenied));
    assert_eq!(
        space.touch(START, Access::Execute),
        Err(FaultError::AccessDenied)
    );
    space
        .protect(START, 4 * P, raw::PROT_READ | raw::PROT_WRITE)
        .unwrap();
    space.write(START + P, 43).unwrap();
    assert_eq!(layout(&space), [(0, 4, RW)], "equal again, so one again");
    space.check();
}

#[test]
fn growing_down_reaches_the_start_of_the_area() {
    let mut space = space();
    space
        .map(anonymous(
            START + 40 * P,
            4,
            RW,
            PRIVATE | MapFlags::GROWSDOWN | MapFlags::FIXED,
        ))
        .unwrap();
    space
        .protect(START + 42 * P, P, raw::PROT_READ | raw::PROT_GROWSDOWN)
        .unwrap();
    assert_eq!(layout(&space), [(40, 43, R), (43, 44, RW)]);
    fails(
        space.protect(START + 42 * P, P, raw::PROT_READ | raw::PROT_GROWSUP),
        MapError::InvalidArgument,
    );
    space.check();
}

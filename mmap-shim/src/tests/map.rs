//! mmap(2) and munmap(2).

use super::*;
use crate::fake::{END, START, space};

#[test]
fn malformed_requests_are_refused() {
    let mut space = space();
    let file = FakeFile::new(&space.mapper.memory, 1, 4, 0);
    let request = |len, flags: u32, offset| MapRequest {
        address: 0,
        len,
        protection: RW,
        flags,
        source: Source::Anonymous,
        offset,
    };
    fails(
        space.map(request(0, PRIVATE.bits(), 0)),
        MapError::InvalidArgument,
    );
    fails(
        space.map(request(P, PRIVATE.bits(), 5)),
        MapError::InvalidArgument,
    );
    fails(
        space.map(request(P, MapFlags::ANONYMOUS.bits(), 0)),
        MapError::InvalidArgument,
    );
    fails(
        space.map(request(
            P,
            MapFlags::ANONYMOUS.bits() | MapFlags::SHARED_VALIDATE,
            0,
        )),
        MapError::InvalidArgument,
    );
    fails(
        space.map(request(usize::MAX, PRIVATE.bits(), 0)),
        MapError::NoMemory,
    );
    fails(
        space.map(request(P, PRIVATE.bits(), (usize::MAX - P + 1) as u64)),
        MapError::Overflow,
    );
    fails(
        space.map(request(P, (PRIVATE | MapFlags::HUGETLB).bits(), 0)),
        MapError::NoMemory,
    );
    fails(
        space.map(anonymous(0, 1, RW, SHARED | MapFlags::GROWSDOWN)),
        MapError::InvalidArgument,
    );
    fails(
        space.map(of_file(
            &file,
            0,
            1,
            RW,
            MapFlags::PRIVATE | MapFlags::GROWSDOWN,
        )),
        MapError::InvalidArgument,
    );
    let mut validated = of_file(&file, 0, 1, RW, MapFlags::empty());
    validated.flags = MapFlags::SHARED_VALIDATE | MapFlags::SYNC.bits();
    fails(space.map(validated), MapError::NotSupported);
    let mut validated = of_file(&file, 0, 1, RW, MapFlags::empty());
    validated.flags = MapFlags::SHARED_VALIDATE;
    assert!(space.map(validated).is_ok());
    space.check();
}

#[test]
fn a_file_gives_no_more_than_it_was_opened_for() {
    let mut space = space();
    let file = FakeFile::new(&space.mapper.memory, 1, 4, 0);
    let opened = |is_readable, is_writable, protection, flags: MapFlags| MapRequest {
        source: Source::File {
            backing: file.clone(),
            is_readable,
            is_writable,
        },
        ..of_file(&file, 0, 1, protection, flags)
    };
    fails(
        space.map(opened(false, true, R, MapFlags::PRIVATE)),
        MapError::AccessDenied,
    );
    fails(
        space.map(opened(false, true, RW, MapFlags::SHARED)),
        MapError::AccessDenied,
    );
    fails(
        space.map(opened(true, false, RW, MapFlags::SHARED)),
        MapError::AccessDenied,
    );
    assert!(
        space
            .map(opened(true, false, RW, MapFlags::PRIVATE))
            .is_ok()
    );
    let shared = space
        .map(opened(true, false, R, MapFlags::SHARED))
        .unwrap()
        .address;
    fails(space.protect(shared, P, RW.bits()), MapError::AccessDenied);
}

#[test]
fn a_fixed_address_is_obeyed_or_refused() {
    let mut space = space();
    let fixed = |address, pages| anonymous(address, pages, RW, PRIVATE | MapFlags::FIXED);
    fails(space.map(fixed(START + 1, 1)), MapError::InvalidArgument);
    fails(space.map(fixed(0, 1)), MapError::NotPermitted);
    fails(space.map(fixed(START - P, 2)), MapError::NotPermitted);
    fails(space.map(fixed(END - P, 2)), MapError::NoMemory);
    fails(space.map(fixed(START, 257)), MapError::NoMemory);
    assert_eq!(
        space.map(fixed(START + 4 * P, 4)).unwrap().address,
        START + 4 * P
    );
    space.write(START + 5 * P, 7).unwrap();
    let new = anonymous(START + 5 * P, 1, R, PRIVATE | MapFlags::FIXED_NOREPLACE);
    fails(space.map(new), MapError::Exists);
    assert_eq!(space.read(START + 5 * P), Ok(7));
    space
        .map(anonymous(START + 5 * P, 1, R, PRIVATE | MapFlags::FIXED))
        .unwrap();
    assert_eq!(
        space.read(START + 5 * P),
        Ok(0),
        "what was there is replaced"
    );
    assert_eq!(layout(&space), [(4, 5, RW), (5, 6, R), (6, 8, RW)]);
    space.check();
}

#[test]
fn a_hint_is_honoured_exactly_when_free() {
    let mut space = space();
    let hint = START + 100 * P;
    assert_eq!(
        space
            .map(anonymous(hint + 5, 10, NONE, PRIVATE))
            .unwrap()
            .address,
        hint
    );
    let other = space
        .map(anonymous(hint + 9 * P, 2, R, PRIVATE))
        .unwrap()
        .address;
    assert_ne!(other, hint + 9 * P);
    assert_eq!(
        space
            .map(anonymous(hint + 10 * P, 2, R, PRIVATE))
            .unwrap()
            .address,
        hint + 10 * P
    );
    assert_eq!(
        space
            .map(anonymous(END - P, 2, R, PRIVATE))
            .unwrap()
            .address
            % P,
        0
    );
    space.check();
}

#[test]
fn a_freed_gap_is_used_again_by_the_next_of_its_size() {
    let mut space = space();
    let stacks: Vec<usize> = (0..4)
        .map(|i| {
            space
                .map(anonymous(0, 9, [RW, R][i % 2], PRIVATE))
                .unwrap()
                .address
        })
        .collect();
    space.unmap(stacks[1], 9 * P).unwrap();
    assert_eq!(
        space.map(anonymous(0, 9, R, PRIVATE)).unwrap().address,
        stacks[1]
    );
    assert_eq!(layout(&space).len(), 4);
    space.check();
}

#[test]
fn neighbours_of_one_kind_are_one_area() {
    let mut space = space();
    map_at(&mut space, START, 2);
    map_at(&mut space, START + 4 * P, 2);
    map_at(&mut space, START + 2 * P, 2);
    assert_eq!(layout(&space), [(0, 6, RW)]);
    let file = FakeFile::new(&space.mapper.memory, 1, 9, 0);
    let backing: Arc<dyn crate::Backing> = file.clone();
    for (address, first) in [(10, 0), (12, 2), (14, 5)] {
        let source = Source::File {
            backing: backing.clone(),
            is_readable: true,
            is_writable: true,
        };
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        let request = of_file(&file, first, 2, R, flags);
        space
            .map(MapRequest {
                address: START + address * P,
                source,
                ..request
            })
            .unwrap();
    }
    assert_eq!(layout(&space), [(0, 6, RW), (10, 14, R), (14, 16, R)]);
    space.check();
}

#[test]
fn unmapping_cuts_and_skips_holes() {
    let mut space = space();
    fails(space.unmap(START + 1, P), MapError::InvalidArgument);
    fails(space.unmap(START, 0), MapError::InvalidArgument);
    fails(space.unmap(START, usize::MAX), MapError::InvalidArgument);
    fails(space.unmap(END, P), MapError::InvalidArgument);
    fails(space.unmap(0, P), MapError::InvalidArgument);
    map_at(&mut space, START, 10);
    map_at(&mut space, START + 20 * P, 10);
    for page in 0..10 {
        space.write(START + page * P, 1).unwrap();
    }
    space.unmap(START + 3 * P, 1).unwrap();
    space.unmap(START + 8 * P, 14 * P).unwrap();
    assert_eq!(layout(&space), [(0, 3, RW), (4, 8, RW), (22, 30, RW)]);
    assert_eq!(space.usage().owned, 7);
    assert_eq!(space.read(START + 3 * P), Err(crate::FaultError::NotMapped));
    space.check();
    space.unmap(START, END - START).unwrap();
    assert_eq!(space.usage().mapped, 0);
    assert_eq!(
        space.mapper.memory.count(),
        1,
        "all frames but the zeros are free"
    );
    space.check();
}

#[test]
fn there_is_a_limit_to_the_number_of_areas() {
    let mut space = space();
    for i in 0..60 {
        space
            .map(anonymous(
                START + 4 * i * P,
                3,
                RW,
                PRIVATE | MapFlags::FIXED,
            ))
            .unwrap();
    }
    fails(space.map(anonymous(0, 1, RW, PRIVATE)), MapError::NoMemory);
    fails(space.unmap(START + P, P), MapError::NoMemory);
    fails(space.protect(START + P, P, R.bits()), MapError::NoMemory);
    space.unmap(START, 3 * P).unwrap();
    space.unmap(START + 5 * P, P).unwrap();
    assert_eq!(space.area_count(), 60);
    space.check();
}

#[test]
fn populating_and_locking_want_their_pages() {
    let mut space = space();
    assert!(!space.map(anonymous(0, 4, RW, PRIVATE)).unwrap().wants_pages);
    assert!(
        !space
            .map(anonymous(
                0,
                4,
                RW,
                PRIVATE | MapFlags::POPULATE | MapFlags::NONBLOCK
            ))
            .unwrap()
            .wants_pages
    );
    let mapping = space
        .map(anonymous(0, 4, RW, PRIVATE | MapFlags::POPULATE))
        .unwrap();
    assert!(mapping.wants_pages);
    let (access, end) = space.strongest_access(mapping.address).unwrap();
    let mut at = mapping.address;
    while at < mapping.address + 4 * P {
        at = space
            .populate(at, end.min(mapping.address + 4 * P), access, 3)
            .unwrap();
    }
    assert_eq!(space.usage().owned, 4);
    assert!(
        space
            .map(anonymous(0, 4, RW, PRIVATE | MapFlags::LOCKED))
            .unwrap()
            .wants_pages
    );
    assert_eq!(space.usage().locked, 4);
    space.check();
}

#[test]
fn the_object_of_a_mapping_is_let_go_outside_the_lock() {
    let mut space = space();
    let file = FakeFile::new(&space.mapper.memory, 1, 4, 0);
    let address = space
        .map(of_file(&file, 0, 4, RW, MapFlags::SHARED))
        .unwrap()
        .address;
    space.unmap(address + P, P).unwrap();
    space.unmap(address, 4 * P).unwrap();
    assert_eq!(space.take_retired().len(), 3);
    assert_eq!(Arc::strong_count(&file), 1);
}

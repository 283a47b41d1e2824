//! mremap(2).

use super::*;
use crate::RemapFlags;
use crate::fake::{END, START, space};

const MOVE: u32 = RemapFlags::MAYMOVE.bits();
const FIX: u32 = MOVE | RemapFlags::FIXED.bits();

#[test]
fn malformed_requests_are_refused() {
    let mut space = space();
    let a = map_at(&mut space, START, 4);
    fails(space.remap(a + 1, P, P, 0, 0), MapError::InvalidArgument);
    fails(space.remap(a, P, 0, 0, 0), MapError::InvalidArgument);
    fails(space.remap(a, P, P, 0x80, 0), MapError::InvalidArgument);
    fails(
        space.remap(a, P, P, RemapFlags::FIXED.bits(), END - P),
        MapError::InvalidArgument,
    );
    fails(
        space.remap(a, P, P, MOVE | RemapFlags::DONTUNMAP.bits(), 0),
        MapError::InvalidArgument,
    );
    fails(
        space.remap(a, usize::MAX, P, MOVE, 0),
        MapError::InvalidArgument,
    );
    fails(space.remap(a, 0, P, MOVE, 0), MapError::InvalidArgument);
    fails(
        space.remap(a, P, P, FIX, START + 20 * P + 1),
        MapError::InvalidArgument,
    );
    fails(
        space.remap(a, P, 2 * P, FIX, END - P),
        MapError::InvalidArgument,
    );
    fails(space.remap(a, P, P, FIX, 0), MapError::InvalidArgument);
    fails(
        space.remap(a, 4 * P, 4 * P, FIX, a + 2 * P),
        MapError::InvalidArgument,
    );
    fails(
        space.remap(a + 8 * P, P, 2 * P, MOVE, 0),
        MapError::BadRange,
    );
    fails(
        space.remap(a + 2 * P, 4 * P, 8 * P, MOVE, 0),
        MapError::BadRange,
    );
    assert_eq!(layout(&space), [(0, 4, RW)]);
}

#[test]
fn it_grows_in_place_where_it_can_else_moves_with_its_content() {
    let mut space = space();
    let a = map_at(&mut space, START, 4);
    space.write(a + 3 * P, 33).unwrap();
    assert_eq!(space.remap(a, 4 * P, 6 * P, 0, 0).unwrap().address, a);
    map_at(&mut space, START + 6 * P, 1);
    space.protect(START + 6 * P, P, 0).unwrap();
    fails(space.remap(a, 6 * P, 7 * P, 0, 0), MapError::NoMemory);
    let b = space.remap(a, 6 * P, 7 * P, MOVE, 0).unwrap().address;
    assert_ne!(a, b);
    assert_eq!(space.read(b + 3 * P), Ok(33));
    assert_eq!(space.read(b + 6 * P), Ok(0));
    assert_eq!(space.read(a + 3 * P), Err(crate::FaultError::NotMapped));
    space.check();
}

#[test]
fn it_shrinks_and_moves_parts() {
    let mut space = space();
    let a = map_at(&mut space, START, 8);
    for page in 0..8 {
        space.write(a + page * P, page as u64).unwrap();
    }
    assert_eq!(space.remap(a, 8 * P, 6 * P, 0, 0).unwrap().address, a);
    assert_eq!(space.remap(a, 6 * P, 6 * P, 0, 0).unwrap().address, a);
    let to = START + 50 * P;
    map_at(&mut space, to, 1);
    assert_eq!(
        space
            .remap(a + 2 * P, 2 * P, 3 * P, FIX, to)
            .unwrap()
            .address,
        to
    );
    assert_eq!(layout(&space), [(0, 2, RW), (4, 6, RW), (50, 53, RW)]);
    assert_eq!(
        [0, 1, 2].map(|page| space.read(to + page * P).unwrap()),
        [2, 3, 0]
    );
    assert_eq!(
        space
            .remap(a + 4 * P, 2 * P, P, FIX, to + 10 * P)
            .unwrap()
            .address,
        to + 10 * P
    );
    assert_eq!(space.read(to + 10 * P), Ok(4));
    space.check();
}

#[test]
fn a_shared_file_can_be_mapped_twice() {
    let mut space = space();
    let file = FakeFile::new(&space.mapper.memory, 1, 8, 100);
    let a = space
        .map(of_file(&file, 2, 4, RW, MapFlags::SHARED))
        .unwrap()
        .address;
    let b = space.remap(a + P, 0, 2 * P, MOVE, 0).unwrap().address;
    space.write(a + P, 7).unwrap();
    assert_eq!(space.read(b), Ok(7));
    assert_eq!(space.read(b + P), Ok(104));
    assert_eq!(file.content(3), 7);
    space.check();
}

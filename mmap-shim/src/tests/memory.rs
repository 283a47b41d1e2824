//! What happens when memory is short.

use super::*;
use crate::fake::{FakeMapper, START, limits, policy};
use crate::{AddressSpace, FaultError};
use linux_raw_sys::general as raw;

/// A machine with so many frames above a reserve of 10.
fn small(frames: usize) -> Space {
    AddressSpace::new(FakeMapper::new(frames + 10, 10), limits(), policy())
}

#[test]
fn what_cannot_be_had_is_refused_when_asked_for() {
    let mut space = small(100);
    fails(
        space.map(anonymous(0, 101, RW, PRIVATE)),
        MapError::NoMemory,
    );
    fails(space.map(anonymous(0, 90, RW, SHARED)), MapError::NoMemory);
    assert!(space.map(anonymous(0, 84, RW, PRIVATE)).is_ok());
    fails(space.map(anonymous(0, 17, RW, PRIVATE)), MapError::NoMemory);
    assert!(
        space.map(anonymous(0, 100, NONE, PRIVATE)).is_ok(),
        "a reservation costs nothing"
    );
    space.check();
}

#[test]
fn reservations_are_charged_when_they_are_made_writable_and_credited_when_not() {
    let mut space = small(100);
    let arena = space
        .map(anonymous(START, 250, NONE, PRIVATE))
        .unwrap()
        .address;
    fails(space.protect(arena, 250 * P, RW.bits()), MapError::NoMemory);
    space.protect(arena, 80 * P, RW.bits()).unwrap();
    for page in 0..80 {
        space.write(arena + page * P, 1).unwrap();
    }
    assert_eq!(space.outstanding(), 0);
    fails(
        space.protect(arena + 80 * P, 80 * P, RW.bits()),
        MapError::NoMemory,
    );
    // What mimalloc does with what it no longer needs.
    space.advise(arena, 80 * P, raw::MADV_DONTNEED).unwrap();
    assert_eq!(space.outstanding(), 80);
    space.protect(arena, 80 * P, 0).unwrap();
    assert_eq!(space.outstanding(), 0);
    space.protect(arena + 80 * P, 80 * P, RW.bits()).unwrap();
    space.check();
    space.unmap(arena, 250 * P).unwrap();
    assert_eq!((space.outstanding(), space.mapper.free), (0, 110));
    space.check();
}

#[test]
fn pages_that_kept_their_content_are_not_charged_again() {
    let mut space = small(100);
    let a = space.map(anonymous(0, 60, RW, PRIVATE)).unwrap().address;
    for page in 0..60 {
        space.write(a + page * P, 1).unwrap();
    }
    space.protect(a, 60 * P, R.bits()).unwrap();
    assert!(space.map(anonymous(0, 30, RW, PRIVATE)).is_ok());
    space.protect(a, 60 * P, RW.bits()).unwrap();
    assert_eq!(space.outstanding(), 30);
    space.check();
}

#[test]
fn a_promise_is_kept_to_the_last_frame() {
    let mut space = small(100);
    let a = space.map(anonymous(0, 80, RW, PRIVATE)).unwrap().address;
    let lazy = space
        .map(anonymous(0, 100, RW, PRIVATE | MapFlags::NORESERVE))
        .unwrap()
        .address;
    let mut taken = 0;
    while space.write(lazy + taken * P, 1) == Ok(()) {
        taken += 1;
    }
    assert_eq!(space.write(lazy + taken * P, 1), Err(FaultError::NoMemory));
    assert_eq!(
        taken, 25,
        "110 frames, 80 promised, 5 of the reserve untouched"
    );
    for page in 0..80 {
        space.write(a + page * P, 1).expect("it was promised");
    }
    space.check();
}

#[test]
fn thousands_of_stacks_may_be_larger_than_memory() {
    let mut space = small(50);
    for i in 0..20 {
        let flags = PRIVATE | MapFlags::NORESERVE | MapFlags::STACK;
        let stack = space
            .map(anonymous(START + i * 11 * P, 10, RW, flags))
            .unwrap()
            .address;
        space.write(stack + 9 * P, 1).unwrap();
        space.write(stack + 8 * P, 1).unwrap();
    }
    assert_eq!((space.outstanding(), space.usage().stacks), (0, 200));
    space.check();
}

#[test]
fn a_program_that_ran_out_can_clean_up() {
    let mut space = small(100);
    let arena = space
        .map(anonymous(START, 200, NONE, PRIVATE))
        .unwrap()
        .address;
    let mut committed = 0;
    let mut commit = |space: &mut Space, pages: usize| {
        space.protect(arena + committed * P, pages * P, RW.bits())?;
        for page in committed..committed + pages {
            space.write(arena + page * P, 1).expect("it was promised");
        }
        committed += pages;
        Ok::<(), MapError>(())
    };
    while commit(&mut space, 4).is_ok() {}
    commit(&mut space, 4).expect("the traceback");
    commit(&mut space, 4).expect("and the prompt");
    fails(commit(&mut space, 4), MapError::NoMemory);
    assert!(space.mapper.free >= 2);
    let free = space.mapper.free;
    space.unmap(arena, 100 * P).unwrap();
    assert_eq!(space.mapper.free, free + 100);
    assert_eq!(
        space.protect(arena + 150 * P, 4 * P, RW.bits()),
        Ok(()),
        "memory has come back"
    );
    space.check();
}

#[test]
fn a_refused_commitment_ends_reservations_but_not_stacks() {
    let mut space = small(100);
    let arena = space
        .map(anonymous(START, 70, NONE, PRIVATE))
        .unwrap()
        .address;
    space.map(anonymous(0, 80, RW, PRIVATE)).unwrap();
    fails(space.protect(arena, 70 * P, RW.bits()), MapError::NoMemory);
    fails(
        space.map(anonymous(0, 70, NONE, PRIVATE)),
        MapError::NoMemory,
    );
    assert!(
        space
            .map(anonymous(0, 70, NONE, PRIVATE | MapFlags::STACK))
            .is_ok()
    );
    space.check();
}

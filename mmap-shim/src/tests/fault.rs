//! Page faults.

use super::*;
use crate::fake::{START, space};
use crate::{Access, FaultError};

#[test]
fn reading_untouched_memory_costs_nothing() {
    let mut space = space();
    map_at(&mut space, START, 100);
    let before = space.mapper.free;
    for page in 0..100 {
        assert_eq!(space.read(START + page * P), Ok(0));
    }
    assert_eq!(space.mapper.free, before);
    assert_eq!(space.usage().resident(), 0);
    space.write(START + 50 * P, 1).unwrap();
    assert_eq!(space.read(START + 51 * P), Ok(0));
    assert_eq!(space.usage().resident(), 1);
    space.check();
}

#[test]
fn a_walk_upwards_is_met_half_way() {
    let mut space = space();
    map_at(&mut space, START, 40);
    space.write(START, 1).unwrap();
    assert_eq!(space.usage().owned, 1);
    space.write(START + P, 1).unwrap();
    assert_eq!(space.usage().owned, 2);
    space.write(START + 2 * P, 1).unwrap();
    assert_eq!(space.usage().owned, 10);
    space.write(START + 20 * P, 1).unwrap();
    assert_eq!(space.usage().owned, 11, "a jump is no walk");
    space.write(START + 10 * P, 1).unwrap();
    assert_eq!(space.usage().owned, 19);
    let stack = space
        .map(anonymous(START + 60 * P, 8, RW, PRIVATE | MapFlags::STACK))
        .unwrap()
        .address;
    for page in 0..3 {
        space.write(stack + page * P, 1).unwrap();
    }
    assert_eq!(space.usage().owned, 22, "stacks are not walked");
    space.check();
}

#[test]
fn a_private_file_page_is_copied_when_written() {
    let mut space = space();
    let file = FakeFile::new(&space.mapper.memory, 1, 4, 100);
    let a = space
        .map(of_file(&file, 1, 3, RW, MapFlags::PRIVATE))
        .unwrap()
        .address;
    let b = space
        .map(of_file(&file, 1, 3, RW, MapFlags::SHARED))
        .unwrap()
        .address;
    assert_eq!(space.read(a), Ok(101));
    space.write(b, 7).unwrap();
    assert_eq!(space.read(a), Ok(7), "not copied yet");
    space.write(a, 8).unwrap();
    assert_eq!(
        (space.read(a), space.read(b), file.content(1)),
        (Ok(8), Ok(7), 7)
    );
    space.write(a + P, 9).unwrap();
    assert_eq!((space.read(a + P), space.read(b + P)), (Ok(9), Ok(102)));
    space.check();
}

#[test]
fn past_the_end_of_a_file_is_a_bus_error() {
    let mut space = space();
    let file = FakeFile::new(&space.mapper.memory, 1, 4, 100);
    let private = space
        .map(of_file(&file, 0, 8, RW, MapFlags::PRIVATE))
        .unwrap()
        .address;
    let shared = space
        .map(of_file(&file, 2, 8, RW, MapFlags::SHARED))
        .unwrap()
        .address;
    assert_eq!(space.read(private + 4 * P), Err(FaultError::PastEnd));
    assert_eq!(space.write(shared + 2 * P, 1), Err(FaultError::PastEnd));
    for page in 0..4 {
        space.write(private + page * P, 50 + page as u64).unwrap();
    }
    assert_eq!(space.read(shared + P), Ok(103));
    file.truncate(&mut space, P as u64 + 1);
    assert_eq!(
        space.read(private + P),
        Ok(51),
        "the page with the end in it stays, copied or not"
    );
    assert_eq!(space.read(private + 2 * P), Err(FaultError::PastEnd));
    assert_eq!(space.read(shared), Err(FaultError::PastEnd));
    space.check();
}

#[test]
fn a_hole_punched_into_a_file_leaves_copies_alone() {
    let mut space = space();
    let file = FakeFile::new(&space.mapper.memory, 1, 4, 100);
    let private = space
        .map(of_file(&file, 0, 4, RW, MapFlags::PRIVATE))
        .unwrap()
        .address;
    let shared = space
        .map(of_file(&file, 0, 4, RW, MapFlags::SHARED))
        .unwrap()
        .address;
    space.write(private + P, 5).unwrap();
    assert_eq!(space.read(private + 2 * P), Ok(102));
    assert_eq!(space.read(shared + P), Ok(101));
    file.punch(&mut space, 1);
    file.punch(&mut space, 2);
    assert_eq!(
        (space.read(private + P), space.read(private + 2 * P)),
        (Ok(5), Ok(0))
    );
    assert_eq!(space.read(shared + P), Ok(0));
    space.check();
}

#[test]
fn what_can_be_written_can_be_read() {
    let mut space = space();
    let a = space
        .map(anonymous(0, 2, Protection::WRITE, PRIVATE))
        .unwrap()
        .address;
    assert_eq!(space.read(a), Ok(0));
    space.write(a, 3).unwrap();
    let code = space
        .map(anonymous(0, 2, Protection::EXECUTE, PRIVATE))
        .unwrap()
        .address;
    assert!(space.touch(code, Access::Execute).is_ok());
    assert_eq!(space.read(code), Ok(0));
    assert_eq!(space.write(code, 1), Err(FaultError::AccessDenied));
    space.check();
}

#[test]
fn a_stack_grows_down_but_not_too_far_nor_too_near() {
    let mut space = space();
    let top = START + 100 * P;
    space
        .map(anonymous(
            top - 2 * P,
            2,
            RW,
            PRIVATE | MapFlags::GROWSDOWN | MapFlags::FIXED,
        ))
        .unwrap();
    space.write(top - 3 * P, 1).unwrap();
    space.write(top - 10 * P, 2).unwrap();
    assert_eq!(layout(&space), [(90, 100, RW)]);
    assert_eq!(
        space.write(top - 33 * P, 1),
        Err(FaultError::NotMapped),
        "beyond the limit"
    );
    space
        .map(anonymous(START + 80 * P, 1, RW, PRIVATE | MapFlags::FIXED))
        .unwrap();
    assert_eq!(
        space.write(START + 84 * P, 1),
        Err(FaultError::NotMapped),
        "too near to the next"
    );
    space.write(START + 85 * P, 1).unwrap();
    space.check();
}

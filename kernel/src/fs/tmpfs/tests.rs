//! tmpfs against what POSIX and the manual pages say, and its content against a `Vec<u8>`.

use super::{ImageEntry, Node, TmpFs};
use crate::fs::file::{OpenFlags, Timestamp};
use crate::fs::inode::{FileType, Inode, NewNode};
use crate::fs::io::KernelSink;
use crate::libc::errno::Errno;
use linux_raw_sys::general as raw;
use proptest::prelude::*;
use std::sync::Arc;

fn root() -> Arc<Node> {
    TmpFs::create(4096, 0o755)
}

fn make_dir(at: &Arc<Node>, name: &str) -> Arc<Node> {
    at.create_node(name.as_bytes(), 0o755, NewNode::Directory)
        .unwrap()
}

fn make_file(at: &Arc<Node>, name: &str) -> Arc<Node> {
    at.create_node(name.as_bytes(), 0o644, NewNode::Regular)
        .unwrap()
}

fn as_inode(node: &Arc<Node>) -> Arc<dyn Inode> {
    node.clone()
}

fn names(at: &Arc<Node>) -> Vec<String> {
    let mut names = Vec::new();
    at.list(&mut |name, _, _| names.push(String::from_utf8_lossy(name).into_owned()))
        .unwrap();
    names
}

fn read_all(node: &Arc<Node>) -> Vec<u8> {
    let file = node.clone().open(OpenFlags::empty()).unwrap();
    let mut bytes = vec![0; node.metadata().size as usize + 10];
    let count = file.read_at(0, &mut KernelSink::new(&mut bytes)).unwrap();
    bytes.truncate(count);
    bytes
}

#[test]
fn an_unlinked_file_lives_while_it_is_open() {
    let root = root();
    let file = make_file(&root, "a").open(OpenFlags::RDWR).unwrap();
    assert_eq!(file.write_at(0, &mut &b"data"[..]), Ok(4));
    assert_eq!(root.unlink(b"a", false), Ok(()));
    assert_eq!(root.lookup(b"a").err(), Some(Errno::ENOENT));
    let mut bytes = [0; 4];
    assert_eq!(file.read_at(0, &mut KernelSink::new(&mut bytes)), Ok(4));
    assert_eq!((&bytes, file.metadata().unwrap().links), (b"data", 0));
}

#[test]
fn unlink_and_rmdir_mind_the_type() {
    let root = root();
    let dir = make_dir(&root, "d");
    make_file(&dir, "f");
    assert_eq!(root.unlink(b"d", false), Err(Errno::EISDIR));
    assert_eq!(root.unlink(b"d", true), Err(Errno::ENOTEMPTY));
    assert_eq!(dir.unlink(b"f", true), Err(Errno::ENOTDIR));
    assert_eq!(dir.unlink(b"f", false), Ok(()));
    assert_eq!(root.metadata().links, 3);
    assert_eq!(root.unlink(b"d", true), Ok(()));
    assert_eq!((root.metadata().links, dir.metadata().links), (2, 0));
    assert!(dir.parent().is_none());
    assert_eq!(
        dir.create(b"x", 0o644, NewNode::Regular).err(),
        Some(Errno::ENOENT)
    );
    assert_eq!(root.unlink(b"d", true), Err(Errno::ENOENT));
}

#[test]
fn hard_links_share_one_inode() {
    let root = root();
    let file = make_file(&root, "a");
    assert_eq!(root.link(b"b", &as_inode(&file)), Ok(()));
    assert_eq!(root.link(b"b", &as_inode(&file)), Err(Errno::EEXIST));
    assert_eq!(file.metadata().links, 2);
    assert_eq!(
        root.lookup(b"b").unwrap().metadata().inode,
        file.metadata().inode
    );
    root.unlink(b"a", false).unwrap();
    root.unlink(b"b", false).unwrap();
    assert_eq!(
        root.link(b"c", &as_inode(&file)),
        Err(Errno::ENOENT),
        "a file without names gets none back"
    );
    let dir = make_dir(&root, "d");
    assert_eq!(root.link(b"e", &as_inode(&dir)), Err(Errno::EPERM));
    let unnamed = root.create_unnamed(0o600).unwrap();
    assert_eq!(root.link(b"named", &unnamed), Ok(()));
    assert_eq!(unnamed.metadata().links, 1);
    assert_eq!(
        TmpFs::create(1, 0o755).link(b"x", &unnamed),
        Err(Errno::EXDEV)
    );
}

#[test]
fn rename_replaces_only_what_it_may() {
    let root = root();
    let here = as_inode(&root);
    let (a, b) = (make_dir(&root, "a"), make_dir(&root, "b"));
    let (file, other) = (make_file(&root, "f"), make_file(&root, "g"));
    let rename =
        |from: &str, to: &str, flags| root.rename(from.as_bytes(), &here, to.as_bytes(), flags);
    assert_eq!(rename("missing", "x", 0), Err(Errno::ENOENT));
    assert_eq!(rename("a", "f", 0), Err(Errno::ENOTDIR));
    assert_eq!(rename("f", "a", 0), Err(Errno::EISDIR));
    assert_eq!(rename("f", "g", raw::RENAME_NOREPLACE), Err(Errno::EEXIST));
    assert_eq!(rename("f", "x", raw::RENAME_EXCHANGE), Err(Errno::ENOENT));
    assert_eq!(rename("f", "g", 0), Ok(()));
    assert_eq!((file.metadata().links, other.metadata().links), (1, 0));
    make_file(&b, "x");
    assert_eq!(rename("a", "b", 0), Err(Errno::ENOTEMPTY));
    b.unlink(b"x", false).unwrap();
    assert_eq!(rename("a", "b", 0), Ok(()));
    assert_eq!((a.name(), root.metadata().links), (b"b".to_vec(), 3));
    assert_eq!(rename("b", "b", 0), Ok(()));
    assert_eq!(names(&root), ["b", "g"]);
}

#[test]
fn rename_keeps_the_tree_a_tree() {
    let root = root();
    let a = make_dir(&root, "a");
    let b = make_dir(&a, "b");
    let c = make_dir(&b, "c");
    assert_eq!(
        root.rename(b"a", &as_inode(&c), b"x", 0),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        root.rename(b"a", &as_inode(&a), b"x", 0),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        b.rename(b"c", &as_inode(&root), b"a", 0),
        Err(Errno::ENOTEMPTY)
    );
    assert_eq!(
        b.rename(b"c", &as_inode(&root), b"a", raw::RENAME_EXCHANGE),
        Err(Errno::EINVAL)
    );
    assert_eq!(b.rename(b"c", &as_inode(&root), b"c", 0), Ok(()));
    assert_eq!((root.metadata().links, b.metadata().links), (4, 2));
    assert_eq!(c.parent().unwrap().metadata().inode, root.metadata().inode);
    make_file(&b, "f");
    assert_eq!(
        b.rename(b"f", &as_inode(&root), b"c", raw::RENAME_EXCHANGE),
        Ok(())
    );
    assert_eq!(c.parent().unwrap().metadata().inode, b.metadata().inode);
    assert_eq!((root.metadata().links, b.metadata().links), (3, 3));
    assert_eq!(root.lookup(b"c").unwrap().file_type(), FileType::Regular);
}

#[test]
fn files_of_the_image_are_copied_only_where_they_are_written() {
    let image: &'static [u8] = Box::leak((0..10_000u32).map(|i| (i % 251) as u8).collect());
    let root = root();
    let entry = ImageEntry {
        mode: 0o100644,
        modified: Timestamp::new(5, 0),
        data: image,
    };
    root.add_image_entry(b"f", entry).unwrap();
    root.add_image_entry(
        b"l",
        ImageEntry {
            mode: 0o120777,
            data: b"f",
            ..entry
        },
    )
    .unwrap();
    let file = root.lookup_node(b"f").unwrap();
    assert_eq!(
        (file.metadata().size, file.metadata().modified),
        (10_000, Timestamp(5_000_000_000))
    );
    assert_eq!(read_all(&file), image);
    assert_eq!(root.lookup_node(b"l").unwrap().read_link().unwrap(), b"f");
    assert_eq!(root.fs_stat().blocks_free, 4096);
    let open = file.clone().open(OpenFlags::RDWR).unwrap();
    open.write_at(5000, &mut &b"new"[..]).unwrap();
    let mut expected = image.to_vec();
    expected[5000..5003].copy_from_slice(b"new");
    assert_eq!(read_all(&file), expected);
    assert_eq!(root.fs_stat().blocks_free, 4095);
    open.truncate(6000).unwrap();
    open.truncate(9000).unwrap();
    expected.truncate(6000);
    expected.resize(9000, 0);
    assert_eq!(read_all(&file), expected);
    open.truncate(0).unwrap();
    assert_eq!(root.fs_stat().blocks_free, 4096);
}

#[test]
fn seals_forbid_what_they_name() {
    let root = root();
    let node = make_file(&root, "m");
    assert_eq!(
        node.add_seals(raw::F_SEAL_WRITE),
        Err(Errno::EPERM),
        "an ordinary file takes no seals"
    );
    node.allow_sealing(true).unwrap();
    let file = node.clone().open(OpenFlags::RDWR).unwrap();
    file.truncate(10).unwrap();
    node.add_seals(raw::F_SEAL_SHRINK | raw::F_SEAL_GROW)
        .unwrap();
    assert_eq!(file.truncate(9), Err(Errno::EPERM));
    assert_eq!(file.truncate(11), Err(Errno::EPERM));
    assert_eq!(file.write_at(8, &mut &b"1234"[..]), Ok(2));
    assert_eq!(file.write_at(10, &mut &b"1"[..]), Err(Errno::EPERM));
    node.add_seals(raw::F_SEAL_WRITE).unwrap();
    assert_eq!(file.write_at(0, &mut &b"1"[..]), Err(Errno::EPERM));
    assert!(file.backing(true).is_err());
    assert!(file.backing(false).is_ok());
}

#[test]
fn attributes_follow_xattr_7() {
    let root = root();
    let file = make_file(&root, "f");
    assert_eq!(file.xattr(b"user.a"), Err(Errno::ENODATA));
    assert_eq!(
        file.set_xattr(b"user.a", b"1", raw::XATTR_REPLACE),
        Err(Errno::ENODATA)
    );
    assert_eq!(file.set_xattr(b"user.a", b"1", raw::XATTR_CREATE), Ok(()));
    assert_eq!(
        file.set_xattr(b"user.a", b"2", raw::XATTR_CREATE),
        Err(Errno::EEXIST)
    );
    assert_eq!(file.set_xattr(b"other", b"", 0), Err(Errno::EOPNOTSUPP));
    assert_eq!(file.set_xattr(b"trusted.b", b"", 0), Ok(()));
    assert_eq!(file.xattr_names().unwrap(), b"trusted.b\0user.a\0");
    assert_eq!(file.remove_xattr(b"user.a"), Ok(()));
    assert_eq!(file.remove_xattr(b"user.a"), Err(Errno::ENODATA));
    root.create(b"l", 0o777, NewNode::Symlink(b"f")).unwrap();
    assert_eq!(
        root.lookup(b"l").unwrap().set_xattr(b"user.a", b"", 0),
        Err(Errno::EPERM)
    );
}

#[test]
fn a_full_file_system_says_so() {
    let root = TmpFs::create(2, 0o755);
    let file = make_file(&root, "f").open(OpenFlags::RDWR).unwrap();
    assert_eq!(file.write_at(0, &mut &[1; 3 * 4096][..]), Ok(2 * 4096));
    assert_eq!(file.write_at(2 * 4096, &mut &[1][..]), Err(Errno::ENOSPC));
    assert_eq!(file.allocate(0, 0, 3 * 4096), Err(Errno::ENOSPC));
    file.truncate(4096).unwrap();
    assert_eq!(file.write_at(4096, &mut &[1][..]), Ok(1));
}

#[derive(Clone, Debug)]
enum Step {
    Write(u64, Vec<u8>),
    Append(Vec<u8>),
    Truncate(u64),
    Punch(u64, u64),
    Reserve(u64, u64, bool),
    Read(u64, usize),
    Seek(u64, bool),
    Map(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let offset = 0u64..40_000;
    let bytes = proptest::collection::vec(any::<u8>(), 0..9000);
    prop_oneof![
        (offset.clone(), bytes.clone()).prop_map(|(at, bytes)| Step::Write(at, bytes)),
        bytes.prop_map(Step::Append),
        offset.clone().prop_map(Step::Truncate),
        (offset.clone(), 1u64..20_000).prop_map(|(at, len)| Step::Punch(at, len)),
        (offset.clone(), 1u64..20_000, any::<bool>())
            .prop_map(|(at, len, keep)| Step::Reserve(at, len, keep)),
        (offset.clone(), 0usize..20_000).prop_map(|(at, len)| Step::Read(at, len)),
        (offset.clone(), any::<bool>()).prop_map(|(at, hole)| Step::Seek(at, hole)),
        (0u64..10).prop_map(Step::Map),
    ]
}

fn put(model: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if !bytes.is_empty() {
        model.resize(model.len().max(at + bytes.len()), 0);
        model[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

proptest! {
    #[test]
    fn content_is_what_a_vector_would_be(
        image in proptest::collection::vec(any::<u8>(), 0..12_000),
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let mut model = image.clone();
        let root = root();
        let data: &'static [u8] = image.leak();
        root.add_image_entry(b"f", ImageEntry { mode: 0o100644, modified: Timestamp(0), data }).unwrap();
        let node = root.lookup_node(b"f").unwrap();
        let file = node.clone().open(OpenFlags::RDWR).unwrap();
        let backing = file.backing(false).unwrap();
        for step in steps {
            match step {
                Step::Write(at, bytes) => {
                    prop_assert_eq!(file.write_at(at, &mut &bytes[..]), Ok(bytes.len()));
                    put(&mut model, at as usize, &bytes);
                }
                Step::Append(bytes) => {
                    let end = (model.len() + bytes.len()) as u64;
                    prop_assert_eq!(file.append(&mut &bytes[..]), Ok((bytes.len(), end)));
                    model.extend_from_slice(&bytes);
                }
                Step::Truncate(size) => {
                    prop_assert_eq!(file.truncate(size), Ok(()));
                    model.resize(size as usize, 0);
                }
                Step::Punch(at, len) => {
                    prop_assert_eq!(file.allocate(raw::FALLOC_FL_PUNCH_HOLE | raw::FALLOC_FL_KEEP_SIZE, at, len), Ok(()));
                    let end = model.len().min((at + len) as usize);
                    if (at as usize) < end {
                        model[at as usize..end].fill(0);
                    }
                }
                Step::Reserve(at, len, keep) => {
                    prop_assert_eq!(file.allocate(if keep { raw::FALLOC_FL_KEEP_SIZE } else { 0 }, at, len), Ok(()));
                    if !keep {
                        model.resize(model.len().max((at + len) as usize), 0);
                    }
                }
                Step::Read(at, len) => {
                    let mut bytes = vec![0xee; len];
                    let count = file.read_at(at, &mut KernelSink::new(&mut bytes)).unwrap();
                    let start = model.len().min(at as usize);
                    let end = model.len().min(at as usize + len);
                    prop_assert_eq!(&bytes[..count], &model[start..end]);
                }
                Step::Seek(at, hole) => match file.seek_sparse(at, hole) {
                    Ok(to) => {
                        prop_assert!(to >= at && to <= model.len() as u64);
                        if !hole {
                            prop_assert!(model[at as usize..to as usize].iter().all(|&byte| byte == 0));
                        }
                    }
                    Err(errno) => {
                        prop_assert_eq!(errno, Errno::ENXIO);
                        prop_assert!(model[model.len().min(at as usize)..].iter().all(|&byte| byte == 0 || hole));
                    }
                },
                // What a page fault on a map does must not change the content.
                Step::Map(page) => prop_assert_eq!(backing.page(page).is_ok(), page < (model.len() as u64).div_ceil(4096)),
            }
            prop_assert_eq!(file.size(), Ok(model.len() as u64));
        }
        prop_assert_eq!(read_all(&node), model);
        root.unlink(b"f", false).unwrap();
        drop((file, backing, node));
        prop_assert_eq!(root.fs_stat().blocks_free, 4096);
    }
}

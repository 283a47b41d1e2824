//! A served file system whose server is a thread of the test.

use super::channel::{Channel, MAX_DATA, REQUEST_HEADER};
use super::node::FileSystem;
use super::{Attributes, Operation};
use crate::fs::file::OpenFlags;
use crate::fs::inode::{FileType, Inode, NewNode};
use crate::fs::io::KernelSink;
use crate::libc::errno::Errno;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

/// A request as a server sees it.
struct Asked {
    number: u64,
    operation: u32,
    path: String,
    numbers: [u64; 2],
    data: Vec<u8>,
}

fn receive(channel: &Channel, flags: OpenFlags) -> Result<Asked, Errno> {
    let mut bytes = vec![0; REQUEST_HEADER + 2 * 4096 + MAX_DATA];
    let count = channel.receive(&mut KernelSink::new(&mut bytes), flags)?;
    if count == 0 {
        return Err(Errno::ENOTCONN);
    }
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
    let end = REQUEST_HEADER + word(12) as usize;
    Ok(Asked {
        number: long(0),
        operation: word(8),
        path: String::from_utf8(bytes[REQUEST_HEADER..end].to_vec()).unwrap(),
        numbers: [long(16), long(24)],
        data: bytes[end..count].to_vec(),
    })
}

fn reply(channel: &Channel, number: u64, answer: Result<&[u8], i32>) -> Result<usize, Errno> {
    let (error, data) = answer.map_or_else(|error| (error, &[][..]), |data| (0, data));
    let mut bytes = number.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&error.to_ne_bytes());
    bytes.extend_from_slice(&(data.len() as u32).to_ne_bytes());
    bytes.extend_from_slice(data);
    channel.reply(&mut &bytes[..])
}

fn attributes(mode: u32, size: usize) -> Vec<u8> {
    let mut bytes = mode.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&1u32.to_ne_bytes());
    bytes.extend_from_slice(&(size as u64).to_ne_bytes());
    bytes.extend_from_slice(&5i64.to_ne_bytes());
    bytes
}

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// Answers from a map of files until the channel is closed; directories are the prefixes of names.
fn serve(channel: &Channel, files: &Files) {
    while let Ok(asked) = receive(channel, OpenFlags::empty()) {
        let mut files = files.lock().unwrap();
        let inside = format!("{}/", asked.path);
        let is_directory =
            asked.path.is_empty() || files.keys().any(|name| name.starts_with(&inside));
        let missing = Errno::ENOENT.number();
        let answer: Result<Vec<u8>, i32> = if asked.operation == Operation::Attributes as u32 {
            match files.get(&asked.path) {
                Some(content) => Ok(attributes(FileType::Regular as u32 | 0o644, content.len())),
                None if is_directory => Ok(attributes(FileType::Directory as u32 | 0o755, 0)),
                None => Err(missing),
            }
        } else if asked.operation == Operation::Read as u32 {
            let [offset, count] = asked.numbers.map(|number| number as usize);
            files.get(&asked.path).ok_or(missing).map(|content| {
                content[offset.min(content.len())..(offset + count).min(content.len())].to_vec()
            })
        } else if asked.operation == Operation::Write as u32 {
            let content = files.get_mut(&asked.path).unwrap();
            content.truncate(asked.numbers[0] as usize);
            content.extend_from_slice(&asked.data);
            Ok((asked.data.len() as u64).to_ne_bytes().to_vec())
        } else if asked.operation == Operation::Create as u32 {
            files.insert(asked.path, Vec::new());
            Ok(Vec::new())
        } else if asked.operation == Operation::Unlink as u32 {
            files.remove(&asked.path);
            Ok(Vec::new())
        } else if asked.operation == Operation::List as u32 {
            let mut bytes = Vec::new();
            for name in files.keys() {
                bytes.extend_from_slice(&(FileType::Regular as u32).to_ne_bytes());
                bytes.extend_from_slice(&(name.len() as u32).to_ne_bytes());
                bytes.extend_from_slice(name.as_bytes());
            }
            Ok(bytes)
        } else if asked.operation == Operation::Rename as u32 {
            let to = String::from_utf8(asked.data).unwrap();
            let moved: Vec<String> = files
                .keys()
                .filter(|name| **name == asked.path || name.starts_with(&inside))
                .cloned()
                .collect();
            for name in moved {
                let content = files.remove(&name).unwrap();
                files.insert(format!("{to}{}", &name[asked.path.len()..]), content);
            }
            Ok(Vec::new())
        } else {
            Err(Errno::ENOSYS.number())
        };
        drop(files);
        reply(
            channel,
            asked.number,
            answer.as_deref().map_err(|&error| error),
        )
        .unwrap();
    }
}

/// Runs `test` on a file system with these files, then ends its server.
fn with_files(files: &[(&str, &str)], test: impl FnOnce(Arc<dyn Inode>, &Files)) {
    let files: Files = Arc::new(Mutex::new(
        files
            .iter()
            .map(|(name, content)| (name.to_string(), content.as_bytes().to_vec()))
            .collect(),
    ));
    let channel = Arc::new(Channel::new(10 * SECOND));
    let server = thread::spawn({
        let (channel, files) = (channel.clone(), files.clone());
        move || serve(&channel, &files)
    });
    test(FileSystem::create(channel.clone()), &files);
    channel.close();
    server.join().unwrap();
}

fn read(inode: &Arc<dyn Inode>, offset: u64) -> Result<String, Errno> {
    let file = inode.clone().open(OpenFlags::empty())?;
    let mut buffer = [0; 64];
    let count = file.read_at(offset, &mut KernelSink::new(&mut buffer))?;
    Ok(String::from_utf8(buffer[..count].to_vec()).unwrap())
}

#[test]
fn a_file_is_what_the_server_says() {
    with_files(&[("d/file", "served")], |root, files| {
        let file = root.lookup(b"d").unwrap().lookup(b"file").unwrap();
        let metadata = file.metadata();
        assert_eq!((metadata.size, metadata.modified.0), (6, 5));
        assert_eq!(read(&file, 0).as_deref(), Ok("served"));
        assert_eq!(read(&file, 4).as_deref(), Ok("ed"));
        files
            .lock()
            .unwrap()
            .insert("d/file".into(), b"changed".to_vec());
        assert_eq!(
            read(&file, 0).as_deref(),
            Ok("changed"),
            "nothing is cached"
        );
        assert_eq!(root.lookup(b"other").err(), Some(Errno::ENOENT));
        assert_eq!(file.lookup(b"x").err(), Some(Errno::ENOTDIR));
        assert_eq!(file.set_mode(0o600), Err(Errno::ENOSYS));
    });
}

#[test]
fn files_are_made_written_listed_and_removed() {
    with_files(&[], |root, files| {
        let file = root.create(b"new", 0o644, NewNode::Regular).unwrap();
        let open = file.clone().open(OpenFlags::WRONLY).unwrap();
        assert_eq!(open.write_at(0, &mut &b"text"[..]), Ok(4));
        assert_eq!(open.append(&mut &b" more"[..]), Ok((5, 9)));
        assert_eq!(files.lock().unwrap()["new"], b"text more");
        let mut names = Vec::new();
        root.list(&mut |name, _, kind| names.push((name.to_vec(), kind)))
            .unwrap();
        assert_eq!(names, [(b"new".to_vec(), FileType::Regular)]);
        assert_eq!(root.unlink(b"new", true), Err(Errno::ENOTDIR));
        assert_eq!(root.unlink(b"new", false), Ok(()));
        assert_eq!(root.lookup(b"new").err(), Some(Errno::ENOENT));
        assert_eq!(
            root.create(b"p", 0o644, NewNode::Fifo).err(),
            Some(Errno::EPERM)
        );
    });
}

#[test]
fn inodes_move_with_their_directory() {
    with_files(&[("a/b/file", "x"), ("c/y", "")], |root, _| {
        let b = root.lookup(b"a").unwrap().lookup(b"b").unwrap();
        let file = b.lookup(b"file").unwrap();
        assert!(Arc::ptr_eq(
            &root.lookup(b"a").unwrap().lookup(b"b").unwrap(),
            &b
        ));
        root.rename(b"a", &root.lookup(b"c").unwrap(), b"new", 0)
            .unwrap();
        assert_eq!(read(&file, 0).as_deref(), Ok("x"));
        assert_eq!(b.parent().unwrap().name(), b"new");
        let found = root
            .lookup(b"c")
            .unwrap()
            .lookup(b"new")
            .unwrap()
            .lookup(b"b")
            .unwrap();
        assert!(Arc::ptr_eq(&found, &b));
        assert_eq!(root.lookup(b"a").err(), Some(Errno::ENOENT));
    });
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for_ever() {
    let channel = Channel::new(SECOND / 50);
    let ask = || channel.call(Operation::Read, b"path", [1, 2], b"data");
    assert_eq!(ask(), Err(Errno::ETIMEDOUT));
    assert_eq!(
        receive(&channel, OpenFlags::NONBLOCK).err(),
        Some(Errno::EAGAIN),
        "nobody waits for it"
    );
    thread::scope(|scope| {
        let caller = scope.spawn(ask);
        let asked = receive(&channel, OpenFlags::empty()).unwrap();
        assert_eq!(
            (asked.path.as_str(), asked.numbers, &asked.data[..]),
            ("path", [1, 2], &b"data"[..])
        );
        assert_eq!(caller.join().unwrap(), Err(Errno::ETIMEDOUT));
        assert_eq!(
            reply(&channel, asked.number, Ok(b"late")),
            Err(Errno::ENOENT)
        );
    });
}

#[test]
fn the_end_of_the_server_fails_what_waits_and_what_comes() {
    let channel = Channel::new(60 * SECOND);
    thread::scope(|scope| {
        let ask = || channel.call(Operation::Sync, b"", [0, 0], b"");
        let (first, second) = (scope.spawn(ask), scope.spawn(ask));
        receive(&channel, OpenFlags::empty()).unwrap();
        thread::sleep(Duration::from_millis(10));
        channel.close();
        assert_eq!(first.join().unwrap(), Err(Errno::ENOTCONN));
        assert_eq!(second.join().unwrap(), Err(Errno::ENOTCONN));
        assert_eq!(ask(), Err(Errno::ENOTCONN));
    });
}

#[test]
fn wrong_replies_are_refused_and_the_right_one_still_counts() {
    let channel = Channel::new(60 * SECOND);
    thread::scope(|scope| {
        let caller = scope.spawn(|| channel.call(Operation::Sync, b"", [0, 0], b""));
        let asked = receive(&channel, OpenFlags::empty()).unwrap();
        for wrong in [-1, 512, 1 << 20] {
            assert_eq!(
                reply(&channel, asked.number, Err(wrong)),
                Err(Errno::EINVAL)
            );
        }
        assert_eq!(
            reply(&channel, asked.number + 1, Ok(b"")),
            Err(Errno::ENOENT)
        );
        assert_eq!(channel.reply(&mut &[0; 5][..]), Err(Errno::EINVAL));
        let mut short = asked.number.to_ne_bytes().to_vec();
        short.extend_from_slice(&[0, 0, 0, 0, 9, 0, 0, 0]);
        assert_eq!(channel.reply(&mut &short[..]), Err(Errno::EINVAL));
        assert!(reply(&channel, asked.number, Ok(b"right")).is_ok());
        assert_eq!(caller.join().unwrap().as_deref(), Ok(&b"right"[..]));
    });
}

#[test]
fn a_request_that_does_not_fit_stays() {
    let channel = Channel::new(60 * SECOND);
    thread::scope(|scope| {
        let caller = scope.spawn(|| channel.call(Operation::Write, b"", [0, 0], &[7; 100]));
        let mut small = [0; REQUEST_HEADER];
        let error = channel.receive(&mut KernelSink::new(&mut small), OpenFlags::empty());
        assert_eq!(error, Err(Errno::EINVAL));
        let asked = receive(&channel, OpenFlags::empty()).unwrap();
        assert_eq!(asked.data, [7; 100]);
        reply(&channel, asked.number, Err(28)).unwrap();
        assert_eq!(caller.join().unwrap(), Err(Errno::ENOSPC));
    });
}

#[test]
fn attributes_have_one_length() {
    let bytes = attributes(0o100644, 3);
    let found = Attributes::from_bytes(&bytes).unwrap();
    assert_eq!(
        (found.mode, found.links, found.size, found.modified_ns),
        (0o100644, 1, 3, 5)
    );
    assert_eq!(Attributes::from_bytes(&bytes[1..]), None);
}

use std::time::{Duration, Instant};

use super::super::eventfd::EventFd;
use super::super::file::OpenFlags;
use super::*;

fn event_fd() -> Arc<Description> {
    Description::new(Arc::new(EventFd::new(0, false)), OpenFlags::RDWR)
}

fn signal(fd: &Description) {
    let one = 1u64.to_ne_bytes();
    fd.write(&mut &one[..]).unwrap();
}

fn drain(fd: &Description) {
    let mut bytes = [0; 8];
    fd.read(&mut super::super::io::KernelSink::new(&mut bytes))
        .unwrap();
}

fn interest(events: u32, data: u64) -> Interest {
    Interest { events, data }
}

fn ready_now(set: &EpollSet) -> Vec<u64> {
    set.wait(16, Some(0))
        .unwrap()
        .iter()
        .map(|report| report.data)
        .collect()
}

#[test]
fn level_reports_as_long_as_it_is_ready() {
    let (set, fd) = (EpollSet::new(), event_fd());
    set.add(3, &fd, interest(raw::EPOLLIN, 7)).unwrap();
    assert_eq!(ready_now(&set), []);
    signal(&fd);
    assert_eq!(ready_now(&set), [7]);
    assert_eq!(ready_now(&set), [7]);
    drain(&fd);
    assert_eq!(ready_now(&set), []);
    signal(&fd);
    assert_eq!(set.wait(16, Some(0)).unwrap()[0].events, PollEvents::IN);
}

#[test]
fn edge_reports_each_change_once() {
    let (set, fd) = (EpollSet::new(), event_fd());
    signal(&fd);
    set.add(3, &fd, interest(raw::EPOLLIN | raw::EPOLLET, 7))
        .unwrap();
    assert_eq!(ready_now(&set), [7]);
    assert_eq!(ready_now(&set), []);
    signal(&fd);
    assert_eq!(ready_now(&set), [7]);
    set.modify(3, &fd, interest(raw::EPOLLIN | raw::EPOLLET, 8))
        .unwrap();
    assert_eq!(ready_now(&set), [8]);
}

#[test]
fn one_shot_reports_until_modified() {
    let (set, fd) = (EpollSet::new(), event_fd());
    signal(&fd);
    set.add(3, &fd, interest(raw::EPOLLIN | raw::EPOLLONESHOT, 1))
        .unwrap();
    assert_eq!(ready_now(&set), [1]);
    signal(&fd);
    assert_eq!(ready_now(&set), []);
    set.modify(3, &fd, interest(raw::EPOLLIN | raw::EPOLLONESHOT, 2))
        .unwrap();
    assert_eq!(ready_now(&set), [2]);
}

#[test]
fn errors_of_epoll_ctl() {
    let (set, fd) = (EpollSet::new(), event_fd());
    assert_eq!(
        set.modify(3, &fd, interest(raw::EPOLLIN, 0)),
        Err(Errno::ENOENT)
    );
    assert_eq!(set.remove(3, &fd), Err(Errno::ENOENT));
    set.add(3, &fd, interest(raw::EPOLLIN, 0)).unwrap();
    assert_eq!(
        set.add(3, &fd, interest(raw::EPOLLIN, 0)),
        Err(Errno::EEXIST)
    );
    assert_eq!(
        set.add(4, &fd, interest(raw::EPOLLIN, 0)),
        Ok(()),
        "a duplicate is another descriptor"
    );
    assert_eq!(
        set.add(5, &fd, interest(raw::EPOLLPRI | raw::EPOLLEXCLUSIVE, 0)),
        Err(Errno::EINVAL)
    );
    set.remove(3, &fd).unwrap();
    signal(&fd);
    assert_eq!(ready_now(&set).len(), 1);
}

#[test]
fn a_closed_file_is_out_of_the_set() {
    let (set, fd) = (EpollSet::new(), event_fd());
    set.add(3, &fd, interest(raw::EPOLLIN, 0)).unwrap();
    signal(&fd);
    drop(fd);
    assert_eq!(ready_now(&set), []);
    for fd in 0..10 * MIN_SWEEP as i32 {
        set.add(fd, &event_fd(), interest(raw::EPOLLIN, 1)).unwrap();
    }
    assert!(set.items.lock().len() <= MIN_SWEEP);
}

#[test]
fn sets_nest_but_not_in_rings_or_too_deep() {
    let fd = event_fd();
    let sets: Vec<_> = (0..6).map(|_| EpollSet::new()).collect();
    let descriptions: Vec<_> = sets
        .iter()
        .map(|set| Description::new(set.clone(), OpenFlags::RDWR))
        .collect();
    sets[0].add(3, &fd, interest(raw::EPOLLIN, 0)).unwrap();
    for inner in 0..4 {
        sets[inner + 1]
            .add(4, &descriptions[inner], interest(raw::EPOLLIN, 9))
            .unwrap();
    }
    assert_eq!(ready_now(&sets[4]), []);
    signal(&fd);
    assert_eq!(ready_now(&sets[4]), [9]);
    drain(&fd);
    assert_eq!(ready_now(&sets[4]), []);
    assert_eq!(
        sets[0].add(5, &descriptions[4], interest(raw::EPOLLIN, 0)),
        Err(Errno::ELOOP)
    );
    assert_eq!(
        sets[5].add(5, &descriptions[4], interest(raw::EPOLLIN, 0)),
        Err(Errno::ELOOP)
    );
}

#[test]
fn a_wait_ends_by_an_event_or_at_its_deadline() {
    let (set, fd) = (EpollSet::new(), event_fd());
    set.add(3, &fd, interest(raw::EPOLLIN, 5)).unwrap();
    let start = Instant::now();
    assert_eq!(
        set.wait(16, Some(smp::now_ns() + 30_000_000)),
        Ok(Vec::new())
    );
    assert!(start.elapsed() >= Duration::from_millis(29));
    let waiting = std::thread::spawn({
        let set = set.clone();
        move || set.wait(16, Some(smp::now_ns() + 10_000_000_000)).unwrap()
    });
    std::thread::sleep(Duration::from_millis(20));
    signal(&fd);
    assert_eq!(
        waiting.join().unwrap(),
        [Report {
            events: PollEvents::IN,
            data: 5
        }]
    );
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn every_waiting_thread_gets_a_ready_file_of_its_own() {
    let set = EpollSet::new();
    let fds: Vec<_> = (0..4).map(|_| event_fd()).collect();
    for (i, fd) in fds.iter().enumerate() {
        set.add(
            i as i32,
            fd,
            interest(raw::EPOLLIN | raw::EPOLLET, i as u64),
        )
        .unwrap();
    }
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let set = set.clone();
            std::thread::spawn(move || set.wait(1, Some(smp::now_ns() + 10_000_000_000)).unwrap())
        })
        .collect();
    std::thread::sleep(Duration::from_millis(10));
    fds.iter().for_each(|fd| signal(fd));
    let mut data: Vec<_> = threads
        .into_iter()
        .flat_map(|t| t.join().unwrap())
        .map(|r| r.data)
        .collect();
    data.sort_unstable();
    assert_eq!(data, [0, 1, 2, 3]);
}

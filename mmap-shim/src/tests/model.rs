//! Random calls, against a model that knows each page by itself.

use super::*;
use crate::fake::{END, FakeFile, START, space};
use crate::{Access, FaultError, RemapFlags};
use linux_raw_sys::general as raw;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What the model knows of a page.
#[derive(Clone, Debug, PartialEq)]
struct Page {
    protection: Protection,
    shows: Shows,
    /// What was written to a private page.
    own: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shows {
    Zeros,
    /// Page of the file, privately.
    Copy(u64),
    /// Page of the file itself.
    File(u64),
}

#[derive(Clone, Debug)]
enum Step {
    Map {
        page: usize,
        pages: usize,
        protection: Protection,
        kind: u8,
        is_fixed: bool,
    },
    Unmap {
        page: usize,
        pages: usize,
    },
    Protect {
        page: usize,
        pages: usize,
        protection: Protection,
    },
    Remap {
        page: usize,
        pages: usize,
        new_pages: usize,
        to: Option<usize>,
    },
    Drop {
        page: usize,
        pages: usize,
    },
    Read {
        page: usize,
    },
    Write {
        page: usize,
        content: u64,
    },
}

const PAGES: usize = 48;
const FILE_PAGES: u64 = 12;

fn protections() -> impl Strategy<Value = Protection> {
    prop_oneof![
        Just(NONE),
        Just(R),
        Just(RW),
        Just(Protection::READ | Protection::EXECUTE),
        Just(Protection::all())
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let page = 0..PAGES;
    let pages = 1usize..12;
    prop_oneof![
        3 => (page.clone(), pages.clone(), protections(), 0u8..3, any::<bool>())
            .prop_map(|(page, pages, protection, kind, is_fixed)| Step::Map { page, pages, protection, kind, is_fixed }),
        2 => (page.clone(), pages.clone()).prop_map(|(page, pages)| Step::Unmap { page, pages }),
        3 => (page.clone(), pages.clone(), protections())
            .prop_map(|(page, pages, protection)| Step::Protect { page, pages, protection }),
        2 => (page.clone(), pages.clone(), 1usize..12, proptest::option::of(page.clone()))
            .prop_map(|(page, pages, new_pages, to)| Step::Remap { page, pages, new_pages, to }),
        2 => (page.clone(), pages.clone()).prop_map(|(page, pages)| Step::Drop { page, pages }),
        4 => page.clone().prop_map(|page| Step::Read { page }),
        6 => (page, 1u64..1000).prop_map(|(page, content)| Step::Write { page, content }),
    ]
}

/// The naive address space.
#[derive(Default)]
struct Model {
    pages: BTreeMap<usize, Page>,
    file: Vec<u64>,
}

impl Model {
    fn content(&self, page: usize) -> u64 {
        let page = &self.pages[&page];
        page.own.unwrap_or(match page.shows {
            Shows::Zeros => 0,
            Shows::Copy(index) | Shows::File(index) => self.file[index as usize],
        })
    }

    fn access(&self, page: usize, access: Access) -> Result<(), FaultError> {
        let page = self.pages.get(&page).ok_or(FaultError::NotMapped)?;
        if !access.is_allowed(page.protection) {
            return Err(FaultError::AccessDenied);
        }
        match page.shows {
            Shows::Copy(index) | Shows::File(index) if index >= FILE_PAGES => {
                Err(FaultError::PastEnd)
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, page: usize, content: u64) {
        let page = self.pages.get_mut(&page).expect("the access was allowed");
        match page.shows {
            Shows::File(index) => self.file[index as usize] = content,
            _ => page.own = Some(content),
        }
    }

    fn remove(&mut self, pages: std::ops::Range<usize>) {
        self.pages.retain(|page, _| !pages.contains(page));
    }

    fn is_free(&self, page: usize, pages: usize) -> bool {
        (page..page + pages).all(|page| !self.pages.contains_key(&page))
    }

    /// Tells whether the pages are what mremap(2) takes for one mapping.
    fn is_one_mapping(&self, page: usize, pages: usize) -> bool {
        let Some(first) = self.pages.get(&page) else {
            return false;
        };
        (0..pages).all(|i| {
            let shows = match first.shows {
                Shows::Zeros => Shows::Zeros,
                Shows::Copy(index) => Shows::Copy(index + i as u64),
                Shows::File(index) => Shows::File(index + i as u64),
            };
            self.pages
                .get(&(page + i))
                .is_some_and(|page| page.shows == shows && page.protection == first.protection)
        })
    }
}

const fn address(page: usize) -> usize {
    START + page * P
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut space = space();
    let file = FakeFile::new(&space.mapper.memory, 1, FILE_PAGES, 5000);
    // One object for all mappings, so that neighbours may join.
    let backing: Arc<dyn crate::Backing> = file.clone();
    let mut model = Model {
        pages: BTreeMap::new(),
        file: (5000..5000 + FILE_PAGES).collect(),
    };
    for step in steps {
        match step {
            Step::Map {
                page,
                pages,
                protection,
                kind,
                is_fixed,
            } => {
                let first = page as u64 % 16;
                let fixed = if is_fixed {
                    MapFlags::FIXED
                } else {
                    MapFlags::FIXED_NOREPLACE
                };
                let mut request = match kind {
                    0 => anonymous(0, pages, protection, PRIVATE | fixed),
                    1 => of_file(&file, first, pages, protection, MapFlags::PRIVATE | fixed),
                    _ => of_file(&file, first, pages, protection, MapFlags::SHARED | fixed),
                };
                if kind != 0 {
                    request.source = Source::File {
                        backing: backing.clone(),
                        is_readable: true,
                        is_writable: true,
                    };
                }
                request.address = address(page);
                let result = space.map(request);
                if !is_fixed && !model.is_free(page, pages) {
                    prop_assert_eq!(result, Err(MapError::Exists));
                    continue;
                }
                prop_assert_eq!(result.map(|mapping| mapping.address), Ok(address(page)));
                for i in 0..pages {
                    let index = first + i as u64;
                    let shows =
                        [Shows::Zeros, Shows::Copy(index), Shows::File(index)][kind as usize];
                    model.pages.insert(
                        page + i,
                        Page {
                            protection,
                            shows,
                            own: None,
                        },
                    );
                }
            }
            Step::Unmap { page, pages } => {
                prop_assert_eq!(space.unmap(address(page), pages * P), Ok(()));
                model.remove(page..page + pages);
            }
            Step::Protect {
                page,
                pages,
                protection,
            } => {
                let result = space.protect(address(page), pages * P, protection.bits());
                let hole = (page..page + pages).find(|page| !model.pages.contains_key(page));
                prop_assert_eq!(result.is_err(), hole.is_some());
                for page in page..hole.unwrap_or(page + pages) {
                    model
                        .pages
                        .get_mut(&page)
                        .expect("before the hole")
                        .protection = protection;
                }
            }
            Step::Remap {
                page,
                pages,
                new_pages,
                to,
            } => {
                let flags = RemapFlags::MAYMOVE
                    | if to.is_some() {
                        RemapFlags::FIXED
                    } else {
                        RemapFlags::empty()
                    };
                let to_address = to.map_or(0, address);
                let overlaps = to.is_some_and(|to| to < page + pages && page < to + new_pages);
                let moved = pages.min(new_pages);
                if overlaps || !model.is_one_mapping(page, pages) {
                    // What Linux leaves behind after a failure halfway is nobody's model.
                    continue;
                }
                let result = space.remap(
                    address(page),
                    pages * P,
                    new_pages * P,
                    flags.bits(),
                    to_address,
                );
                let new = (result.expect("it is one mapping").address - START) / P;
                if let Some(to) = to {
                    prop_assert_eq!(new, to);
                    model.remove(to..to + new_pages);
                }
                let first = model.pages[&page].clone();
                let content: Vec<Page> = (page..page + moved)
                    .map(|page| model.pages[&page].clone())
                    .collect();
                model.remove(page..page + pages);
                prop_assert!(model.is_free(new, new_pages));
                for i in 0..new_pages {
                    let shows = match first.shows {
                        Shows::Zeros => Shows::Zeros,
                        Shows::Copy(index) => Shows::Copy(index + i as u64),
                        Shows::File(index) => Shows::File(index + i as u64),
                    };
                    let fresh = Page {
                        protection: first.protection,
                        shows,
                        own: None,
                    };
                    model
                        .pages
                        .insert(new + i, content.get(i).cloned().unwrap_or(fresh));
                }
            }
            Step::Drop { page, pages } => {
                let result = space.advise(address(page), pages * P, raw::MADV_DONTNEED);
                let has_hole = (page..page + pages).any(|page| !model.pages.contains_key(&page));
                prop_assert_eq!(result.is_err(), has_hole);
                for (_, page) in model.pages.range_mut(page..page + pages) {
                    page.own = None;
                }
            }
            Step::Read { page } => {
                let expected = model
                    .access(page, Access::Read)
                    .map(|()| model.content(page));
                prop_assert_eq!(space.read(address(page)), expected);
            }
            Step::Write { page, content } => {
                let expected = model.access(page, Access::Write);
                prop_assert_eq!(space.write(address(page), content), expected);
                if expected.is_ok() {
                    model.write(page, content);
                }
            }
        }
        space.check();
    }
    for page in 0..(END - START) / P {
        let expected = model
            .access(page, Access::Read)
            .map(|()| model.content(page));
        prop_assert_eq!(space.read(address(page)), expected);
    }
    for (index, &content) in model.file.iter().enumerate() {
        prop_assert_eq!(file.content(index as u64), content);
    }
    space.unmap(START, END - START).expect("a whole space");
    prop_assert_eq!(space.mapper.free, 100_000);
    space.check();
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn each_page_is_what_the_calls_made_of_it(steps in proptest::collection::vec(steps(), 1..60)) {
        run(steps)?;
    }
}

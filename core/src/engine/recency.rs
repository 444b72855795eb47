//! A list of small numbers by their last use, from which any can be taken out: keys of the CPU tier, free blocks.
//!
//! The CPU tier touches every block of every running request in every step, and a prefix that is found takes its blocks
//! from the middle of the free list; neither may depend on how long the list is: it goes through a table, indexed by
//! number.

use alloc::vec::Vec;

/// No key.
const NONE: u32 = u32::MAX;

/// The neighbours of a key that is there.
#[derive(Debug, Clone, Copy)]
struct Link {
    older: u32,
    newer: u32,
}

/// Keys by their last use.
#[derive(Debug)]
pub(super) struct Recency {
    /// By key; keys are small numbers without gaps.
    links: Vec<Option<Link>>,
    oldest: u32,
    newest: u32,
    len: usize,
}

impl Recency {
    pub(super) fn new() -> Self {
        Self { links: Vec::new(), oldest: NONE, newest: NONE, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn contains(&self, key: u32) -> bool {
        self.links.get(key as usize).is_some_and(Option::is_some)
    }

    /// Takes a key out; whether it was there.
    pub(super) fn remove(&mut self, key: u32) -> bool {
        let Some(link) = self.links.get_mut(key as usize).and_then(Option::take) else { return false };
        match self.link(link.older) {
            Some(older) => older.newer = link.newer,
            None => self.oldest = link.newer,
        }
        match self.link(link.newer) {
            Some(newer) => newer.older = link.older,
            None => self.newest = link.older,
        }
        self.len -= 1;
        true
    }

    /// Makes a key the one used last; whether it was there.
    pub(super) fn touch(&mut self, key: u32) -> bool {
        let was_there = self.remove(key);
        let place = key as usize;
        if place >= self.links.len() {
            self.links.resize(place + 1, None);
        }
        self.links[place] = Some(Link { older: self.newest, newer: NONE });
        match self.link(self.newest) {
            Some(newest) => newest.newer = key,
            None => self.oldest = key,
        }
        self.newest = key;
        self.len += 1;
        was_there
    }

    /// Takes out the key that was not used for longest.
    pub(super) fn take_oldest(&mut self) -> Option<u32> {
        let oldest = self.oldest;
        self.remove(oldest).then_some(oldest)
    }

    fn link(&mut self, key: u32) -> Option<&mut Link> {
        self.links.get_mut(key as usize)?.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;

    #[test]
    fn it_does_what_a_plain_list_does() {
        let (mut recency, mut list) = (Recency::new(), VecDeque::new());
        let mut state = 7_u32;
        for step in 0..20_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = state >> 26;
            let place = list.iter().position(|other| *other == key);
            match state % 5 {
                0 => assert_eq!(recency.take_oldest(), list.pop_front(), "step {step}"),
                1 => {
                    assert_eq!(recency.remove(key), place.is_some(), "step {step}");
                    place.and_then(|place| list.remove(place));
                }
                _ => {
                    assert_eq!(recency.touch(key), place.is_some(), "step {step}");
                    place.and_then(|place| list.remove(place));
                    list.push_back(key);
                }
            }
            assert_eq!(recency.len(), list.len());
            assert!((0..64).all(|key| recency.contains(key) == list.contains(&key)));
            assert_eq!(recency.oldest, list.front().copied().unwrap_or(NONE));
            assert_eq!(recency.newest, list.back().copied().unwrap_or(NONE));
        }
    }
}

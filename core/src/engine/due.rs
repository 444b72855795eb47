//! When decoding requests will have produced everything.
//!
//! A timing wheel over decode ticks: a bucket per tick modulo the size of the wheel, each a list of slots, and one bit per
//! bucket. Entering, leaving and finding the next tick cost the same however large the batch is.

use alloc::vec::Vec;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// Buckets; a power of two. Requests that finish further ahead share a bucket with nearer ones and are passed by.
const SIZE: u64 = 2048;
const MASK: u64 = SIZE - 1;

/// Neighbours of a slot in the list of its bucket.
#[derive(Debug, Clone, Copy)]
struct Link {
    previous: u32,
    next: u32,
}

/// The finish ticks of all decoding requests.
#[derive(Debug)]
pub(super) struct Due {
    /// First slot per bucket.
    heads: Vec<u32>,
    /// One bit per bucket: whether its list has an entry.
    occupied: Vec<u64>,
    /// By slot.
    links: Vec<Link>,
}

impl Due {
    pub(super) fn new() -> Self {
        Self {
            heads: alloc::vec![NONE; SIZE as usize],
            occupied: alloc::vec![0; SIZE as usize / 64],
            links: Vec::new(),
        }
    }

    /// The slot finishes at this tick.
    #[inline]
    pub(super) fn insert(&mut self, finish: u64, slot: u32) {
        let bucket = (finish & MASK) as usize;
        let next = self.heads[bucket];
        if next != NONE {
            self.links[next as usize].previous = slot;
        }
        if self.links.len() <= slot as usize {
            self.links.resize(slot as usize + 1, Link { previous: NONE, next: NONE });
        }
        self.links[slot as usize] = Link { previous: NONE, next };
        self.heads[bucket] = slot;
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
    }

    /// Takes out a slot that was entered with this finish tick.
    #[inline]
    pub(super) fn remove(&mut self, finish: u64, slot: u32) {
        let bucket = (finish & MASK) as usize;
        let Link { previous, next } = self.links[slot as usize];
        if next != NONE {
            self.links[next as usize].previous = previous;
        }
        if previous != NONE {
            self.links[previous as usize].next = next;
        } else {
            self.heads[bucket] = next;
            if next == NONE {
                self.occupied[bucket / 64] &= !(1 << (bucket % 64));
            }
        }
    }

    /// Ticks from `tick` to the next one whose bucket has an entry, at least 1; nobody finishes in between.
    #[inline]
    pub(super) fn ticks_until_next(&self, tick: u64) -> u64 {
        let from = ((tick + 1) & MASK) as usize;
        let (word, bit) = (from / 64, from % 64);
        let ahead = self.occupied[word] >> bit;
        if ahead != 0 {
            return 1 + u64::from(ahead.trailing_zeros());
        }
        self.search(word, bit)
    }

    /// As [`Due::ticks_until_next`], where no bit is set in the rest of the first word.
    fn search(&self, word: usize, bit: usize) -> u64 {
        let words = self.occupied.len();
        for ahead in 1..=words {
            let bits = self.occupied[(word + ahead) % words];
            if bits != 0 {
                return 1 + (64 * ahead - bit) as u64 + u64::from(bits.trailing_zeros());
            }
        }
        SIZE
    }

    /// The first slot in the bucket of a tick; not all need finish at it.
    #[inline]
    pub(super) fn first(&self, tick: u64) -> u32 {
        self.heads[(tick & MASK) as usize]
    }

    /// The slot behind another in its bucket.
    #[inline]
    pub(super) fn next(&self, slot: u32) -> u32 {
        self.links[slot as usize].next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All slots in the bucket of a tick.
    fn bucket(due: &Due, tick: u64) -> Vec<u32> {
        let mut found = Vec::new();
        let mut at = due.first(tick);
        while at != NONE {
            found.push(at);
            at = due.next(at);
        }
        found
    }

    #[test]
    fn the_next_tick_is_found_across_words_and_around_the_end() {
        let mut due = Due::new();
        for (tick, finish) in [(0, 1), (0, 63), (0, 64), (5, 700), (63, 64), (2040, 2047), (2040, 2048), (2047, 2049)] {
            due.insert(finish, 3);
            assert_eq!(due.ticks_until_next(tick), finish - tick, "{tick} {finish}");
            due.remove(finish, 3);
        }
        // One whole turn ahead is the farthest that can be told from nothing.
        due.insert(100 + SIZE, 3);
        assert_eq!(due.ticks_until_next(100), SIZE);
        assert_eq!(due.ticks_until_next(101), SIZE - 1);
        // Farther ones are seen once a turn.
        due.insert(200 + 3 * SIZE, 4);
        assert_eq!(due.ticks_until_next(150), 50);
    }

    #[test]
    fn slots_leave_from_anywhere_in_a_bucket() {
        for gone in 0..3 {
            let mut due = Due::new();
            (0..3).for_each(|slot| due.insert(77 + u64::from(slot) * SIZE, slot));
            due.remove(77 + u64::from(gone) * SIZE, gone);
            let left: Vec<u32> = (0..3).rev().filter(|slot| *slot != gone).collect();
            assert_eq!(bucket(&due, 77), left);
            left.iter().for_each(|slot| due.remove(77, *slot));
            assert_eq!((bucket(&due, 77), due.ticks_until_next(76)), (Vec::new(), SIZE));
        }
    }
}

//! The smallest of many changing numbers.

use alloc::vec::Vec;

/// A tournament over fixed places; ties go to the lowest place.
///
/// # Cost
/// Looking is free, a change costs the logarithm of the number of places.
#[derive(Debug, Clone)]
pub(super) struct MinTree {
    /// Leaves from `leaves` on; each inner node holds the smaller of its children. Node 1 is the root.
    values: Vec<i64>,
    leaves: usize,
}

impl MinTree {
    /// `count` places that all hold `value`.
    pub(super) fn new(count: usize, value: i64) -> Self {
        let leaves = count.max(1).next_power_of_two();
        let mut values = alloc::vec![i64::MAX; 2 * leaves];
        values[leaves..leaves + count].fill(value);
        for node in (1..leaves).rev() {
            values[node] = values[2 * node].min(values[2 * node + 1]);
        }
        Self { values, leaves }
    }

    #[inline]
    pub(super) fn get(&self, place: usize) -> i64 {
        self.values[self.leaves + place]
    }

    #[inline]
    pub(super) fn set(&mut self, place: usize, value: i64) {
        let mut node = self.leaves + place;
        self.values[node] = value;
        while node > 1 {
            let smaller = self.values[node].min(self.values[node ^ 1]);
            node /= 2;
            if self.values[node] == smaller {
                return;
            }
            self.values[node] = smaller;
        }
    }

    /// The smallest value.
    #[inline]
    pub(super) fn smallest(&self) -> i64 {
        self.values[1]
    }

    /// The lowest place that holds the smallest value.
    #[inline]
    pub(super) fn first(&self) -> usize {
        let mut node = 1;
        while node < self.leaves {
            node *= 2;
            if self.values[node] > self.values[node + 1] {
                node += 1;
            }
        }
        node - self.leaves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_a_scan_finds() {
        let mut state = 5u32;
        for count in [1usize, 2, 3, 8, 13, 100] {
            let mut tree = MinTree::new(count, 7);
            let mut plain = alloc::vec![7i64; count];
            assert_eq!((tree.smallest(), tree.first()), (7, 0));
            for _ in 0..2000 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (place, value) = ((state >> 8) as usize % count, i64::from(state >> 28));
                tree.set(place, value);
                plain[place] = value;
                let smallest = *plain.iter().min().expect("not empty");
                assert_eq!(tree.smallest(), smallest);
                assert_eq!(Some(tree.first()), plain.iter().position(|value| *value == smallest));
                assert_eq!(tree.get(place), value);
            }
        }
    }
}

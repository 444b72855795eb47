//! What the router remembers of the prompts it sent where (cluster specification 5.2).

use crate::workload::{PrefixId, PrefixTree, Request};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Block keys remembered per replica.
const CAPACITY: u32 = 10_000;

/// No node, no key.
const NONE: u32 = u32::MAX;

/// Per replica the block keys that were sent there last.
///
/// Blocks outside shared prefixes can never be matched, but they are remembered like others and push them out, so they
/// are counted.
#[derive(Debug)]
pub(super) struct RoutedPrefixes {
    block_size: u32,
    /// First key of each node of the prefix tree.
    first_keys: Vec<u32>,
    num_keys: u32,
    replicas: Vec<RecentKeys>,
    /// Scratch: keys of the prompt's shared blocks, in order.
    keys: Vec<u32>,
    matched: Vec<u32>,
}

impl RoutedPrefixes {
    pub(super) fn new(num_replicas: usize, block_size: u32) -> Self {
        Self {
            block_size,
            first_keys: Vec::new(),
            num_keys: 0,
            replicas: (0..num_replicas).map(|_| RecentKeys::default()).collect(),
            keys: Vec::new(),
            matched: Vec::new(),
        }
    }

    /// Leading blocks of the prompt on record for each replica.
    pub(super) fn match_prompt(&mut self, request: &Request, tree: &PrefixTree) -> &[u32] {
        self.collect_keys(request, tree);
        let keys = &self.keys;
        self.matched.clear();
        if keys.is_empty() {
            // Most prompts of most workloads: there is nothing to look for.
            self.matched.resize(self.replicas.len(), 0);
            return &self.matched;
        }
        let count = |replica: &RecentKeys| keys.iter().take_while(|key| replica.contains(**key)).count() as u32;
        self.matched.extend(self.replicas.iter().map(count));
        &self.matched
    }

    /// Records the prompt of the last [`RoutedPrefixes::match_prompt`] for a replica.
    pub(super) fn record(&mut self, replica: usize, request: &Request) {
        let replica = &mut self.replicas[replica];
        for key in &self.keys {
            replica.touch(*key);
        }
        replica.push_anonymous(request.input_tokens / self.block_size - self.keys.len() as u32);
    }

    fn collect_keys(&mut self, request: &Request, tree: &PrefixTree) {
        while self.first_keys.len() < tree.len() {
            let node = PrefixId(self.first_keys.len() as u32);
            let count = tree.tokens(node) / self.block_size - tree.tokens(tree.parent(node)) / self.block_size;
            self.first_keys.push(self.num_keys);
            self.num_keys += count;
        }
        let shared = tree.tokens(request.prefix).min(request.input_tokens) / self.block_size;
        self.keys.clear();
        self.keys.resize(shared as usize, NONE);
        // From the deepest segment to the root, each names the blocks that end in it.
        let (mut node, mut end) = (request.prefix, shared);
        while end > 0 {
            let start = tree.tokens(tree.parent(node)) / self.block_size;
            let first_key = self.first_keys.get(node.0 as usize).copied().unwrap_or(NONE);
            for index in start..end {
                self.keys[index as usize] = first_key + (index - start);
            }
            end = end.min(start);
            node = tree.parent(node);
        }
    }
}

/// The keys of one replica, least recently sent first.
///
/// Entries that were touched again leave their old place behind, marked by its age.
#[derive(Debug, Default)]
struct RecentKeys {
    /// Age, key and number of blocks; runs of blocks that nobody can ask for have no key.
    entries: VecDeque<(u64, u32, u32)>,
    /// Age of each key's entry; 0 if it is not remembered.
    ages: Vec<u64>,
    age: u64,
    len: u32,
}

impl RecentKeys {
    #[inline]
    fn contains(&self, key: u32) -> bool {
        self.ages.get(key as usize).is_some_and(|age| *age > 0)
    }

    fn touch(&mut self, key: u32) {
        let place = key as usize;
        if place >= self.ages.len() {
            self.ages.resize(place + 1, 0);
        }
        self.len += u32::from(self.ages[place] == 0);
        self.age += 1;
        self.ages[place] = self.age;
        self.entries.push_back((self.age, key, 1));
        self.trim();
        if self.entries.len() > 4 * CAPACITY as usize {
            let ages = &self.ages;
            self.entries.retain(|(age, key, _)| *key == NONE || ages[*key as usize] == *age);
        }
    }

    fn push_anonymous(&mut self, count: u32) {
        if count > 0 {
            self.age += 1;
            self.entries.push_back((self.age, NONE, count));
            self.len += count;
            self.trim();
        }
    }

    /// Forgets the oldest until no more than the capacity is left, and places that entries have left.
    fn trim(&mut self) {
        while let Some((age, key, count)) = self.entries.front_mut() {
            let is_left = *key != NONE && self.ages[*key as usize] != *age;
            if is_left {
                self.entries.pop_front();
                continue;
            }
            if self.len <= CAPACITY {
                return;
            }
            let excess = self.len - CAPACITY;
            if *count > excess {
                *count -= excess;
                self.len -= excess;
                return;
            }
            self.len -= *count;
            if *key != NONE {
                self.ages[*key as usize] = 0;
            }
            self.entries.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SimTime;

    fn request(input_tokens: u32, prefix: PrefixId) -> Request {
        Request { prefix, ..Request::plain(0, SimTime::ZERO, input_tokens, 1) }
    }

    #[test]
    fn shared_blocks_are_matched_and_private_ones_push_them_out() {
        let mut tree = PrefixTree::new();
        let root = tree.extend(PrefixId::NONE, 40);
        let leaf = tree.extend(root, 40);
        let mut routed = RoutedPrefixes::new(2, 16);
        assert_eq!(routed.match_prompt(&request(100, leaf), &tree), [0, 0]);
        // Blocks 0 and 1 end inside the first 40 tokens, 2 to 4 inside the next 40; the block across is the leaf's.
        routed.record(1, &request(100, leaf));
        assert_eq!(routed.match_prompt(&request(100, leaf), &tree), [0, 5]);
        assert_eq!(routed.match_prompt(&request(79, leaf), &tree), [0, 4]);
        assert_eq!(routed.match_prompt(&request(500, root), &tree), [0, 2]);

        // 6 + 9,993 blocks leave room for one more; the next takes the place of the oldest.
        routed.match_prompt(&request(9_993 * 16, PrefixId::NONE), &tree);
        routed.record(1, &request(9_993 * 16, PrefixId::NONE));
        routed.match_prompt(&request(16, PrefixId::NONE), &tree);
        routed.record(1, &request(16, PrefixId::NONE));
        assert_eq!(routed.match_prompt(&request(100, leaf), &tree), [0, 5]);
        routed.match_prompt(&request(16, PrefixId::NONE), &tree);
        routed.record(1, &request(16, PrefixId::NONE));
        assert_eq!(routed.match_prompt(&request(100, leaf), &tree), [0, 0], "the first block is gone");

        // Touching the rest makes it the newest again, and the blocks are the same ones.
        routed.record(1, &request(100, leaf));
        assert_eq!(routed.match_prompt(&request(100, leaf), &tree), [0, 5]);
        assert_eq!(routed.replicas[1].len, CAPACITY);
    }

    #[test]
    fn a_prompt_longer_than_the_record_leaves_its_end() {
        let mut tree = PrefixTree::new();
        let long = tree.extend(PrefixId::NONE, 16 * 10_005);
        let mut routed = RoutedPrefixes::new(1, 16);
        routed.match_prompt(&request(16 * 10_005, long), &tree);
        routed.record(0, &request(16 * 10_005, long));
        assert_eq!(routed.match_prompt(&request(16 * 10_005, long), &tree), [0]);
        assert_eq!(routed.replicas[0].len, CAPACITY);
        assert!(!routed.replicas[0].contains(4) && routed.replicas[0].contains(5));
    }

    /// The specification's words: a list in which touched keys move to the newest end.
    #[test]
    fn it_remembers_what_a_plain_list_remembers() {
        let mut recent = RecentKeys::default();
        let mut plain: Vec<u32> = Vec::new();
        let (mut state, mut private) = (3u32, 1_000_000);
        for _ in 0..60_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = (state >> 10) % 12_000;
            if key < 11_000 {
                recent.touch(key);
                plain.retain(|other| *other != key);
                plain.push(key);
            } else {
                recent.push_anonymous(3);
                plain.extend(private..private + 3);
                private += 3;
            }
            let excess = plain.len().saturating_sub(CAPACITY as usize);
            plain.drain(..excess);
        }
        let known: Vec<u32> = (0..11_000).filter(|key| recent.contains(*key)).collect();
        let mut expected: Vec<u32> = plain.iter().copied().filter(|key| *key < 11_000).collect();
        expected.sort_unstable();
        assert_eq!(known, expected);
        assert_eq!(recent.len as usize, plain.len());
    }
}

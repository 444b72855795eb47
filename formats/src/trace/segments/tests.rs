//! Sharing through the prefix tree against sharing through the tokens themselves.

use super::*;
use proptest::prelude::*;

/// A request's tokens.
#[derive(Debug, Clone)]
struct Tokens {
    prompt: Vec<u32>,
    output: Vec<u32>,
}

/// Requests that share a lot: few tokens, prompts that repeat or continue earlier prompts and outputs.
fn requests() -> impl Strategy<Value = Vec<Tokens>> {
    let fresh = || proptest::collection::vec(0..3u32, 1..70);
    let one = (fresh(), proptest::collection::vec(0..3u32, 0..50), any::<prop::sample::Index>(), 0..5u8, 0..90usize);
    proptest::collection::vec(one, 1..12).prop_map(|drawn| {
        let mut made: Vec<Tokens> = Vec::new();
        for (own, output, index, kind, cut) in drawn {
            let mut prompt = Vec::new();
            if let (Some(earlier), true) = (made.get(index.index(made.len().max(1))), kind > 0) {
                prompt.extend_from_slice(&earlier.prompt);
                if kind > 1 {
                    prompt.extend_from_slice(&earlier.output);
                }
                prompt.truncate(if kind == 3 { cut.max(1) } else { usize::MAX });
            }
            if kind != 4 || prompt.is_empty() {
                prompt.extend(own);
            }
            made.push(Tokens { prompt, output });
        }
        made
    })
}

/// What names a full block: its tokens and all before them.
fn block_by_tokens(sequence: &[u32], block: usize, block_size: usize) -> &[u32] {
    &sequence[..(block + 1) * block_size]
}

/// The same by the tree: the node with its last token, and its index; none if it is the request's own.
fn block_by_tree(tree: &PrefixTree, deepest: PrefixId, block: usize, block_size: usize) -> Option<(PrefixId, usize)> {
    let last = ((block + 1) * block_size - 1) as u32;
    let mut node = deepest;
    if last >= tree.tokens(node) {
        return None;
    }
    while last < tree.tokens(tree.parent(node)) {
        node = tree.parent(node);
    }
    Some((node, block))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// For every pair of requests and every block size: a block of one's prompt and output is found by the other's
    /// prompt through the tree exactly if it is found through the tokens.
    #[test]
    fn the_tree_finds_what_a_cache_of_tokens_finds(requests in requests()) {
        let mut tree = PromptTree::new();
        let mut sequences: Vec<Sequence> = requests.iter().map(|request| tree.insert(&request.prompt)).collect();
        for (sequence, request) in sequences.iter_mut().zip(&requests) {
            if tree.goes_on(*sequence) {
                *sequence = tree.follow(*sequence, &request.output);
            }
        }
        let (prefixes, places) = tree.into_prefixes();
        for (request, sequence) in requests.iter().zip(&sequences) {
            let (prefix, output_prefix) = places.of(*sequence);
            prop_assert!(prefixes.tokens(prefix) as usize <= request.prompt.len());
            prop_assert!(output_prefix == PrefixId::NONE || prefixes.tokens(output_prefix) as usize > request.prompt.len());
        }
        for block_size in [8, 16, 32] {
            for (stored, stored_at) in requests.iter().zip(&sequences) {
                let all: Vec<u32> = stored.prompt.iter().chain(&stored.output).copied().collect();
                let (prefix, output_prefix) = places.of(*stored_at);
                for (asked, asked_at) in requests.iter().zip(&sequences) {
                    if std::ptr::eq(stored, asked) {
                        continue;
                    }
                    let (wanted, _) = places.of(*asked_at);
                    for block in 0..(all.len().min(asked.prompt.len()) / block_size) {
                        let by_tokens = block_by_tokens(&all, block, block_size) == block_by_tokens(&asked.prompt, block, block_size);
                        let in_output = (block + 1) * block_size > stored.prompt.len();
                        let deepest = if in_output { output_prefix } else { prefix };
                        let name = block_by_tree(&prefixes, deepest, block, block_size);
                        let by_tree = name.is_some() && name == block_by_tree(&prefixes, wanted, block, block_size);
                        prop_assert_eq!(by_tree, by_tokens, "block {} of {} tokens", block, block_size);
                    }
                }
            }
        }
    }
}

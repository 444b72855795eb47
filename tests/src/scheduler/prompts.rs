//! The prompts of a recorded scenario as places in a tree of shared prefixes.

use super::RequestSpec;
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::{PrefixId, PrefixTree, Request};
use serde_json::Value;
use std::collections::BTreeMap;

/// A token: the number of its segment, and its place there.
type Token = (u32, u32);

/// The requests, their ids being their places in the list, and the prefixes that prompts share with other prompts and
/// with the answers of others.
pub(super) fn requests(specs: &[RequestSpec]) -> (Vec<Request>, PrefixTree) {
    let mut names: BTreeMap<String, u32> = BTreeMap::new();
    let mut number = |name: &str| {
        let next = names.len() as u32;
        *names.entry(name.to_owned()).or_insert(next)
    };
    let mut prompts: Vec<Vec<Token>> = Vec::new();
    let mut sequences: Vec<Vec<Token>> = Vec::new();
    for spec in specs {
        let mut tokens = Vec::new();
        for (name, length) in &spec.prompt {
            let name = match name {
                Value::String(name) => name.clone(),
                other => other.to_string(),
            };
            // A segment may be cut in front: `name@first`.
            let (name, first) = name.split_once('@').unwrap_or((&name, "0"));
            let (segment, first) = (number(name), first.parse().unwrap_or(0));
            tokens.extend((first..first + length).map(|place| (segment, place)));
        }
        prompts.push(tokens.clone());
        let answer = number(&format!("answer:{}", spec.id.as_deref().unwrap_or_default()));
        tokens.extend((0..spec.output).map(|place| (answer, place)));
        sequences.push(tokens);
    }
    let mut tree = PrefixTree::new();
    let mut nodes: BTreeMap<Vec<Token>, PrefixId> = BTreeMap::new();
    let mut requests = Vec::with_capacity(specs.len());
    for (at, spec) in specs.iter().enumerate() {
        let length = prompts[at].len();
        let mut depths = Vec::new();
        for (other, prompt) in prompts.iter().enumerate().filter(|(other, _)| *other != at) {
            let shared = common(&sequences[at], &sequences[other]);
            // Where prompts end there is a node, so that all who pass by it have the same ones.
            depths.extend([prompt.len(), length].into_iter().filter(|end| *end <= shared));
            depths.push(shared);
        }
        depths.retain(|depth| *depth > 0);
        depths.sort_unstable();
        depths.dedup();
        let (mut node, mut end, mut prefix, mut output_prefix) = (PrefixId::NONE, 0, PrefixId::NONE, PrefixId::NONE);
        for depth in depths {
            node = *nodes
                .entry(sequences[at][..depth].to_vec())
                .or_insert_with(|| tree.extend(node, (depth - end) as u32));
            end = depth;
            *if depth <= length { &mut prefix } else { &mut output_prefix } = node;
        }
        requests.push(Request {
            prefix,
            output_prefix,
            priority: spec.priority,
            // The recorded scheduler stands behind the door at which absurd limits are refused.
            answer_limit: 0,
            ..Request::plain(at as u32, SimTime::ZERO, length as u32, spec.output)
        });
    }
    (requests, tree)
}

/// How many leading tokens are the same.
fn common(left: &[Token], right: &[Token]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

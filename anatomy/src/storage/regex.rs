//! The small part of regular expressions that quantizers write to name modules.
//!
//! A library for all of them would take more of the worker's module than everything else here; and these come from a
//! file, so that no expression may take longer than a fixed number of steps.

use std::cell::Cell;

/// Steps after which an expression is taken not to match; a name has some forty signs.
const MAX_STEPS: u32 = 20_000;

/// Deepest nesting of groups.
const MAX_DEPTH: u32 = 16;

/// An expression.
#[derive(Debug)]
pub(super) struct Regex {
    choices: Vec<Sequence>,
}

type Sequence = Vec<(Node, u32, u32)>;

#[derive(Debug)]
enum Node {
    Sign(u8),
    Any,
    Class(Vec<(u8, u8)>, bool),
    Group(Vec<Sequence>),
    /// Looks ahead: whether something must follow, or must not.
    Ahead(Vec<Sequence>, bool),
    Start,
    End,
}

impl Regex {
    /// Reads an expression; none if it has something that is not understood here.
    pub fn new(text: &str) -> Option<Self> {
        let mut parser = Parser { signs: text.as_bytes(), at: 0 };
        let choices = parser.choices(0)?;
        (parser.at == text.len()).then_some(Self { choices })
    }

    /// Whether it matches from the beginning of a name on, up to wherever it ends; takes the steps from those left.
    pub fn matches_start(&self, name: &str, left: &Cell<u32>) -> bool {
        self.matches(name, 0, left)
    }

    /// Whether it matches anywhere in a name; takes the steps from those left.
    pub fn is_found(&self, name: &str, left: &Cell<u32>) -> bool {
        self.matches(name, name.len(), left)
    }

    fn matches(&self, name: &str, last_start: usize, left: &Cell<u32>) -> bool {
        let most = MAX_STEPS.min(left.get());
        let mut steps = most;
        let found =
            (0..=last_start).any(|start| any(&self.choices, name.as_bytes(), start, &mut steps, &mut |_, _| true));
        left.set(left.get().saturating_sub(most.saturating_sub(steps)));
        found
    }
}

struct Parser<'a> {
    signs: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.signs.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let sign = self.peek()?;
        self.at += 1;
        Some(sign)
    }

    fn has(&mut self, sign: u8) -> bool {
        let is_there = self.peek() == Some(sign);
        self.at += usize::from(is_there);
        is_there
    }

    fn choices(&mut self, depth: u32) -> Option<Vec<Sequence>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut choices = vec![Vec::new()];
        while let Some(sign) = self.peek().filter(|sign| *sign != b')') {
            self.at += 1;
            if sign == b'|' {
                choices.push(Vec::new());
                continue;
            }
            let node = self.node(sign, depth)?;
            let (least, most) = self.repeats()?;
            choices.last_mut()?.push((node, least, most));
        }
        Some(choices)
    }

    fn node(&mut self, sign: u8, depth: u32) -> Option<Node> {
        Some(match sign {
            b'.' => Node::Any,
            b'^' => Node::Start,
            b'$' => Node::End,
            b'[' => self.class()?,
            b'\\' => match self.take()? {
                b'd' => Node::Class(vec![(b'0', b'9')], true),
                b'w' => Node::Class(vec![(b'0', b'9'), (b'a', b'z'), (b'A', b'Z'), (b'_', b'_')], true),
                letter if letter.is_ascii_alphanumeric() => return None,
                sign => Node::Sign(sign),
            },
            b'(' => {
                let mut is_ahead = None;
                if self.has(b'?') {
                    match self.take()? {
                        b':' => {}
                        b'=' => is_ahead = Some(true),
                        b'!' => is_ahead = Some(false),
                        _ => return None,
                    }
                }
                let choices = self.choices(depth + 1)?;
                self.has(b')').then_some(())?;
                match is_ahead {
                    Some(wanted) => Node::Ahead(choices, wanted),
                    None => Node::Group(choices),
                }
            }
            b'*' | b'+' | b'?' | b'{' => return None,
            sign => Node::Sign(sign),
        })
    }

    fn class(&mut self) -> Option<Node> {
        let is_wanted = !self.has(b'^');
        let mut ranges = Vec::new();
        while !self.has(b']') {
            let mut first = self.take()?;
            if first == b'\\' {
                first = self.take()?;
                if first == b'd' {
                    ranges.push((b'0', b'9'));
                    continue;
                }
            }
            let is_range = self.peek() == Some(b'-') && self.signs.get(self.at + 1).is_some_and(|sign| *sign != b']');
            let last = if is_range {
                self.at += 1;
                self.take()?
            } else {
                first
            };
            ranges.push((first, last));
        }
        Some(Node::Class(ranges, is_wanted))
    }

    fn repeats(&mut self) -> Option<(u32, u32)> {
        let range = match self.peek() {
            Some(b'*') => (0, u32::MAX),
            Some(b'+') => (1, u32::MAX),
            Some(b'?') => (0, 1),
            Some(b'{') => {
                let end = self.signs.get(self.at..)?.iter().position(|sign| *sign == b'}')?;
                let text = std::str::from_utf8(self.signs.get(self.at + 1..self.at + end)?).ok()?;
                self.at += end;
                let (least, most) = text.split_once(',').unwrap_or((text, text));
                (least.parse().ok()?, if most.is_empty() { u32::MAX } else { most.parse().ok()? })
            }
            _ => return Some((1, 1)),
        };
        self.at += 1;
        // The shortest match is as good as the longest: only whether there is one is asked.
        self.has(b'?');
        Some(range)
    }
}

type Next<'n> = &'n mut dyn FnMut(usize, &mut u32) -> bool;

fn any(choices: &[Sequence], name: &[u8], at: usize, steps: &mut u32, next: Next<'_>) -> bool {
    choices.iter().any(|sequence| follow(sequence, 0, name, at, steps, next))
}

/// Whether the rest of a sequence matches from a place on, its first node having matched `done` times.
fn follow(sequence: &[(Node, u32, u32)], done: u32, name: &[u8], at: usize, steps: &mut u32, next: Next<'_>) -> bool {
    let Some(((node, least, most), rest)) = sequence.split_first() else { return next(at, steps) };
    match steps.checked_sub(1) {
        Some(left) => *steps = left,
        None => return false,
    }
    let is_once_more = done < *most
        && once(node, name, at, steps, &mut |end, steps| {
            // A repetition of nothing would go on for ever.
            (end > at || done < *least) && follow(sequence, done.saturating_add(1), name, end, steps, next)
        });
    is_once_more || done >= *least && follow(rest, 0, name, at, steps, next)
}

fn once(node: &Node, name: &[u8], at: usize, steps: &mut u32, next: Next<'_>) -> bool {
    let sign = name.get(at).copied();
    let is_sign = match node {
        Node::Sign(wanted) => sign == Some(*wanted),
        Node::Any => sign.is_some(),
        Node::Class(ranges, wanted) => {
            sign.is_some_and(|sign| ranges.iter().any(|(first, last)| (*first..=*last).contains(&sign)) == *wanted)
        }
        Node::Group(choices) => return any(choices, name, at, steps, next),
        Node::Ahead(choices, wanted) => {
            return any(choices, name, at, steps, &mut |_, _| true) == *wanted && next(at, steps);
        }
        Node::Start => return at == 0 && next(at, steps),
        Node::End => return sign.is_none() && next(at, steps),
    };
    is_sign && next(at + 1, steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_quantizers_match_as_in_python() {
        for (expression, name, is_match) in [
            (".*self_attn.*", "model.layers.3.self_attn.q_proj", true),
            (".*mlp\\.(gate|up|gate_up|down)_proj.*", "model.layers.3.mlp.up_proj", true),
            (".*mlp\\.(gate|up|gate_up|down)_proj.*", "model.layers.3.mlp.experts.0.up_proj", false),
            (".*mlp.gate$", "model.layers.3.mlp.gate", true),
            (".*mlp.gate$", "model.layers.3.mlp.gate_proj", false),
            ("model\\.layers\\.[0-2]\\..*", "model.layers.2.mlp.up_proj", true),
            ("model\\.layers\\.[0-2]\\..*", "model.layers.20.mlp.up_proj", false),
            ("^model.layers.\\d+.mlp", "model.layers.17.mlp.up_proj", true),
            ("^(?!.*lm_head).*$", "lm_head", false),
            ("^(?!.*lm_head).*$", "model.layers.0.mlp.up_proj", true),
            ("(?:a|b){2,3}c", "abac", true),
            ("(?:a|b){2,3}c", "ac", false),
            ("[^x]+?x?", "y", true),
            ("lm_head", "model.lm_head", false),
        ] {
            let regex = Regex::new(expression).expect(expression);
            assert_eq!(regex.matches_start(name, &Cell::new(u32::MAX)), is_match, "{expression} {name}");
        }
        assert!(
            Regex::new("q_proj|k_proj")
                .expect("known")
                .is_found("model.layers.0.self_attn.k_proj", &Cell::new(u32::MAX))
        );
    }

    #[test]
    fn what_is_not_understood_is_said_and_what_takes_long_is_given_up() {
        for expression in ["(", "a)", "[a", "*a", "(?<=a)b", "\\pL", "a{x}", &"(".repeat(40)] {
            assert!(Regex::new(expression).is_none(), "{expression}");
        }
        let endless = Regex::new("(a*)*(a*)*(a*)*b").expect("known");
        let left = Cell::new(u32::MAX);
        assert!(!endless.matches_start(&"a".repeat(200), &left));
        assert_eq!(u32::MAX - left.get(), MAX_STEPS);
        left.set(10);
        assert!(!endless.matches_start(&"a".repeat(200), &left) && left.get() == 0);
    }
}

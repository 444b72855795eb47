//! The parts of a step that depend on more than one count.

use crate::numeric::{larger, smaller};

/// Attention of all layers that look equally far back, on one rank.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Attention {
    /// Tokens a query looks back at most.
    pub span: f64,
    /// Microseconds of prompts: the calls; a pair; a new token; a token computed before.
    pub prompt: [f64; 4],
    /// Microseconds in which a token of the context is passed, one after another.
    pub pass: f64,
    /// Microseconds of decodes: the calls; a token of the context.
    pub decode: [f64; 2],
}

impl Attention {
    /// Microseconds of prompts.
    ///
    /// # Model
    /// The longer of all work and what one query block must pass through alone, which is the whole context: a few
    /// queries behind a long context keep few units busy.
    #[inline]
    fn prompt(&self, prompts: f64, tokens: f64, past: f64, pairs: f64) -> f64 {
        let [calls, pair, token, past_token] = self.prompt;
        let seen = smaller(pairs, tokens * self.span);
        let kept = smaller(past, prompts * self.span);
        let work = pair * seen + token * tokens + past_token * kept;
        let alone = self.pass * smaller((past + tokens) / prompts, self.span);
        calls + larger(work, alone)
    }

    /// Microseconds of decodes whose positions sum to `context`.
    #[inline]
    fn decode(&self, decodes: f64, context: f64) -> f64 {
        let [calls, token] = self.decode;
        calls + token * smaller(context + decodes, decodes * self.span)
    }

    #[inline]
    fn add(&mut self, other: &Self) {
        self.span = larger(self.span, other.span);
        self.pass += other.pass;
        for (own, more) in self.prompt.iter_mut().zip(other.prompt).chain(self.decode.iter_mut().zip(other.decode)) {
            *own += more;
        }
    }
}

/// How many spans are told apart; of further ones the longer counts.
const SPANS: usize = 4;

/// Attention of all layers, span by span.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Attentions {
    spans: [Attention; SPANS],
    used: usize,
}

impl Attentions {
    /// Adds layers.
    #[inline]
    pub fn add(&mut self, attention: &Attention) {
        let used = self.used;
        let known = self.spans.iter_mut().take(used).find(|known| known.span == attention.span);
        match known {
            Some(known) => known.add(attention),
            None => match self.spans.get_mut(used) {
                Some(free) => {
                    *free = *attention;
                    self.used += 1;
                }
                None => self.spans[SPANS - 1].add(attention),
            },
        }
    }

    /// Those there are.
    #[inline]
    fn all(&self) -> impl Iterator<Item = &Attention> {
        self.spans.iter().take(self.used)
    }

    /// Microseconds of prompts.
    #[inline]
    pub fn prompt(&self, prompts: f64, tokens: f64, past: f64, pairs: f64) -> f64 {
        self.all().fold(0.0, |sum, attention| sum + attention.prompt(prompts, tokens, past, pairs))
    }

    /// Microseconds of decodes whose positions sum to `context`.
    #[inline]
    pub fn decode(&self, decodes: f64, context: f64) -> f64 {
        self.all().fold(0.0, |sum, attention| sum + attention.decode(decodes, context))
    }

    /// Microseconds of a token of the context in a decode.
    #[inline]
    pub fn per_context_token(&self) -> f64 {
        self.all().fold(0.0, |sum, attention| sum + attention.decode[1])
    }
}

/// Layers with a state, all of them on one rank.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct State {
    /// Microseconds of a request's state, read and written.
    pub request: f64,
    /// Microseconds of a prompt's token.
    pub token: f64,
}

impl State {
    #[inline]
    pub fn time(&self, requests: f64, prompt_tokens: f64) -> f64 {
        self.request * requests + self.token * prompt_tokens
    }
}

/// Microseconds of launching all layers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Launch {
    /// Prompts alone, within the captured sizes.
    pub prompt: f64,
    /// Prompts beside decodes, within the captured sizes.
    pub mixed: f64,
    /// Beyond the captured sizes, beside decodes.
    pub eager: f64,
    /// The same without decodes.
    pub eager_prompt: f64,
}

/// Two times that hide each other: `(a⁴ + b⁴)^¼`.
#[inline]
pub(super) fn beside(a: f64, b: f64) -> f64 {
    let (a, b) = (a * a, b * b);
    libm::sqrt(libm::sqrt(a * a + b * b))
}

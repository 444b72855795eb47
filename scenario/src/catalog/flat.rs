//! Structs of numbers as one list, for the catalogue that a page loads.
//!
//! Each derived reader of named fields costs some hundred bytes of the page's engine, names in the embedded catalogue come
//! on top, and nobody but programs of one build reads this list. Files have the names.

use super::{AllReduceRate, AttentionRate, CardRates, KernelRate, Provenance, ServerRates, StepTimesSpec};
use alloc::string::String;
use alloc::vec::Vec;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Numbers that are taken one by one.
struct Numbers<'n> {
    left: core::slice::Iter<'n, f64>,
    is_short: bool,
}

impl Numbers<'_> {
    fn next(&mut self) -> f64 {
        self.left.next().copied().unwrap_or_else(|| {
            self.is_short = true;
            0.0
        })
    }
}

/// What is some numbers in a row.
trait Flat: Sized {
    fn take(from: &mut Numbers<'_>) -> Self;
    fn put(&self, to: &mut Vec<f64>);
}

impl Flat for f64 {
    fn take(from: &mut Numbers<'_>) -> Self {
        from.next()
    }

    fn put(&self, to: &mut Vec<f64>) {
        to.push(*self);
    }
}

impl Flat for u32 {
    fn take(from: &mut Numbers<'_>) -> Self {
        u32::try_from(crate::time::truncate(from.next())).unwrap_or_default()
    }

    fn put(&self, to: &mut Vec<f64>) {
        to.push(f64::from(*self));
    }
}

impl<T: Flat, const N: usize> Flat for [T; N] {
    fn take(from: &mut Numbers<'_>) -> Self {
        core::array::from_fn(|_| T::take(from))
    }

    fn put(&self, to: &mut Vec<f64>) {
        self.iter().for_each(|item| item.put(to));
    }
}

/// How many there are, and each.
impl<T: Flat> Flat for Vec<T> {
    fn take(from: &mut Numbers<'_>) -> Self {
        let count = u32::take(from);
        let mut list = Vec::new();
        for _ in 0..count {
            if from.is_short {
                break;
            }
            list.push(T::take(from));
        }
        list
    }

    fn put(&self, to: &mut Vec<f64>) {
        to.push(self.len() as f64);
        self.iter().for_each(|item| item.put(to));
    }
}

/// 0, or 1 and what there is.
impl<T: Flat> Flat for Option<T> {
    fn take(from: &mut Numbers<'_>) -> Self {
        (from.next() > 0.0).then(|| T::take(from))
    }

    fn put(&self, to: &mut Vec<f64>) {
        to.push(if self.is_some() { 1.0 } else { 0.0 });
        self.iter().for_each(|item| item.put(to));
    }
}

/// Both ways for a struct, field by field in the order given; fields behind `;` are no numbers and left as they begin.
macro_rules! flat {
    ($name:ident { $($field:ident),* $(; $($other:ident),*)? }) => {
        impl Flat for $name {
            fn take(from: &mut Numbers<'_>) -> Self {
                Self { $($field: Flat::take(from),)* $($($other: Default::default(),)*)? }
            }

            fn put(&self, to: &mut Vec<f64>) {
                $(self.$field.put(to);)*
            }
        }
    };
}

flat!(KernelRate { compute, memory, fixed_us, sharpness, tile_rows });
flat!(AttentionRate { prompt_compute, prompt_moves, prompt_us, decode_memory, decode_us });
flat!(AllReduceRate { ranks, fixed_us, gb_per_s, root_ns });
flat!(CardRates {
    gemm, gemm_8bit, experts, experts_8bit, experts_4bit, attention, all_reduce, decode_in_server, memory_in_server,
    sustained; accelerator
});
flat!(ServerRates {
    compute,
    all_reduce,
    layer_us,
    layer_moves,
    pass_ns,
    burst_us,
    launch_prompt_us,
    launch_mixed_us,
    launch_eager_us,
    launch_experts_us,
    launch_state_us,
    step_us,
    request_us,
    sync_us,
    state_us,
    state_moves,
    state_token_moves,
    expert_spread,
    experts,
    front_us
});
flat!(StepTimesSpec { cards, server; residuals, provenance });

/// The list with what is no number. Residuals stay in the file: nobody asks a built catalogue for them.
#[derive(Serialize, Deserialize)]
struct Listed {
    accelerators: Vec<String>,
    numbers: Vec<f64>,
    #[serde(default)]
    provenance: Provenance,
}

/// Writes rates as a list.
pub(super) fn serialize<S: Serializer>(spec: &Option<StepTimesSpec>, to: S) -> Result<S::Ok, S::Error> {
    let listed = spec.as_ref().map(|spec| {
        let mut numbers = Vec::new();
        spec.put(&mut numbers);
        let accelerators = spec.cards.iter().map(|card| card.accelerator.clone()).collect();
        Listed { accelerators, numbers, provenance: spec.provenance.clone() }
    });
    listed.serialize(to)
}

/// Reads rates from a list.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<StepTimesSpec>, D::Error> {
    let Some(listed) = Option::<Listed>::deserialize(from)? else { return Ok(None) };
    let mut numbers = Numbers { left: listed.numbers.iter(), is_short: false };
    let mut spec = StepTimesSpec::take(&mut numbers);
    if numbers.is_short || !numbers.left.as_slice().is_empty() || spec.cards.len() != listed.accelerators.len() {
        return Err(D::Error::custom("rates are not as many as wanted"));
    }
    for (card, accelerator) in spec.cards.iter_mut().zip(listed.accelerators) {
        card.accelerator = accelerator;
    }
    spec.provenance = listed.provenance;
    Ok(Some(spec))
}

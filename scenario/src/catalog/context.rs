//! The longest sequence that a model is made for.

use super::ModelSpec;

impl ModelSpec {
    /// The longest context the position embedding serves, tokens; 0 if not stated.
    ///
    /// # Source
    /// Latency specification 5.6.
    #[must_use]
    pub fn longest_context(&self) -> u64 {
        let stated = u64::from(self.max_position_embeddings);
        let Some(rope) = &self.rope_scaling else { return stated };
        let kind = rope.rope_type.to_ascii_lowercase();
        let is_built_in = matches!(kind.as_str(), "su" | "longrope" | "llama3") || self.model_type.contains("gemma3");
        if rope.factor <= 1.0 || is_built_in {
            return stated;
        }
        let base = match (kind.as_str(), rope.original_max_position_embeddings) {
            ("yarn", Some(original)) => u64::from(original),
            _ => stated,
        };
        u64::try_from(crate::time::truncate(base as f64 * rope.factor)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::RopeScaling;

    fn model(max_position_embeddings: u32, rope: Option<(&str, f64, Option<u32>)>, model_type: &str) -> ModelSpec {
        let rope_scaling = rope.map(|(rope_type, factor, original_max_position_embeddings)| RopeScaling {
            rope_type: rope_type.into(),
            factor,
            original_max_position_embeddings,
        });
        let model_type = model_type.into();
        ModelSpec { max_position_embeddings, rope_scaling, model_type, ..ModelSpec::smallest("m") }
    }

    #[test]
    fn rope_scaling_stretches_the_context_except_where_it_is_built_in() {
        for (stated, rope, model_type, expected) in [
            (4096, None, "", 4096),
            (4096, Some(("linear", 2.5, None)), "", 10_240),
            (4096, Some(("linear", 0.5, None)), "", 4096),
            (131_072, Some(("llama3", 8.0, Some(8192))), "", 131_072),
            (4096, Some(("longrope", 32.0, None)), "", 4096),
            (4096, Some(("su", 32.0, None)), "", 4096),
            (163_840, Some(("yarn", 40.0, Some(4096))), "", 163_840),
            (32_768, Some(("YARN", 4.0, None)), "", 131_072),
            (131_072, Some(("linear", 8.0, None)), "gemma3_text", 131_072),
        ] {
            assert_eq!(model(stated, rope, model_type).longest_context(), expected, "{rope:?}");
        }
    }
}

//! Which layers have experts.

use super::builder::Builder;
use super::family::Routing;
use plimsoll_json::Value;

impl Builder<'_, '_> {
    /// Whether this layer has experts, by whatever key the family says it with.
    pub(super) fn is_routed(&mut self, routing: &Routing) -> bool {
        // A list gives the experts of each layer, or those for text and for images.
        let is_listed = self.config.list("num_experts").is_some_and(|list| !list.is_empty());
        if !is_listed && self.config.count_or_0("num_experts") == 0 {
            return false;
        }
        let layer = self.index;
        let listed = self.config.list("mlp_layer_types").and_then(|types| types.get(layer as usize));
        if let Some(Value::Text(name)) = listed {
            return name != "dense";
        }
        if let Some(is_named) = self.config.lists("moe_layers", layer) {
            return is_named;
        }
        // A list of numbers, or a text of them.
        if let Some(is_named) = self.config.lists("moe_layers_enum", layer) {
            return is_named;
        }
        if let Some(numbers) = self.config.text("moe_layers_enum") {
            return numbers.split(',').any(|number| number.trim().parse() == Ok(layer));
        }
        if self.config.lists("mlp_only_layers", layer) == Some(true) {
            return false;
        }
        let next = layer.saturating_add(1);
        let is_multiple = |number: u32, step: u32| number.checked_rem(step).is_none_or(|rest| rest == 0);
        if self.config.list("moe_layer_freq").is_some() {
            return self.config.count_or_0("moe_layer_freq") > 0;
        }
        let first = ["first_k_dense_replace", "num_dense_layers"].into_iter().find_map(|key| self.config.count(key));
        if layer < first.unwrap_or(routing.dense_first) {
            return false;
        }
        if let (Some(period), Some(offset)) =
            (self.config.count("expert_layer_period"), self.config.count("expert_layer_offset"))
        {
            return layer.checked_rem(period) == Some(offset);
        }
        if let Some(interval) = self.config.count("moe_layer_interval") {
            let start = self.config.count_or_0("moe_layer_start_index");
            // −1 is the last layer.
            let end = match self.config.number("moe_layer_end_index") {
                Some(end) if end < 0.0 => u32::MAX,
                _ => self.config.count("moe_layer_end_index").unwrap_or(u32::MAX),
            };
            return is_multiple(next, interval) && (start..=end).contains(&layer);
        }
        let every = self.config.count("moe_layer_freq").is_none_or(|step| is_multiple(layer, step));
        let sparse = ["decoder_sparse_step", "interleave_moe_layer_step"]
            .into_iter()
            .all(|key| self.config.count(key).is_none_or(|step| is_multiple(next, step)));
        every && sparse
    }
}

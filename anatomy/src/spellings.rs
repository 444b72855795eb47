//! Keys that mean the same under other names.

/// A key, and the other names it has in configs, the more usual one first.
const SPELLINGS: &[(&str, &[&str])] = &[
    ("hidden_size", &["n_embd", "n_embed", "d_model", "embed_dim", "emb_dim", "embedding_dim", "model_dim"]),
    (
        "num_hidden_layers",
        &["n_layer", "n_layers", "num_layers", "decoder_layers", "layers", "num_blocks", "num_transformer_layers"],
    ),
    (
        "num_attention_heads",
        &["n_head", "n_heads", "num_heads", "attention_heads", "decoder_attention_heads", "num_query_heads"],
    ),
    (
        "num_key_value_heads",
        &[
            "num_kv_heads",
            "n_head_kv",
            "kv_n_heads",
            "n_kv_heads",
            "multi_query_group_num",
            "num_attention_groups",
            "num_key_value_heads_per_layer",
        ],
    ),
    ("head_dim", &["attention_head_dim", "kv_channels", "dim_head", "head_size"]),
    (
        "intermediate_size",
        &[
            "ffn_hidden_size",
            "n_inner",
            "ffn_dim",
            "dim_ff",
            "block_ff_dim",
            "decoder_ffn_dim",
            "dff",
            "ff_intermediate_size",
        ],
    ),
    ("vocab_size", &["n_token", "padded_vocab_size"]),
    (
        "max_position_embeddings",
        &["n_positions", "model_max_length", "max_seq_len", "seq_length", "context_length", "max_sequence_length"],
    ),
    ("num_experts", &["num_local_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts"]),
    (
        "num_experts_per_tok",
        &[
            "top_k_experts",
            "num_experts_per_token",
            "moe_topk",
            "moe_top_k",
            "moe_k",
            "num_selected_experts",
            "num_experts_per_topk",
        ],
    ),
    ("moe_intermediate_size", &["expert_ffn_hidden_size", "expert_intermediate_size", "moe_ffn_hidden_size"]),
    ("n_shared_experts", &["num_shared_experts", "moe_num_shared_experts", "num_shared_expert"]),
    (
        "shared_expert_intermediate_size",
        &[
            "shared_intermediate_size",
            "moe_shared_expert_intermediate_size",
            "share_expert_dim",
            "share_expert_dims",
            "shared_experts_intermediate_size",
        ],
    ),
    ("swa_num_attention_heads", &["num_sliding_attention_heads"]),
    ("sliding_window", &["sliding_window_size", "attention_window_size", "window_size"]),
    ("layer_types", &["layers_block_type", "block_types", "layer_block_types"]),
    ("attention_bias", &["qkv_bias", "use_qkv_bias", "enable_bias"]),
    ("tie_word_embeddings", &["tie_embedding", "tie_embeddings", "share_input_output_layers"]),
    ("dtype", &["torch_dtype"]),
    (
        "conv_kernel",
        &[
            "conv_kernel_size",
            "mamba_d_conv",
            "d_conv",
            "linear_conv_kernel_dim",
            "conv_L_cache",
            "short_conv_kernel_size",
        ],
    ),
    ("state_size", &["mamba_d_state", "ssm_state_size", "d_state"]),
    ("expand", &["mamba_expand"]),
    ("time_step_rank", &["mamba_dt_rank"]),
    ("mamba_num_heads", &["mamba_n_heads", "n_mamba_heads"]),
    ("mamba_head_dim", &["mamba_d_head", "mamba_headdim"]),
    ("mamba_n_groups", &["n_groups", "mamba_ngroups"]),
    ("use_conv_bias", &["mamba_conv_bias"]),
    ("mamba_proj_bias", &["use_bias"]),
];

/// The other names of a key.
pub(super) fn spellings(key: &str) -> impl Iterator<Item = &'static str> + use<> {
    let found = SPELLINGS.iter().find(|(name, _)| *name == key);
    found.map_or(&[][..], |(_, others)| others).iter().copied()
}

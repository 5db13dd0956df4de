//! The names of tensors: ours are GGUF's; hub files are asked by this table.

/// (our name, the hub's name); `{}` is the layer.
const HUB_NAMES: &[(&str, &str)] = &[
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
    ("blk.{}.attn_norm", "model.layers.{}.input_layernorm"),
    ("blk.{}.attn_q", "model.layers.{}.self_attn.q_proj"),
    ("blk.{}.attn_k", "model.layers.{}.self_attn.k_proj"),
    ("blk.{}.attn_v", "model.layers.{}.self_attn.v_proj"),
    ("blk.{}.attn_output", "model.layers.{}.self_attn.o_proj"),
    ("blk.{}.attn_q_norm", "model.layers.{}.self_attn.q_norm"),
    ("blk.{}.attn_k_norm", "model.layers.{}.self_attn.k_norm"),
    ("blk.{}.ffn_gate", "model.layers.{}.mlp.gate_proj"),
    ("blk.{}.ffn_up", "model.layers.{}.mlp.up_proj"),
    ("blk.{}.ffn_down", "model.layers.{}.mlp.down_proj"),
];

/// Where a sandwich of norms changes what the hub's names mean.
const HUB_NAMES_POST_NORMS: &[(&str, &str)] = &[
    ("blk.{}.post_attention_norm", "model.layers.{}.post_attention_layernorm"),
    ("blk.{}.ffn_norm", "model.layers.{}.pre_feedforward_layernorm"),
    ("blk.{}.post_ffw_norm", "model.layers.{}.post_feedforward_layernorm"),
];

const HUB_NAMES_PRE_NORMS: &[(&str, &str)] =
    &[("blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm")];

/// The hub's name of a tensor, given ours.
pub fn hub_name(name: &str, post_norms: bool) -> Option<String> {
    let norms = if post_norms { HUB_NAMES_POST_NORMS } else { HUB_NAMES_PRE_NORMS };
    let (layer, pattern, suffix) = split(name);
    let (_, hub) = HUB_NAMES.iter().chain(norms).find(|(ours, _)| *ours == pattern)?;
    Some(format!("{}{suffix}", hub.replace("{}", &layer)))
}

/// `blk.7.attn_q.weight` to (`7`, `blk.{}.attn_q`, `.weight`).
fn split(name: &str) -> (String, String, String) {
    let Some(rest) = name.strip_prefix("blk.") else {
        return (String::new(), name.to_owned(), String::new());
    };
    let (layer, rest) = rest.split_once('.').unwrap_or((rest, ""));
    let (tensor, suffix) = rest.rsplit_once('.').map_or((rest, String::new()), |(t, s)| (t, format!(".{s}")));
    (layer.to_owned(), format!("blk.{{}}.{tensor}"), suffix)
}

//! The names of tensors: ours are GGUF's; hub files are asked by a table.

/// (our name, the hub's name) without `.weight` or `.bias`; `{}` is the layer.
pub type Names = &'static [(&'static str, &'static str)];

/// What most decoders on the hub call their tensors. A family's own table comes before it.
const COMMON: Names = &[
    ("token_embd", "model.embed_tokens"),
    ("output_norm", "model.norm"),
    ("output", "lm_head"),
    ("blk.{}.attn_norm", "model.layers.{}.input_layernorm"),
    ("blk.{}.attn_q", "model.layers.{}.self_attn.q_proj"),
    ("blk.{}.attn_k", "model.layers.{}.self_attn.k_proj"),
    ("blk.{}.attn_v", "model.layers.{}.self_attn.v_proj"),
    ("blk.{}.attn_output", "model.layers.{}.self_attn.o_proj"),
    ("blk.{}.attn_q_norm", "model.layers.{}.self_attn.q_norm"),
    ("blk.{}.attn_k_norm", "model.layers.{}.self_attn.k_norm"),
    ("blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm"),
    ("blk.{}.ffn_gate", "model.layers.{}.mlp.gate_proj"),
    ("blk.{}.ffn_up", "model.layers.{}.mlp.up_proj"),
    ("blk.{}.ffn_down", "model.layers.{}.mlp.down_proj"),
];

/// The hub's name of a tensor, given ours.
pub fn hub_name(own: Names, name: &str) -> Option<String> {
    let (layer, pattern, suffix) = split(name);
    let (_, hub) = own.iter().chain(COMMON).find(|(ours, _)| *ours == pattern)?;
    Some(format!("{}{suffix}", hub.replace("{}", &layer)))
}

/// `blk.7.attn_q.weight` to (`7`, `blk.{}.attn_q`, `.weight`).
fn split(name: &str) -> (String, String, String) {
    let (stem, suffix) =
        name.rsplit_once('.').map_or((name, String::new()), |(s, end)| (s, format!(".{end}")));
    match stem.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) {
        Some((layer, tensor)) => (layer.to_owned(), format!("blk.{{}}.{tensor}"), suffix),
        None => (String::new(), stem.to_owned(), suffix),
    }
}

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

/// The names that the hub may have for a tensor, given ours: those of the family's table, which may
/// also name a whole tensor with its suffix, or the common one.
pub fn hub_names(own: Names, name: &str) -> Vec<String> {
    let (layer, pattern, suffix) = split(name);
    if let Some((_, hub)) = own.iter().find(|(ours, _)| *ours == name) {
        return vec![(*hub).to_owned()];
    }
    let named = |names: Names| -> Vec<String> {
        let hubs = names.iter().filter(|(ours, _)| *ours == pattern);
        hubs.map(|(_, hub)| format!("{}{suffix}", hub.replace("{}", &layer))).collect()
    };
    let found = named(own);
    if found.is_empty() { named(COMMON) } else { found }
}

/// `blk.7.attn_q.weight` to (`7`, `blk.{}.attn_q`, `.weight`); likewise `enc.blk.7.attn_q.weight`.
fn split(name: &str) -> (String, String, String) {
    let (stem, suffix) =
        name.rsplit_once('.').map_or((name, String::new()), |(s, end)| (s, format!(".{end}")));
    let after = stem.find("blk.").map(|at| at + 4).filter(|&after| after == 4 || after == 8);
    match after.and_then(|after| stem[after..].split_once('.').map(|rest| (&stem[..after], rest))) {
        Some((before, (layer, tensor))) => (layer.to_owned(), format!("{before}{{}}.{tensor}"), suffix),
        None => (String::new(), stem.to_owned(), suffix),
    }
}

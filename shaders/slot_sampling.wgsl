// How the next token of a slot is chosen. Mirrors SlotSampling in src/kernels/sampling.rs.
struct SlotSampling {
    temperature: f32,
    top_p: f32,
    min_p: f32,
    repetition_penalty: f32,
    presence_penalty: f32,
    frequency_penalty: f32,
    top_k: u32,
    // Tokens that the penalties look back on.
    n_recent: u32,
    seed: u32,
    // Added to the logits of a keyed share of the vocabulary; 0 marks nothing.
    watermark_delta: f32,
    watermark_gamma: f32,
    watermark_key_low: u32,
    watermark_key_high: u32,
}

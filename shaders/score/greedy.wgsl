// Plays `score`: the logit itself, so that the likeliest column wins.
struct Scorer {
    unused: u32,
}

fn scorer(row: u32) -> Scorer {
    return Scorer(row);
}

fn score(s: Scorer, logits: vec4<f32>, columns: vec4<u32>) -> vec4<f32> {
    return logits;
}

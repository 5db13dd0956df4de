// Plays `mask`: a token sees every position of its range.

fn visible(position: vec4<u32>, own: u32) -> vec4<bool> {
    return vec4<bool>(true);
}

fn next_group(p: u32, own: u32) -> u32 {
    return p;
}

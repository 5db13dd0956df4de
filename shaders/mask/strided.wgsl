// Plays `mask`: a token sees the last `stride` positions, and every stride-th before them.
//
//   visible(j) = own - j < stride  or  (own - j) mod stride = 0        j <= own
//
// Source: Child et al. 2019, arXiv:1904.10509, section 4.3 (strided), both sets in one head.

fn visible(position: vec4<u32>, own: u32) -> vec4<bool> {
    let distance = vec4<u32>(own) - position;
    return (position <= vec4<u32>(own))
        & ((distance < vec4<u32>(params.stride)) | (distance % params.stride == vec4<u32>(0u)));
}

// The first group of 4 positions from p on in which one is visible, or one past the token's own.
fn next_group(p: u32, own: u32) -> u32 {
    let local = own - min(own, params.stride - 1u);
    if p + 3u >= local {
        return p;
    }
    return min(p + (own - p) % params.stride, local) & 0xFFFFFFFCu;
}

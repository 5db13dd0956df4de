// Plays `mask`: a token sees its own block of `stride` positions, and of each block before it the last
// `summary`.
//
//   visible(j) = j / stride = own / stride  or  j mod stride >= stride - summary        j <= own
//
// Source: Child et al. 2019, arXiv:1904.10509, section 4.3 (fixed), both sets in one head.

fn visible(position: vec4<u32>, own: u32) -> vec4<bool> {
    let block = own / params.stride * params.stride;
    return (position <= vec4<u32>(own))
        & ((position >= vec4<u32>(block))
            | (position % params.stride >= vec4<u32>(params.stride - params.summary)));
}

// The first group of 4 positions from p on in which one is visible, or one past the token's own.
fn next_group(p: u32, own: u32) -> u32 {
    let block = own / params.stride * params.stride;
    let in_block = p % params.stride;
    let first = params.stride - params.summary;
    if p + 3u >= block || in_block >= first {
        return p;
    }
    return min(p + first - in_block, block) & 0xFFFFFFFCu;
}

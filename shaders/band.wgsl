// Where the parts of a packed weight lie.
//
//   [band of 32 rows][tile of 8 blocks][what the format keeps of the band and a tile]
//   quants by rows:  [pair of rows 0..2][group of 4 rows][row of the pair][part][block of the tile], units of
//                    one vec4<u32>, n_parts to a block
//   per block:       [group][block of the tile]
//   per super-block: [group], since a tile is one
//
// The last tile of a band is as wide as there are blocks left. The 8 lanes of a cluster take the blocks of a
// tile, a pair (pair.wgsl) of all groups after the other, and thus read memory from end to end: what memory
// fetches ahead is what comes next. Rows are padded to whole bands.

const BAND_GROUPS: u32 = 8u;

// Blocks of the tile that `block` lies in.
fn tile_width(block: u32, n_blocks: u32) -> u32 {
    return min(8u, n_blocks - (block & 0xFFFFFFF8u));
}

// The first unit of the tile that `block` of `group` lies in, in a plane per block.
fn tile_first(group: u32, block: u32, n_blocks: u32) -> u32 {
    return BAND_GROUPS * (group / BAND_GROUPS * n_blocks + (block & 0xFFFFFFF8u));
}

// `block` of `group` in a plane per block.
fn block_unit(group: u32, block: u32, n_blocks: u32) -> u32 {
    let width = tile_width(block, n_blocks);
    return tile_first(group, block, n_blocks) + group % BAND_GROUPS * width + (block & 7u);
}

// The super-block of `block` of `group` in a plane per super-block.
fn super_unit(group: u32, block: u32, n_blocks: u32) -> u32 {
    return BAND_GROUPS * (group / BAND_GROUPS * ((n_blocks + 7u) >> 3u) + (block >> 3u)) + group % BAND_GROUPS;
}

// Part 0 of `block` in the first row of `pair` of `group`. The next part is a tile's width on, the next row
// n_parts of them.
fn tile_pair(group: u32, pair: u32, block: u32, n_blocks: u32, n_parts: u32) -> u32 {
    let before = 2u * (pair * BAND_GROUPS + group % BAND_GROUPS) * tile_width(block, n_blocks);
    return n_parts * (4u * tile_first(group, block, n_blocks) + before) + (block & 7u);
}

// A part of `block` in any row.
fn tile_unit(row: u32, block: u32, n_blocks: u32, part: u32, n_parts: u32) -> u32 {
    return tile_pair(row >> 2u, (row >> 1u) & 1u, block, n_blocks, n_parts)
        + ((row & 1u) * n_parts + part) * tile_width(block, n_blocks);
}

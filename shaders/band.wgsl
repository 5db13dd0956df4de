// Where the parts of a packed weight lie.
//
//   [band of 16 rows][tile of 8 blocks][group of 4 rows][what the format keeps of 4 rows and a tile]
//   quants by rows:  [row 0..4][part][block of the tile], units of one vec4<u32>, n_parts to a block
//   per block:       [block of the tile]
//   per super-block: one, which is a tile
//
// The last tile of a band is as wide as there are blocks left. The 8 lanes of a cluster take the
// blocks of a tile, 4 groups after one another, and thus read memory from end to end: what memory
// fetches ahead is what comes next. Rows are padded to whole bands.

// Blocks of the tile that `block` lies in.
fn tile_width(block: u32, n_blocks: u32) -> u32 {
    return min(8u, n_blocks - (block & 0xFFFFFFF8u));
}

// `block` of `group` in a plane per block.
fn block_unit(group: u32, block: u32, n_blocks: u32) -> u32 {
    let tile = 4u * ((group >> 2u) * n_blocks + (block & 0xFFFFFFF8u));
    return tile + (group & 3u) * tile_width(block, n_blocks) + (block & 7u);
}

// The super-block of `block` of `group` in a plane per super-block.
fn super_unit(group: u32, block: u32, n_blocks: u32) -> u32 {
    return 4u * ((group >> 2u) * ((n_blocks + 7u) >> 3u) + (block >> 3u)) + (group & 3u);
}

// Part 0 of `block` in row 0 of `group`. The next part is a tile's width on, the next row n_parts of them.
fn tile_first(group: u32, block: u32, n_blocks: u32, n_parts: u32) -> u32 {
    return 4u * n_parts * (block_unit(group, block, n_blocks) - (block & 7u)) + (block & 7u);
}

// A part of `block` in any row.
fn tile_unit(row: u32, block: u32, n_blocks: u32, part: u32, n_parts: u32) -> u32 {
    return tile_first(row >> 2u, block, n_blocks, n_parts)
        + ((row & 3u) * n_parts + part) * tile_width(block, n_blocks);
}

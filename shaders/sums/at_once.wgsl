// Plays `sums`: products are added over the lanes as soon as they are made, and a lane keeps the sums
// that it will write, or that lanes next to it will. For a multiple of 4 units, which are the ABREAST groups
// that a product takes a part of. Every row and token is summed in the same order whatever COLS and GROUPS are.
//
//   while it runs   bit 2 of a lane is the highest bit of its token, bits 0, 1 are the token's other bits
//                   where it has these, else the lowest bits of the unit
//   at the end      bits 0, 1 of a lane are the lowest bits of the group
//
// HALF is COLS / 2, or 1: value HALF m + n of a lane is of units 4 m .. 4 m + 4.
import package::cluster::{Lane, cluster_swap4, lane_of};
import package::config::{ABREAST, COLS, HALF, HALF_1, KEPT, PARTS, STRIDE, SWAPS_1, SWAPS_2, TOTALS};
import package::kept_sums::Sums;
import package::rows::{Rows, cluster_pair, whole};

// Adds the lanes' products, each with its own `unit`: first, first + by, ... before end, or none of
// them. All lanes must call it, with the same first, end and by.
fn add_products(
    sums: ptr<function, Sums>,
    products: ptr<function, array<Rows, COLS>>,
    unit: u32,
    first: u32,
    end: u32,
    by: u32,
    lane: Lane,
) {
    for (var u = first; u < end; u += by) {
        var by_4: array<Rows, HALF>;
        for (var i = 0u; i < HALF; i++) { // unroll
            let a = select(Rows(0.0), (*products)[i], unit == u);
            let b = select(Rows(0.0), (*products)[(i + HALF) % COLS], unit == u);
            by_4[i] = cluster_pair(a, b, 4u, lane);
        }
        var by_1: array<Rows, HALF_1>;
        for (var i = 0u; i < HALF_1; i++) { // unroll
            by_1[i] = cluster_pair(by_4[2u * i % HALF], by_4[(2u * i + 1u) % HALF], 1u, lane);
        }
        let sum = cluster_pair(by_1[0], by_1[HALF_1 - 1u], 2u, lane);
        // The lane bits that are not of the token.
        let own = lane_of(lane) & (4u - HALF);
        for (var i = 0u; i < KEPT; i++) { // unroll
            (*sums).values[i] += select(Rows(0.0), sum, ((4u * (i / HALF) + i % HALF) | own) == u);
        }
    }
}

// Over all lanes; `place` says of what. All lanes must call it.
fn totals(sums: ptr<function, Sums>, lane: Lane) -> array<vec4<f32>, TOTALS> {
    var all: array<vec4<f32>, TOTALS>;
    for (var i = 0u; i < KEPT; i++) { // unroll
        var groups = whole((*sums).values[i], (*sums).values[(PARTS - 1u) * KEPT + i]);
        for (var k = 0u; k < ABREAST; k++) { // unroll
            all[ABREAST * i + k] = groups[k];
        }
    }
    // Where a lane's bits 0 and 1 are not those of the group, they change places with these.
    for (var j = 0u; j < SWAPS_1; j++) { // unroll
        let swapped = cluster_swap4(all[2u * j], all[2u * j + 1u], 1u, lane);
        all[2u * j] = swapped[0];
        all[2u * j + 1u] = swapped[1];
    }
    for (var j = 0u; j < SWAPS_2; j++) { // unroll
        let swapped = cluster_swap4(all[2u * j - j % STRIDE], all[2u * j - j % STRIDE + STRIDE], 2u, lane);
        all[2u * j - j % STRIDE] = swapped[0];
        all[2u * j - j % STRIDE + STRIDE] = swapped[1];
    }
    return all;
}

// The group and token of element i of a lane. COLS or more: of none.
fn place(i: u32, lane: Lane) -> vec2<u32> {
    let index = lane_of(lane);
    return vec2<u32>(4u * (i / HALF) + (index & 3u), i % HALF + HALF * (index >> 2u));
}

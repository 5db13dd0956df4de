// Plays `sums`: products are added over the lanes as soon as they are made, and a lane keeps the sums
// that it will write: value c * GROUPS + g (the 4 rows of group g, token c) is element v / 8 of lane
// v % 8. For a multiple of 4 groups. Every row and token is summed in the same order whatever COLS and
// GROUPS are.
import package::cluster::{Lane, cluster_pair4, lane_of};
import package::config::{COLS, GROUPS, VALUES_4};
import package::kept_sums::Sums;

// Adds the lanes' products, each with its own `group`: first, first + by, ... before end, or none of
// them. All lanes must call it, with the same first, end and by.
fn add_products(
    sums: ptr<function, Sums>,
    products: ptr<function, array<vec4<f32>, COLS>>,
    group: u32,
    first: u32,
    end: u32,
    by: u32,
    lane: Lane,
) {
    for (var g = first; g < end; g += by) {
        for (var i = 0u; i < VALUES_4; i++) { // unroll
            // The tokens of lanes 0..4 and 4..8.
            let low = (8u * i / GROUPS) % COLS;
            let high = ((8u * i + 4u) / GROUPS) % COLS;
            let a = select(vec4<f32>(0.0), (*products)[low], group == g);
            let b = select(vec4<f32>(0.0), (*products)[high], group == g);
            let by_4 = cluster_pair4(a, b, 4u, lane);
            let by_1 = cluster_pair4(by_4, by_4, 1u, lane);
            let by_2 = cluster_pair4(by_1, by_1, 2u, lane);
            (*sums).values[i] += select(vec4<f32>(0.0), by_2, (8u * i + lane_of(lane)) % GROUPS == g);
        }
    }
}

// Over all lanes: value 8 i + index in element i of a lane.
fn totals(sums: ptr<function, Sums>, lane: Lane) -> array<vec4<f32>, VALUES_4> {
    return (*sums).values;
}

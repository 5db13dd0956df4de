// Plays `sums`: each lane adds up what it multiplies of every row and token, and the lanes are added
// when all is multiplied. Value c * GROUPS + g: the 4 rows of group g, token c.
import package::cluster::{Lane, cluster_pair4, lane_of};
import package::config::{COLS, GROUPS, TOTALS, VALUES, VALUES_1, VALUES_2};
import package::kept_sums::Sums;
import package::rows::Rows;

// Adds a lane's products with unit `unit`, a group, if that is one of GROUPS.
fn add_products(
    sums: ptr<function, Sums>,
    products: ptr<function, array<Rows, COLS>>,
    unit: u32,
    first: u32,
    end: u32,
    by: u32,
    lane: Lane,
) {
    for (var g = 0u; g < GROUPS; g++) { // unroll
        for (var c = 0u; c < COLS; c++) { // unroll
            (*sums).values[c * GROUPS + g] += select(vec4<f32>(0.0), (*products)[c], unit == g);
        }
    }
}

// Over all lanes: value 8 i + lane in element i of a lane. All lanes must call it. The number of values is
// halved at each step.
fn totals(sums: ptr<function, Sums>, lane: Lane) -> array<vec4<f32>, TOTALS> {
    var by_1: array<vec4<f32>, VALUES_1>;
    for (var i = 0u; i < VALUES_1; i++) { // unroll
        by_1[i] = cluster_pair4((*sums).values[(2u * i) % VALUES], (*sums).values[(2u * i + 1u) % VALUES], 1u, lane);
    }
    var by_2: array<vec4<f32>, VALUES_2>;
    for (var i = 0u; i < VALUES_2; i++) { // unroll
        by_2[i] = cluster_pair4(by_1[(2u * i) % VALUES_1], by_1[(2u * i + 1u) % VALUES_1], 2u, lane);
    }
    var by_4: array<vec4<f32>, TOTALS>;
    for (var i = 0u; i < TOTALS; i++) { // unroll
        by_4[i] = cluster_pair4(by_2[(2u * i) % VALUES_2], by_2[(2u * i + 1u) % VALUES_2], 4u, lane);
    }
    return by_4;
}

// The group and token of element i of a lane. COLS or more: of none.
fn place(i: u32, lane: Lane) -> vec2<u32> {
    let value = 8u * i + lane_of(lane);
    return vec2<u32>(value % GROUPS, value / GROUPS);
}

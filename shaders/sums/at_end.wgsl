// Plays `sums`: each lane adds up what it multiplies of every row and token, and the lanes are added
// when all is multiplied. Value c * GROUPS + g: the 4 rows of group g, token c.
import package::cluster::{Lane, cluster_pair4};
import package::config::{COLS, GROUPS, VALUES, VALUES_1, VALUES_2, VALUES_4};
import package::kept_sums::Sums;

// Adds a lane's products with `group`, if that is one of GROUPS.
fn add_products(
    sums: ptr<function, Sums>,
    products: ptr<function, array<vec4<f32>, COLS>>,
    group: u32,
    first: u32,
    end: u32,
    by: u32,
    lane: Lane,
) {
    for (var g = 0u; g < GROUPS; g++) { // unroll
        for (var c = 0u; c < COLS; c++) { // unroll
            (*sums).values[c * GROUPS + g] += select(vec4<f32>(0.0), (*products)[c], group == g);
        }
    }
}

// Over all lanes: value 8 i + index in element i of a lane. All lanes must call it. The number of values
// is halved at each step.
fn totals(sums: ptr<function, Sums>, lane: Lane) -> array<vec4<f32>, VALUES_4> {
    var by_1: array<vec4<f32>, VALUES_1>;
    for (var i = 0u; i < VALUES_1; i++) { // unroll
        by_1[i] = cluster_pair4((*sums).values[(2u * i) % VALUES], (*sums).values[(2u * i + 1u) % VALUES], 1u, lane);
    }
    var by_2: array<vec4<f32>, VALUES_2>;
    for (var i = 0u; i < VALUES_2; i++) { // unroll
        by_2[i] = cluster_pair4(by_1[(2u * i) % VALUES_1], by_1[(2u * i + 1u) % VALUES_1], 2u, lane);
    }
    var by_4: array<vec4<f32>, VALUES_4>;
    for (var i = 0u; i < VALUES_4; i++) { // unroll
        by_4[i] = cluster_pair4(by_2[(2u * i) % VALUES_2], by_2[(2u * i + 1u) % VALUES_2], 4u, lane);
    }
    return by_4;
}

// Plays `after`: the last cluster of a residual product to finish normalises the whole result, so that
// no launch of its own is spent on that.
//
//   normed[t, c] = gain[c] * y[t, c] / sqrt(mean_c(y[t, c]^2) + EPS)
//
// `arrivals` counts the clusters that are done and is left at zero. Only for drivers whose workgroups are
// threads of one process: there, what others wrote before they counted themselves is seen. WGSL's
// atomics alone promise that to none.
// Source: Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4.
import package::cluster::{Lane, lane_of, cluster_sum};
import package::config::{CLUSTERS, COLS, EPS, GROUPS};
import package::epilogue::y;
import package::real::{real4, to_real4};

@group(0) @binding(3) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> normed: array<real4>;
@group(0) @binding(5) var<storage, read_write> arrivals: array<atomic<u32>>;

// `a / b`, rounded up.
fn ceil_div(a: u32, b: u32) -> u32 {
    return (a + b - 1u) / b;
}

fn after(lane: Lane) {
    let index = lane_of(lane);
    var arrived = 0u;
    if index == 0u {
        arrived = atomicAdd(&arrivals[0], 1u) + 1u;
    }
    let columns = ceil_div(params.n_groups, GROUPS * CLUSTERS) * CLUSTERS;
    let n_clusters = columns * ceil_div(params.n_tokens, COLS);
    let is_last = cluster_sum(f32(arrived), lane) == f32(n_clusters);

    let n_quads = params.n_groups;
    let n_tokens = select(0u, params.n_tokens, is_last);
    for (var t = 0u; t < n_tokens; t++) {
        let row = t * params.y_pitch;
        var squares = 0.0;
        for (var c = index; c < n_quads; c += 8u) {
            let value = y[row + c];
            squares += dot(value, value);
        }
        let mean = cluster_sum(squares, lane) / f32(4u * n_quads);
        let scale = inverseSqrt(mean + EPS);
        for (var c = index; c < n_quads; c += 8u) {
            normed[t * n_quads + c] = to_real4(gain[c] * (y[row + c] * scale));
        }
    }
    if is_last && index == 0u {
        atomicStore(&arrivals[0], 0u);
    }
}

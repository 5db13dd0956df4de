// Lets each expert serve a sequence's first `capacity` tokens; those after it get nothing from it.
//
//   shares[t] = 0 where n >= capacity, n = how many t' < t of the same slot have experts[t'] = experts[t]
//
// experts, shares: (n_tokens, 1)    slots: (n_tokens)
//
// One lane per token, which looks at all before it: there are few, and only encoders ask.
// Source: Fedus et al. 2021, arXiv:2101.03961, section 2.2.
import package::config::WG_SIZE;

struct Params {
    n_tokens: u32,
    pitch: u32,
    capacity: u32,
}

@group(0) @binding(0) var<storage, read> experts: array<u32>;
@group(0) @binding(1) var<storage, read> slots: array<u32>;
@group(0) @binding(2) var<storage, read_write> shares: array<f32>;

@compute @workgroup_size(WG_SIZE)
fn expert_capacity(@builtin(global_invocation_id) id: vec3<u32>) {
    let token = id.x;
    if token >= params.n_tokens {
        return;
    }
    var n = 0u;
    for (var t = 0u; t < token; t++) {
        let same = slots[t] == slots[token] && experts[t * params.pitch] == experts[token * params.pitch];
        n += select(0u, 1u, same);
    }
    if n >= params.capacity {
        shares[token * params.pitch] = 0.0;
    }
}

//! The roles that shaders name, and the files that play them.

use crate::gpu::Caps;
use crate::graph::{Dtype, Role, Tensor, Wgsl, wgsl};

/// How activations are stored: the matrix products' inputs. Everything else is f32.
pub static REAL: Role = Role {
    name: "real",
    files: || vec![("f32", wgsl!("real/f32")), ("f16", wgsl!("real/f16")), ("q8", wgsl!("real/q8"))],
};

/// The input of a matrix product, by blocks of 32.
pub static INPUT: Role = Role {
    name: "input",
    files: || {
        vec![
            ("f32", wgsl!("input/f32")),
            ("f16", wgsl!("input/f16")),
            ("octets", wgsl!("input/octets")),
            ("q8", wgsl!("input/q8")),
        ]
    },
};

/// The file that plays [`INPUT`] for `x`.
pub fn input(x: Tensor) -> &'static str {
    if x.texel.is_some() && x.dtype == Dtype::F16 { "octets" } else { real_name(x.dtype) }
}

/// How a block of a weight is multiplied with one of each token.
pub static DOTS: Role = Role {
    name: "dots",
    files: || {
        vec![("floats", wgsl!("dots/floats")), ("pairs", wgsl!("dots/pairs")), ("bytes", wgsl!("dots/bytes"))]
    },
};

/// How many rows of a weight a matrix product takes at once.
pub static ROWS: Role = Role {
    name: "rows",
    files: || {
        vec![("two", wgsl!("rows/two")), ("across", wgsl!("rows/across")), ("four", wgsl!("rows/four"))]
    },
};

/// The input of a matrix product, by quads.
pub static ACTIVATIONS: Role = Role {
    name: "activations",
    files: || vec![("f32", wgsl!("activations/f32")), ("f16", wgsl!("activations/f16"))],
};

/// What a matrix product keeps in workgroup memory.
pub static TILE: Role =
    Role { name: "tile", files: || vec![("f32", wgsl!("tile/f32")), ("f16", wgsl!("tile/f16"))] };

/// The size of cooperative matrices.
pub static COOP: Role = Role {
    name: "coop",
    files: || vec![("size_16", wgsl!("coop/size_16")), ("size_8", wgsl!("coop/size_8"))],
};

/// The bytes of a weight, for products of bytes; by the names of formats.
pub static QUANTS: Role = Role {
    name: "quants",
    files: || {
        vec![
            ("Q8_0", wgsl!("quants/q8_0")),
            ("Q4_0", wgsl!("quants/q4_0")),
            ("Q4_1", wgsl!("quants/q4_1")),
            ("Q5_0", wgsl!("quants/q5_0")),
            ("Q5_1", wgsl!("quants/q5_1")),
            ("Q2_K", wgsl!("quants/q2_k")),
            ("Q3_K", wgsl!("quants/q3_k")),
            ("Q4_K", wgsl!("quants/q4_k")),
            ("Q5_K", wgsl!("quants/q5_k")),
            ("Q6_K", wgsl!("quants/q6_k")),
            ("IQ4_NL", wgsl!("quants/iq4_nl")),
            ("MXFP4", wgsl!("quants/mxfp4")),
        ]
    },
};

/// How the lanes of a workgroup add up.
pub static LANES: Role = Role {
    name: "lanes",
    files: || {
        vec![
            ("cluster", wgsl!("lanes/cluster")),
            ("subgroup", wgsl!("lanes/subgroup")),
            ("shared", wgsl!("lanes/shared")),
        ]
    },
};

/// How 8 lanes add up.
pub static CLUSTER: Role = Role {
    name: "cluster",
    files: || vec![("shuffle", wgsl!("cluster/shuffle")), ("shared", wgsl!("cluster/shared"))],
};

/// When the lanes of a cluster add up what each has multiplied.
pub static SUMS: Role = Role {
    name: "sums",
    files: || vec![("at_end", wgsl!("sums/at_end")), ("at_once", wgsl!("sums/at_once"))],
};

/// What a matrix product does with its result.
pub static EPILOGUE: Role = Role {
    name: "epilogue",
    files: || {
        vec![
            ("store", wgsl!("epilogue/store")),
            ("residual", wgsl!("epilogue/residual")),
            ("activate", wgsl!("epilogue/activate")),
            ("gated", wgsl!("epilogue/gated")),
        ]
    },
};

/// What a matrix product does when all of it is done.
pub static AFTER: Role = Role {
    name: "after",
    files: || vec![("nothing", wgsl!("after/nothing")), ("rms_norm", wgsl!("after/rms_norm"))],
};

/// How keys and values are read from the cache.
pub static KV_READ: Role = Role {
    name: "kv_read",
    files: || {
        vec![
            ("f32", wgsl!("kv_read/f32")),
            ("f16", wgsl!("kv_read/f16")),
            ("f16_octets", wgsl!("kv_read/f16_octets")),
            ("q8", wgsl!("kv_read/q8")),
        ]
    },
};

/// How keys and values are written to the cache.
pub static KV_WRITE: Role = Role {
    name: "kv_write",
    files: || {
        vec![
            ("f32", wgsl!("kv_write/f32")),
            ("f16", wgsl!("kv_write/f16")),
            ("f16_octets", wgsl!("kv_write/f16_octets")),
            ("q8", wgsl!("kv_write/q8")),
        ]
    },
};

/// How lanes share out the work on a span of attention.
pub static ATTEND: Role = Role {
    name: "attend",
    files: || {
        vec![("by_dimensions", wgsl!("attend/by_dimensions")), ("by_positions", wgsl!("attend/by_positions"))]
    },
};

/// Which positions a token sees of those it could.
pub static MASK: Role = Role {
    name: "mask",
    files: || {
        vec![
            ("dense", wgsl!("mask/dense")),
            ("strided", wgsl!("mask/strided")),
            ("fixed", wgsl!("mask/fixed")),
        ]
    },
};

/// The stored format of a weight.
pub static WEIGHT: Role = Role {
    name: "weight",
    files: || {
        let formats = crate::tensor::FORMATS.iter();
        formats.map(|format| (format.name, Wgsl { path: format.wgsl.0, text: format.wgsl.1 })).collect()
    },
};

/// What makes a column the best of its row.
pub static SCORE: Role = Role {
    name: "score",
    files: || vec![("greedy", wgsl!("score/greedy")), ("sampled", wgsl!("score/sampled"))],
};

pub static ACTIVATION: Role = Role {
    name: "activation",
    files: || {
        vec![
            ("identity", wgsl!("activation/identity")),
            ("relu", wgsl!("activation/relu")),
            ("silu", wgsl!("activation/silu")),
            ("gelu", wgsl!("activation/gelu")),
            ("gelu_tanh", wgsl!("activation/gelu_tanh")),
            ("gelu_quick", wgsl!("activation/gelu_quick")),
            ("tanh", wgsl!("activation/tanh")),
        ]
    },
};

/// An element-wise function between two layers of a feed-forward network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    Identity,
    Relu,
    Silu,
    /// With the error function.
    Gelu,
    /// With tanh.
    GeluTanh,
    /// With a logistic function of 1.702 x.
    GeluQuick,
    Tanh,
}

impl Activation {
    pub const ALL: [Activation; 7] = [
        Activation::Identity,
        Activation::Relu,
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::GeluQuick,
        Activation::Tanh,
    ];

    /// The name of its file.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Identity => "identity",
            Activation::Relu => "relu",
            Activation::Silu => "silu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_tanh",
            Activation::GeluQuick => "gelu_quick",
            Activation::Tanh => "tanh",
        }
    }

    /// The function, for twins. `None` for a name that is none of these.
    pub fn by_name(name: &str) -> Option<Activation> {
        Activation::ALL.into_iter().find(|activation| activation.name() == name)
    }

    /// f(x) in f64.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Activation::Identity => x,
            Activation::Relu => x.max(0.0),
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Gelu => 0.5 * x * erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
            Activation::GeluTanh => {
                let z = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + z.tanh())
            }
            Activation::GeluQuick => x / (1.0 + (-1.702 * x).exp()),
            Activation::Tanh => x.tanh(),
        }
    }
}

/// 2/sqrt(pi) * integral of exp(-t^2) from z to infinity, by series and by continued fraction
/// (Abramowitz & Stegun 7.1.6 and 7.1.14).
fn erfc(z: f64) -> f64 {
    let a = z.abs();
    let tail = if a < 2.5 {
        let (mut term, mut sum) = (a, a);
        for n in 1..100 {
            term *= 2.0 * a * a / f64::from(2 * n + 1);
            sum += term;
        }
        1.0 - 2.0 / std::f64::consts::PI.sqrt() * (-a * a).exp() * sum
    } else {
        let mut fraction = 0.0;
        for n in (1..60).rev() {
            fraction = f64::from(n) / 2.0 / (a + fraction);
        }
        (-a * a).exp() / std::f64::consts::PI.sqrt() / (a + fraction)
    };
    if z < 0.0 { 2.0 - tail } else { tail }
}

/// The name of the file that stores activations of `dtype`, for the roles `real` and `input`.
pub fn real_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F16 => "f16",
        Dtype::Q8Sums => "q8",
        _ => "f32",
    }
}

/// How workgroups add up on this device, and how many lanes they have.
pub fn lanes(caps: &Caps) -> (&'static str, u32) {
    match (caps.software(), caps.clusters()) {
        (true, true) => ("cluster", 8),
        // Barriers are slow there, so a workgroup is as small as it can be.
        (true, false) => ("shared", 8),
        (false, _) if caps.subgroup_max > 0 => ("subgroup", 128),
        (false, _) => ("shared", 128),
    }
}

/// Every way that `lanes` can be played on this device, for tests.
pub fn lanes_variants(caps: &Caps) -> Vec<(&'static str, u32)> {
    let mut variants = vec![("shared", 64)];
    if caps.subgroup_max > 0 {
        variants.push(("subgroup", 64));
    }
    if caps.clusters() {
        variants.push(("cluster", 8));
    }
    variants
}

/// How clusters of 8 lanes exchange values on this device.
pub fn cluster(caps: &Caps) -> &'static str {
    if caps.clusters() { "shuffle" } else { "shared" }
}

/// Every way that `cluster` can be played on this device, for tests.
pub fn cluster_variants(caps: &Caps) -> Vec<&'static str> {
    if caps.clusters() { vec!["shuffle", "shared"] } else { vec!["shared"] }
}

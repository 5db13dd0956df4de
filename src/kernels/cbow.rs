//! Continuous bag of words with negative sampling. The maths is in `shaders/cbow.wgsl`.

use super::roles::{self, CLUSTER};
use super::skip_gram::{TileParams, Training, Values, random_training, run_twin, sigmoid, softplus};
use super::tiles::{Objective, TileShape};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Sizes};
use crate::graph::{Call, Case, Graph, Kernel, wgsl};

pub static CBOW: Kernel =
    Kernel { name: "cbow", wgsl: wgsl!("cbow"), roles: &[&CLUSTER], params: TileParams::LAYOUT, twin, cases };

/// Centres of a tile, one per lane.
const CENTRES: usize = 8;

/// Records the tiles of batch `batch`. `n_drawn`: the negatives that each centre meets, as a sum of
/// weights.
pub fn cbow(g: &mut Graph, shape: &TileShape, t: &Training, batch: usize, n_drawn: usize) -> Result<()> {
    let cluster = roles::cluster(g.caps());
    record(g, shape, t, batch, n_drawn, cluster)
}

fn record(
    g: &mut Graph,
    shape: &TileShape,
    t: &Training,
    batch: usize,
    n_drawn: usize,
    cluster: &'static str,
) -> Result<()> {
    let (quads, tail) = shape.per_lane();
    g.launch(&CBOW)
        .role(&CLUSTER, cluster)
        // Arrays have at least one element.
        .config("CENTRE_QUADS", (CENTRES as u32 * quads).max(1))
        .config("CENTRE_TAILS", (CENTRES as u32 * tail).max(1))
        .config("CLUSTERS", shape.clusters as u32)
        .config("NEGATIVES", shape.n_negatives as u32)
        .config("NEGATIVE_WEIGHT", n_drawn as f32 / shape.n_negatives as f32)
        .config("QUADS", quads)
        .config("QUADS_MAX", quads.max(1))
        .config("TAIL", tail)
        .config("TAILS", tail.max(1))
        .config("WG_SIZE", 8 * shape.clusters as u32)
        .params(&shape.params(batch))
        .read(t.tiles)
        .update(t.inputs)
        .update(t.outputs)
        .update(t.losses)
        .grid([
            Extent::Fixed(shape.n_tiles.div_ceil(shape.clusters) as u32),
            Extent::Fixed(1),
            Extent::Fixed(1),
        ])
        .terms(shape.pitch)
        .record()
}

/// The step of one tile in f64: reads rows of `old`, writes rows of `new`, returns the loss before the
/// step (exactly so at rate 0) and the size of its terms. `words`: the tile's record.
pub fn cbow_tile(
    shape: &TileShape,
    n_drawn: f64,
    words: &[u32],
    old: (&Values, &Values),
    new: (&mut Values, &mut Values),
) -> (f64, f64) {
    let pitch = shape.pitch;
    let rate = f64::from(f32::from_bits(words[1]));
    let share = |c: usize| f64::from(f32::from_bits(words[2 + c]));
    let outputs = words[shape.first_output()..shape.first_input()].chunks_exact(3);
    let inputs = words[shape.first_input()..].chunks_exact(3).take(words[0] as usize);
    let mut h = vec![Values::zeros(pitch); CENTRES];
    for entry in inputs.clone() {
        let v = old.0.row(entry[0], pitch);
        for (c, h) in h.iter_mut().enumerate().filter(|(c, _)| entry[2] >> c & 1 == 1) {
            h.add(share(c), share(c), &v);
        }
    }
    let mut steps = vec![Values::zeros(pitch); CENTRES];
    let (mut loss, mut loss_scale) = (0.0, 0.0);
    for (o, entry) in outputs.enumerate() {
        let u = old.1.row(entry[0], pitch);
        let mut moved = u.clone();
        for c in (0..CENTRES).filter(|&c| share(c) > 0.0) {
            let (label, weight) = match o {
                o if o == c => (1.0, 1.0),
                o if o < CENTRES || entry[2] >> c & 1 == 1 => continue,
                _ => (0.0, n_drawn / shape.n_negatives as f64),
            };
            let (x, size) = u.dot(&h[c]);
            let gradient = rate * weight * (label - sigmoid(x));
            let error = rate * weight * (1.0 + size);
            let wrong = if label == 1.0 { softplus(-x) } else { softplus(x) };
            loss += weight * wrong;
            loss_scale += weight * (wrong + size);
            steps[c].add(gradient, error, &u);
            moved.add(gradient, error, &h[c]);
        }
        new.1.set_row(entry[1], moved);
    }
    for entry in inputs {
        let mut v = old.0.row(entry[0], pitch);
        for (_, step) in steps.iter().enumerate().filter(|(c, _)| entry[2] >> c & 1 == 1) {
            v.add(1.0, 1.0, step);
        }
        new.0.set_row(entry[1], v);
    }
    (loss, loss_scale)
}

fn twin(call: &mut Call) -> Result<()> {
    let shape = TileShape {
        objective: Objective::Cbow,
        n_centres: CENTRES,
        n_negatives: call.config_usize("NEGATIVES")?,
        ..TileShape::of(&call.params())
    };
    let n_drawn = call.config("NEGATIVE_WEIGHT")? * shape.n_negatives as f64;
    run_twin(call, &shape, |words, old, new| cbow_tile(&shape, n_drawn, words, old, new))
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for cluster in roles::cluster_variants(caps) {
        let clusters = if cluster == "shared" { 1 } else { 4 };
        for (n_negatives, pitch, clusters) in [(8, 104, 1), (5, 64, clusters), (16, 8, clusters), (3, 48, 1)]
        {
            let shape = TileShape {
                objective: Objective::Cbow,
                n_centres: CENTRES,
                n_negatives,
                window: 3,
                n_tiles: 6,
                clusters,
                pitch,
            };
            let name = format!("8+{n_negatives} x{pitch} {clusters} {cluster}");
            cases.push(Case::new(name, Sizes::default(), move |g, inputs| {
                let t = random_training(g, inputs, &shape, 60);
                record(g, &shape, &t, 1, 5, cluster)
            }));
        }
    }
    cases
}

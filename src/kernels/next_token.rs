//! Chooses the best of all parts and passes it on. The maths is in `shaders/next_token.wgsl`.

use super::argmax::Best;
use super::roles::{self, LANES};
use super::sampling::{RECENT_MAX, Sampler};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static NEXT_TOKEN: Kernel = Kernel {
    name: "next_token",
    wgsl: wgsl!("next_token"),
    roles: &[&LANES],
    params: NextToken::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct NextToken { n_parts: u32, pitch: u32 }
}

/// Records the choice among the parts; returns the tokens, (1, n_outputs), kept to be read back.
pub fn next_token(
    g: &mut Graph,
    best: &Best,
    sampler: &Sampler,
    slots: Tensor,
    positions: Tensor,
) -> Result<Tensor> {
    // The parts are few, so a small workgroup does.
    let (lanes, wg_size) = roles::lanes(g.caps());
    record(g, best, sampler, slots, positions, (lanes, wg_size))
}

fn record(
    g: &mut Graph,
    best: &Best,
    sampler: &Sampler,
    slots: Tensor,
    positions: Tensor,
    (lanes, wg_size): (&'static str, u32),
) -> Result<Tensor> {
    let tokens = g.temp("tokens", 1, best.value.n_rows(), Dtype::U32);
    g.keep(tokens);
    g.launch(&NEXT_TOKEN)
        .role(&LANES, lanes)
        .config("RECENT", RECENT_MAX as u32)
        .config("WG_SIZE", wg_size)
        .params(&NextToken { n_parts: best.value.n_columns as u32, pitch: best.value.pitch() as u32 })
        .read(best.value)
        .read(best.column)
        .read(slots)
        .read(positions)
        .write(tokens)
        .update(sampler.last_token)
        .update(sampler.recent)
        .grid([best.value.row_extent(1), Extent::Fixed(1), Extent::Fixed(1)])
        .record()?;
    Ok(tokens)
}

fn twin(call: &mut Call) -> Result<()> {
    let p: NextToken = call.params();
    let (best, columns) = (call.floats(0), call.words(1).to_vec());
    let (slots, positions) = (call.words(2).to_vec(), call.words(3).to_vec());
    let mut tokens = call.words(4).to_vec();
    let (mut last_token, mut recent) = (call.words(5).to_vec(), call.words(6).to_vec());
    for t in 0..call.n_rows(0) {
        let row = t * p.pitch as usize;
        let mut winner = 0;
        for part in 1..p.n_parts as usize {
            if best[row + part] > best[row + winner] {
                winner = part;
            }
        }
        let (slot, position) = (slots[t] as usize, positions[t] as usize);
        tokens[t] = columns[row + winner];
        last_token[slot] = tokens[t];
        recent[slot * (RECENT_MAX + 1) + position % RECENT_MAX] = tokens[t];
        recent[slot * (RECENT_MAX + 1) + RECENT_MAX] = position as u32 + 1;
    }
    call.set_words(4, tokens);
    call.set_words(5, last_token);
    call.set_words(6, recent);
    Ok(())
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for variant in roles::lanes_variants(caps) {
        for n_parts in [1, 13, 100] {
            let sizes = Sizes { n_outputs: 2, ..Default::default() };
            cases.push(Case::new(format!("2 of {n_parts} {}", variant.0), sizes, move |g, inputs| {
                let rows = Rows::up_to(2, Size::Outputs);
                let value = inputs.tensor(g, rows, n_parts, Dtype::F32);
                let words = (0..2 * n_parts.next_multiple_of(4) as u32).map(|i| i * 3).collect();
                let column = inputs.words(g, words);
                let sampler = Sampler {
                    settings: g.none(),
                    recent: inputs.words(g, vec![0; 3 * (RECENT_MAX + 1)]),
                    last_token: inputs.words(g, vec![0; 3]),
                };
                let slots = inputs.words(g, vec![2, 0]);
                let positions = inputs.words(g, vec![5, 700]);
                record(g, &Best { value, column }, &sampler, slots, positions, variant).map(|_| ())
            }));
        }
    }
    cases
}

// Plays `score`: logit / temperature + Gumbel noise where the logit reaches the row's threshold. The
// column with the largest such score is distributed as softmax(logits / temperature) is.
//
// The noise is a function of the slot's seed, the position and the column alone, so a draw does not
// depend on how the work is cut or on what else is in the batch.
// Source: Maddison et al. 2014, arXiv:1411.0030 (Gumbel-max).
import package::pcg3d::pcg3d;
import package::slot_sampling::SlotSampling;

@group(2) @binding(0) var<storage, read> settings: array<SlotSampling>;
@group(2) @binding(1) var<storage, read> slots: array<u32>;
@group(2) @binding(2) var<storage, read> positions: array<u32>;
// (n_rows, 1), padded to a quad: the lowest logit that may be drawn.
@group(2) @binding(3) var<storage, read> thresholds: array<vec4<f32>>;

struct Scorer {
    seed: u32,
    position: u32,
    inverse_temperature: f32,
    threshold: f32,
}

fn scorer(row: u32) -> Scorer {
    let s = settings[slots[row]];
    // At temperature 0 the logit is the score; 0 stands for that.
    let inverse = select(0.0, 1.0 / max(s.temperature, 1e-6), s.temperature > 0.0);
    return Scorer(s.seed, positions[row], inverse, thresholds[row].x);
}

// -log(-log(u)), u uniform in 0..1. Devices' logarithms are coarse near 1, where the large values of
// the noise come from: there the series of -log(1 - v) is exact.
fn gumbel(s: Scorer, column: u32) -> f32 {
    let bits = f32(pcg3d(vec3<u32>(s.seed, s.position, column)).x >> 9u) + 0.5;
    let u = bits / 8388608.0;
    let v = (8388608.0 - bits) / 8388608.0;
    let series = v * (1.0 + v * (0.5 + v * (0.33333333 + v * 0.25)));
    return -log(select(-log(u), series, v < 0.015625));
}

fn score(s: Scorer, logits: vec4<f32>, columns: vec4<u32>) -> vec4<f32> {
    if s.inverse_temperature == 0.0 {
        return logits;
    }
    let allowed = logits >= vec4<f32>(s.threshold);
    if !any(allowed) {
        return vec4<f32>(-3.4e38);
    }
    let noise = vec4<f32>(gumbel(s, columns.x), gumbel(s, columns.y), gumbel(s, columns.z), gumbel(s, columns.w));
    return select(vec4<f32>(-3.4e38), logits * s.inverse_temperature + noise, allowed);
}

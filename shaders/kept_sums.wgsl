// The sums of 4 rows and a token each that a lane keeps while a matrix product runs. Which they are, the
// file says that plays `sums`.
import package::config::KEPT;

struct Sums {
    values: array<vec4<f32>, KEPT>,
}

fn no_sums() -> Sums {
    var sums: Sums;
    for (var i = 0u; i < KEPT; i++) { // unroll
        sums.values[i] = vec4<f32>(0.0);
    }
    return sums;
}

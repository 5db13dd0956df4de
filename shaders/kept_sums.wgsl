// The sums that a lane keeps while a matrix product runs: those of the part (`rows`) of groups that the
// product is at, then those of the other parts. Which they are, the file says that plays `sums`.
import package::config::{KEPT, PARTS};
import package::rows::Rows;

struct Sums {
    values: array<Rows, PARTS * KEPT>,
}

fn no_sums() -> Sums {
    var sums: Sums;
    for (var i = 0u; i < PARTS * KEPT; i++) { // unroll
        sums.values[i] = Rows(0.0);
    }
    return sums;
}

// Goes on to the next part of the groups, after the last to the first.
fn next_part(sums: ptr<function, Sums>) {
    for (var i = 0u; i < KEPT; i++) { // unroll
        let other = (*sums).values[(PARTS - 1u) * KEPT + i];
        (*sums).values[(PARTS - 1u) * KEPT + i] = (*sums).values[i];
        (*sums).values[i] = other;
    }
}

// Kernels one after another in one dispatch, on drivers whose workgroups are threads of one process.
// What is written here is what the parts share; the linker adds the parts and the entry.
//
// The work of a part is its units, the workgroups it would have alone. THREADS workgroups of 8 lanes
// claim units in shares, and go on to the next part when all of a part are finished. Who claims late
// finds less to do, and who finds nothing goes on; so one workgroup that runs alone does everything.
// Waiting is only for units that another workgroup has begun. It is bounded, since the driver bounds
// all loops of a workgroup together: a workgroup that has waited too long leaves the rest to those it
// waits for, who do not wait for it. So no order of running and pausing changes what is computed.
//
// A thread that waits for one that gets no processor wastes what that one needs. So whoever waited in
// vain is remembered, and the next dispatches wait for less, down to a quarter.
//
// counters: units claimed and finished of each part, and the workgroups that have left. The last of
// them leaves these at zero. Beside them, sixteenths of how often waiting is halved.
// What others wrote before they counted themselves is seen: see `after/rms_norm.wgsl`.
import package::config::{COUNTERS, N_PARTS, POLLS, THREADS};

const FINISHED: u32 = N_PARTS;
const LEFT: u32 = 2u * N_PARTS;
const HALVINGS: u32 = COUNTERS - 1u;

// How often the workgroup may yet wait, and whether it has not left.
var<private> polls_left: u32;
var<private> here: bool;

fn begin(lane: u32) {
    let halvings = add_to(HALVINGS, 0u, lane) / 16u;
    polls_left = max(POLLS >> halvings, 1u);
    here = true;
}

// Adds `n` to a counter and returns what it was.
fn add_to(counter: u32, n: u32, lane: u32) -> u32 {
    var before = 0u;
    if lane == 0u {
        before = atomicAdd(&counters[16u * counter], n);
    }
    return subgroupShuffle(before, 0u);
}

// The first of `share` units that are this workgroup's to do, `n_units` or more where none are left.
fn claim(part: u32, share: u32, n_units: u32, lane: u32) -> u32 {
    let first = add_to(part, select(0u, share, here), lane);
    return select(n_units, first, here);
}

fn finish(part: u32, n: u32, lane: u32) {
    _ = add_to(FINISHED + part, n, lane);
}

// Waits until all units of a part are finished.
fn await_part(part: u32, n_units: u32, lane: u32) {
    var finished = 0u;
    loop {
        // Several at once, so that loops are few.
        finished = add_to(FINISHED + part, 0u, lane);
        finished = max(finished, add_to(FINISHED + part, 0u, lane));
        finished = max(finished, add_to(FINISHED + part, 0u, lane));
        finished = max(finished, add_to(FINISHED + part, 0u, lane));
        polls_left--;
        if finished >= n_units || polls_left == 0u || !here {
            break;
        }
    }
    polls_left = max(polls_left, 1u);
    here = here && finished >= n_units;
}

fn leave(lane: u32) {
    let halvings = add_to(HALVINGS, 0u, lane);
    if lane == 0u {
        atomicStore(&counters[16u * HALVINGS], select(min(halvings + 16u, 32u), max(halvings, 1u) - 1u, here));
    }
    let left = add_to(LEFT, 1u, lane) + 1u;
    if lane == 0u && left == THREADS {
        for (var i = 0u; i <= LEFT; i++) {
            atomicStore(&counters[16u * i], 0u);
        }
    }
}

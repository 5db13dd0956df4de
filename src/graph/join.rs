//! Launches that follow one another as one dispatch, on software drivers.
//!
//! Such a driver wakes its threads for each dispatch and waits for them, which takes longer than many
//! kernels of a token do. So launches that can be are joined: their texts are pasted under names of their
//! own, and a few workgroups, one per thread, go through their units in turn (see `shaders/joined.wgsl`).

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::launch::{Access, Launch};
use super::link::{Linked, Wgsl, constant, shader_text, wgsl};
use super::record::{Binding, Dtype, Graph, POLLS_MAX, Storage, Tensor};
use super::scratch::Places;
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Caps, Extent, Gpu, Size, Slice, Source};

const JOINED: Wgsl = wgsl!("joined");

/// Rounds of all loops that a workgroup may take for the work of all, beside waiting. The driver ends its
/// loops, without a word, after 65,535.
const ROUNDS_MAX: usize = 40_000;
const _: () = assert!(ROUNDS_MAX + (POLLS_MAX as usize) < 65_535);

/// Units that a thread claims at once: so that of a part's there are at least so many shares for each.
const SHARES: u32 = 12;

/// The counters of one dispatch, each in a line of the cache of its own.
const COUNTER_WORDS: usize = 16 * COUNTERS;
const COUNTERS: usize = 2 * PARTS_MAX + 2;
const PARTS_MAX: usize = 16;

/// The memory that a launch touches, as far as wgpu tells it apart.
#[derive(PartialEq, Eq, Hash)]
enum Memory {
    Buffer(Buffer),
    Slot(usize),
    ImageSlot(usize),
    Tensor(usize),
}

fn memory(graph: &Graph, places: &Places, tensor: Tensor) -> Memory {
    match (&graph.tensors[tensor.id].storage, places.slot(tensor.id)) {
        (Storage::External(Binding::Device(slice)), _) => Memory::Buffer(slice.buffer.clone()),
        (Storage::Temporary { .. }, Some(slot)) if tensor.texel.is_some() => Memory::ImageSlot(slot),
        (Storage::Temporary { .. }, Some(slot)) => Memory::Slot(slot),
        _ => Memory::Tensor(tensor.id),
    }
}

/// The launches of each dispatch, in order.
pub(super) fn dispatches(graph: &Graph) -> Vec<Range<usize>> {
    let caps = graph.caps();
    let able = graph.polls > 0 && caps.shared_process() && caps.clusters() && caps.images_updated;
    let mut out: Vec<Range<usize>> = Vec::new();
    let mut used = Need::default();
    for (i, launch) in graph.launches.iter().enumerate() {
        let need = Need::of(launch);
        if let (Some(last), Some(need)) = (out.last_mut(), need)
            && able
            && used.n_parts > 0
            && !graph.boundaries.contains(&i)
            && (used + need).fits(caps)
        {
            last.end = i + 1;
            used = used + need;
            continue;
        }
        out.push(i..i + 1);
        used = need.unwrap_or_default();
    }
    out
}

/// What launches need of a dispatch's limits.
#[derive(Debug, Clone, Copy, Default)]
struct Need {
    n_parts: usize,
    rounds: usize,
    n_buffers: usize,
    n_images: usize,
}

impl Need {
    /// None where a launch cannot be joined with others.
    fn of(launch: &Launch) -> Option<Need> {
        let planes = launch.weight.iter().flat_map(|weight| &weight.planes);
        let tensors = launch.args.iter().map(|arg| &arg.tensor).chain(planes);
        let n_bindings = tensors.clone().count();
        let n_images = tensors.filter(|tensor| tensor.texel.is_some()).count();
        let joinable = launch.workgroup_lanes() == Some(8) && launch.grid[2] == Extent::Fixed(1);
        joinable.then_some(())?;
        Some(Need { n_parts: 1, rounds: launch.rounds?, n_buffers: n_bindings - n_images, n_images })
    }

    fn fits(&self, caps: &Caps) -> bool {
        self.n_parts <= PARTS_MAX
            && self.rounds <= ROUNDS_MAX
            // One more holds the counters.
            && self.n_buffers < caps.buffers_bound_max as usize
            && self.n_images <= caps.images_bound_max as usize
    }
}

impl std::ops::Add for Need {
    type Output = Need;

    fn add(self, other: Need) -> Need {
        Need {
            n_parts: self.n_parts + other.n_parts,
            rounds: self.rounds + other.rounds,
            n_buffers: self.n_buffers + other.n_buffers,
            n_images: self.n_images + other.n_images,
        }
    }
}

/// The counters of a program's joined dispatches, which run one after another.
pub(super) fn counters(gpu: &Gpu) -> Result<Slice> {
    let words = [0u32; COUNTER_WORDS];
    let buffer = gpu.buffer_with("counters", bytemuck::cast_slice(&words))?;
    Ok(Slice { buffer, offset: 0, len: 4 * words.len() as u64 })
}

/// The text of several launches as one.
pub(super) fn source(graph: &Graph, places: &Places, launches: &[Launch]) -> Result<Source> {
    let mut touched: HashMap<Memory, [bool; 2]> = HashMap::new();
    for arg in launches.iter().flat_map(|launch| &launch.args) {
        let [reads, writes] = touched.entry(memory(graph, places, arg.tensor)).or_default();
        *reads |= arg.access == Access::Read;
        *writes |= arg.access != Access::Read;
    }
    let mut out = Linked::default();
    let mut binding = 0;
    let mut body = String::new();
    for (i, launch) in launches.iter().enumerate() {
        let source = launch.source()?;
        let mut access: HashMap<(u32, u32), &str> = HashMap::new();
        let mut next = [0u32; 3];
        for arg in &launch.args {
            let at = &mut next[arg.group as usize];
            let [reads, writes] = touched[&memory(graph, places, arg.tensor)];
            // Quads of f32 that a kernel writes may be read by it, too.
            let written_only = arg.tensor.texel.is_some() && arg.tensor.dtype != Dtype::F32;
            let mode = match (writes, reads, written_only) {
                (false, ..) => "read",
                // An image that is written only needs no more of a device than that.
                (true, false, true) => "write",
                (true, ..) => "read_write",
            };
            access.insert((arg.group, *at), mode);
            *at += 1;
        }
        next[1] += launch.weight.iter().map(|weight| weight.planes.len() as u32).sum::<u32>();
        // Groups one after another, as they are bound.
        let groups = [binding, binding + next[0], binding + next[0] + next[1]];
        binding += next.iter().sum::<u32>();
        let prefix = format!("p{i}_");
        let part =
            Part { prefix, number: i, names: names(&source.wgsl), params: constants(launch, &source)? };
        let entry = part.paste(&source, &mut out, &access, groups)?;
        body += &part.run(&source.entry, &entry, &launch.grid, i + 1 == launches.len());
    }
    let threads = graph.caps().threads;
    let shared = shader_text(&JOINED)?;
    let config = [
        ("N_PARTS", launches.len()),
        ("POLLS", graph.polls as usize),
        ("THREADS", threads as usize),
        ("COUNTERS", COUNTERS),
    ];
    for (name, value) in config {
        out.push(&constant(name, (value as u32).into()), "config", 1);
    }
    let counters =
        format!("@group(0) @binding({binding}) var<storage, read_write> counters: array<atomic<u32>>;");
    out.push(&counters, JOINED.path, 1);
    for (i, line) in shared.lines().enumerate().filter(|(_, line)| !line.starts_with("import ")) {
        out.push(line, JOINED.path, i as u32 + 1);
    }
    let entry = format!(
        "struct Joined {{\n    n_tokens: u32,\n    n_outputs: u32,\n    n_context: u32,\n}}\n\
         var<immediate> joined: Joined;\n\n\
         @compute @workgroup_size(8)\n\
         fn run_all(@builtin(local_invocation_index) local_invocation_index: u32, \
         @builtin(subgroup_id) subgroup_id: u32, @builtin(subgroup_size) subgroup_size: u32, \
         @builtin(subgroup_invocation_id) subgroup_invocation_id: u32) {{\n    begin(local_invocation_index);\n{body}    \
         leave(local_invocation_index);\n}}"
    );
    for line in entry.lines() {
        out.push(line, "src/graph/join.rs", 1);
    }
    let labels: Vec<&str> = launches.iter().map(|launch| launch.label.as_str()).collect();
    let Linked { text, origins } = out.with_directives();
    Ok(Source { label: labels.join(" + "), wgsl: text, entry: "run_all".into(), origins })
}

/// The params of joined launches: the counts of the step. All else is constant.
pub(super) fn params() -> (Vec<u8>, Vec<(usize, Extent)>) {
    let counts = [Size::Tokens, Size::Outputs, Size::Context];
    let patches = counts.iter().enumerate().map(|(i, size)| (4 * i, Extent::Per(*size, 1)));
    (vec![0; 4 * counts.len()], patches.collect())
}

fn count(size: Size) -> &'static str {
    match size {
        Size::Tokens => "joined.n_tokens",
        Size::Outputs => "joined.n_outputs",
        Size::Context => "joined.n_context",
    }
}

/// The value of each field of a launch's params, as text.
fn constants(launch: &Launch, source: &Source) -> Result<HashMap<String, String>> {
    let mut values = HashMap::new();
    let lines = source.wgsl.lines().skip_while(|line| !line.starts_with("struct Params"));
    for line in lines.skip(1).take_while(|line| !line.starts_with('}')) {
        let Some((name, kind)) = line.trim().trim_end_matches(',').split_once(": ") else { continue };
        let fail = || Error::Gpu(format!("{}: cannot read the param {line}", launch.label));
        let offset = launch.kernel.params.iter().find(|field| field.name == name).ok_or_else(fail)?.offset;
        let bytes = launch.params[offset..offset + 4].try_into().map_err(|_| fail())?;
        let patch = launch.patches.iter().find(|(at, _)| *at == offset);
        let value = match (patch, kind) {
            (Some((_, size)), _) => count(*size).to_owned(),
            (None, "u32") => format!("{}u", u32::from_le_bytes(bytes)),
            (None, "f32") => format!("bitcast<f32>({}u)", u32::from_le_bytes(bytes)),
            _ => return Err(fail()),
        };
        values.insert(name.to_owned(), value);
    }
    Ok(values)
}

/// The workgroups along a dimension of a grid, as text.
fn extent(extent: &Extent) -> String {
    match *extent {
        Extent::Fixed(n) => format!("{n}u"),
        Extent::Per(size, per) => format!("(({} + {}u) / {per}u)", count(size), per - 1),
        Extent::Above(size, limit) => format!("select(0u, 1u, {} > {limit}u)", count(size)),
    }
}

/// One of the joined launches.
struct Part {
    /// Before its names.
    prefix: String,
    number: usize,
    names: HashSet<String>,
    /// The fields of its params.
    params: HashMap<String, String>,
}

impl Part {
    /// Adds the text to `out`, its bindings from those of `groups` on. Returns the arguments of its entry.
    fn paste(
        &self,
        source: &Source,
        out: &mut Linked,
        access: &HashMap<(u32, u32), &str>,
        groups: [u32; 3],
    ) -> Result<String> {
        let mut arguments = None;
        let mut lane = String::new();
        let (mut structure, mut is_params) = (None, false);
        for (line, &(path, number)) in source.wgsl.lines().zip(&source.origins) {
            let fail = |what: &str| Error::Gpu(format!("{path}:{number}: {what}: {line}"));
            // Directives are written anew, in front.
            if line.starts_with("enable ")
                || line.starts_with("@compute")
                || line.starts_with("var<immediate>")
            {
                continue;
            }
            if line.starts_with("struct Params") {
                is_params = true;
            }
            if is_params {
                is_params = !line.starts_with('}');
                continue;
            }
            if let Some(name) = line.strip_prefix("struct ") {
                structure = name.split([' ', '{']).next();
            } else if line.starts_with('}') {
                structure = None;
            } else if structure == Some("Lane")
                && let Some((builtin, _)) =
                    line.trim().strip_prefix("@builtin(").and_then(|l| l.split_once(')'))
            {
                lane += &format!("{builtin}, ");
            }
            if let Some(rest) = line.strip_prefix("@group(") {
                let (at, declared) =
                    rest.split_once(") var").ok_or_else(|| fail("cannot read this binding"))?;
                let (group, at) =
                    at.split_once(") @binding(").ok_or_else(|| fail("cannot read this binding"))?;
                let (group, at): (u32, u32) = (group.parse().unwrap_or(0), at.parse().unwrap_or(0));
                // Weights are only read.
                let mode = access.get(&(group, at)).copied().unwrap_or("read");
                let declared = with_access(declared, mode).ok_or_else(|| fail("cannot read this binding"))?;
                let declared = self.renamed(&declared, false);
                let binding = groups[group as usize] + at;
                out.push(&format!("@group(0) @binding({binding}) var{declared}"), path, number);
                continue;
            }
            let entry = format!("fn {}(", source.entry);
            if let Some(rest) = line.strip_prefix(entry.as_str()) {
                let (given, plain) = self.entry(rest).ok_or_else(|| fail("cannot read this entry"))?;
                arguments = Some(given);
                out.push(&format!("fn {}{}({plain}) {{", self.prefix, source.entry), path, number);
                continue;
            }
            let inside = structure.is_some() && !line.starts_with("struct ");
            out.push(&self.renamed(line, inside), path, number);
        }
        let lane = format!("{}Lane({lane})", self.prefix);
        let arguments = arguments.ok_or_else(|| Error::Gpu(format!("{} has no entry", source.label)))?;
        Ok(arguments.replace("LANE", &lane))
    }

    /// `@builtin(workgroup_id) a: vec3<u32>, lane: Lane) {` to what is given for them and the same
    /// without built-ins.
    fn entry(&self, line: &str) -> Option<(String, String)> {
        let (mut given, mut plain) = (Vec::new(), Vec::new());
        for parameter in line.strip_suffix(") {")?.split(", ") {
            match parameter.strip_prefix("@builtin(").and_then(|p| p.split_once(") ")) {
                Some(("workgroup_id", declared)) => {
                    given.push("vec3<u32>(unit % n_x, unit / n_x, 0u)");
                    plain.push(declared.to_owned());
                }
                Some(("local_invocation_index", declared)) => {
                    given.push("local_invocation_index");
                    plain.push(declared.to_owned());
                }
                Some(_) => return None,
                None => {
                    parameter.strip_suffix(": Lane")?;
                    given.push("LANE");
                    plain.push(self.renamed(parameter, false));
                }
            }
        }
        Some((given.join(", "), plain.join(", ")))
    }

    /// The statements that go through the units.
    fn run(&self, entry: &str, arguments: &str, grid: &[Extent; 3], is_last: bool) -> String {
        let (i, x, y) = (self.number, extent(&grid[0]), extent(&grid[1]));
        let share = format!("max(n / (THREADS * {SHARES}u), 1u)");
        // Loops that ask at their end: see `loops_that_end_late`.
        let text = format!(
            "    {{\n        let n_x = {x};\n        let n = n_x * {y};\n        \
             let share = {share};\n        \
             var first = claim({i}u, share, n, local_invocation_index);\n        \
             if first < n {{ loop {{\n            \
             let end = min(first + share, n);\n            var unit = first;\n            loop {{\n                \
             {}{entry}({arguments});\n                unit++;\n                if unit >= end {{ break; }}\n            \
             }}\n            finish({i}u, end - first, local_invocation_index);\n            \
             first = claim({i}u, share, n, local_invocation_index);\n            \
             if first >= n {{ break; }}\n        }} }}\n",
            self.prefix
        );
        let wait = format!("        await_part({i}u, n, local_invocation_index);\n");
        text + if is_last { "" } else { &wait } + "    }\n"
    }

    /// The line with the prefix before the text's own names. `members`: what stands before a colon is the
    /// member of a struct and keeps its name.
    fn renamed(&self, line: &str, members: bool) -> String {
        let code = line.split("//").next().unwrap_or(line);
        let mut out = String::with_capacity(2 * code.len());
        let mut rest = code;
        while let Some(start) = rest.find(|c: char| c.is_alphanumeric() || c == '_') {
            let (before, word) = rest.split_at(start);
            let end = word.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(word.len());
            let (word, after) = word.split_at(end);
            out += before;
            let is_member = out.ends_with('.') || members && after.starts_with(':');
            let field = after.strip_prefix('.').map(|field| {
                field.split_at(field.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(field.len()))
            });
            if let (true, Some((field, after))) = (word == "params" && !is_member, field)
                && let Some(value) = self.params.get(field)
            {
                out += value;
                rest = after;
                continue;
            }
            if self.names.contains(word) && !is_member {
                out += &self.prefix;
                out += word;
            } else {
                out += word;
            }
            rest = after;
        }
        out + rest
    }
}

/// What a text declares outside of functions.
fn names(wgsl: &str) -> HashSet<String> {
    let mut names = HashSet::new();
    for line in wgsl.lines() {
        let declared = ["fn ", "struct ", "const ", "alias "].iter().find_map(|word| line.strip_prefix(word));
        let variable = || {
            let is_variable = line.starts_with("var<") && !line.starts_with("var<immediate>")
                || line.starts_with("@group(");
            let rest = is_variable.then(|| line.split_once(" var").map_or(line, |(_, rest)| rest))?;
            // Behind the address space, where there is one.
            match rest.strip_prefix("var<").or(rest.strip_prefix('<')) {
                Some(rest) => rest.split_once("> ").map(|(_, name)| name),
                None => rest.strip_prefix(' '),
            }
        };
        if let Some(rest) = declared.or_else(variable) {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            names.insert(rest[..end].to_owned());
        }
    }
    names
}

/// A declaration behind `var` with another access.
fn with_access(declared: &str, mode: &str) -> Option<String> {
    if let Some(rest) = declared.strip_prefix("<storage, ") {
        let (_, rest) = rest.split_once('>')?;
        return Some(format!("<storage, {mode}>{rest}"));
    }
    let (name, image) = declared.split_once(": texture_storage_2d<")?;
    let (format, _) = image.split_once(", ")?;
    Some(format!("{name}: texture_storage_2d<{format}, {mode}>;"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
struct Lane {
    @builtin(subgroup_id) index: u32,
}
struct Block { index: u32 }
const N: u32 = 4u;
var<private> index: u32;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var x: texture_storage_2d<rgba32uint, read>;
var<immediate> params: Params;
fn f(lane: Lane) {
    let y_2 = lane.index + index * params.pitch + N;
    y[y_2] = v.y + params.scale; // index
}";

    fn part() -> Part {
        let params = [("pitch", "7u"), ("scale", "joined.n_tokens")];
        let params = params.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Part { prefix: "p1_".into(), number: 1, names: names(TEXT), params: params.into() }
    }

    #[test]
    fn what_a_text_declares_gets_a_prefix_and_params_their_values() {
        let mut found: Vec<String> = names(TEXT).into_iter().collect();
        found.sort();
        assert_eq!(found, ["Block", "Lane", "N", "f", "index", "x", "y"]);
        let renamed = |line| part().renamed(line, false);
        assert_eq!(
            renamed("    let y_2 = lane.index + index * params.pitch + N;"),
            "    let y_2 = lane.index + p1_index * 7u + p1_N;"
        );
        assert_eq!(
            renamed("    y[y_2] = v.y + params.scale; // index"),
            "    p1_y[y_2] = v.y + joined.n_tokens; "
        );
        assert_eq!(part().renamed("    index: u32,", true), "    index: u32,");
    }

    #[test]
    fn bindings_get_the_access_that_all_parts_need() {
        let buffer = with_access("<storage, read> y: array<f32>;", "read_write");
        assert_eq!(buffer.as_deref(), Some("<storage, read_write> y: array<f32>;"));
        let image = with_access(" x: texture_storage_2d<rgba32uint, read>;", "read_write");
        assert_eq!(image.as_deref(), Some(" x: texture_storage_2d<rgba32uint, read_write>;"));
    }

    #[test]
    fn entries_are_given_what_they_ask_for() {
        let (given, plain) =
            part().entry("@builtin(workgroup_id) unit: vec3<u32>, lane: Lane) {").expect("an entry");
        assert_eq!(given, "vec3<u32>(unit % n_x, unit / n_x, 0u), LANE");
        assert_eq!(plain, "unit: vec3<u32>, lane: p1_Lane");
        assert_eq!(part().entry("@builtin(num_workgroups) n: vec3<u32>) {"), None);
    }
}

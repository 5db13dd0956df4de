//! Joins shader files into the text of one kernel.
//!
//! A shader says `import package::a::b::{x, y};` (WESL's syntax). `package::config` stands for
//! numbers that the kernel's recording function chose, written as `const`s; a path of one name may be
//! a *role*, played by one of several files with the same functions; anything else is a file under
//! `shaders/`. Every file is pasted once, in any order, since WGSL does not mind. There are no
//! conditionals: what varies is a number, a role or another kernel.
//!
//! A loop whose first line ends in `{ // unroll` is written out, once per iteration. Any other `for`
//! decides at its end whether to go on (see `loops_that_end_late`).
//!
//! Directives (`enable ...`) depend on the target and are never written in shader files. The text
//! ends with the declaration of `params`, so that where parameters come from is decided here.

use std::borrow::Cow;

use super::images;
use crate::error::{Error, Result};
use crate::gpu;

/// A file under `shaders/`, embedded in the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wgsl {
    pub path: &'static str,
    pub text: &'static str,
}

/// Embeds `shaders/NAME.wgsl`.
macro_rules! wgsl {
    ($name:literal) => {
        $crate::graph::Wgsl {
            path: concat!("shaders/", $name, ".wgsl"),
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name, ".wgsl")),
        }
    };
}
pub(crate) use wgsl;

/// Files that several kernels or roles import.
const LIBRARY: &[Wgsl] = &[
    wgsl!("band"),
    wgsl!("block"),
    wgsl!("byte_block"),
    wgsl!("byte_operand"),
    wgsl!("bytes"),
    wgsl!("fade"),
    wgsl!("halves"),
    wgsl!("kept_sums"),
    wgsl!("kv_octet"),
    wgsl!("levels"),
    wgsl!("nibbles"),
    wgsl!("pair"),
    wgsl!("pcg3d"),
    wgsl!("row_softmax"),
    wgsl!("rows/four"),
    wgsl!("slot_sampling"),
    wgsl!("spans"),
    wgsl!("to_bytes"),
    wgsl!("two_bits"),
];

/// The files that several kernels or roles import.
pub fn library() -> &'static [Wgsl] {
    LIBRARY
}

/// A number in `package::config`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ConfigValue {
    U32(u32),
    F32(f32),
    Bool(bool),
}

impl From<u32> for ConfigValue {
    fn from(value: u32) -> ConfigValue {
        ConfigValue::U32(value)
    }
}

impl From<f32> for ConfigValue {
    fn from(value: f32) -> ConfigValue {
        ConfigValue::F32(value)
    }
}

impl From<bool> for ConfigValue {
    fn from(value: bool) -> ConfigValue {
        ConfigValue::Bool(value)
    }
}

/// Links `root` with the files that play its roles. `label` names the variant in messages.
///
/// Fails if an import names neither a role, a file nor a number that was given, or is not one line.
///
/// `images`: where arrays are bound that are images (see [`super::images`]).
pub(super) fn link(
    label: &str,
    root: Wgsl,
    roles: &[(&str, Wgsl)],
    config: &[(&'static str, ConfigValue)],
    images: &[images::At],
) -> Result<gpu::Source> {
    let mut config = config.to_vec();
    config.push(("IMAGE_WIDTH", gpu::IMAGE_WIDTH.into()));
    let config = &config[..];
    let mut linked = Linked::default();
    let mut queue = vec![root];
    let mut done: Vec<&str> = Vec::new();
    let mut wanted_config: Vec<String> = Vec::new();
    let mut has_params = false;
    while let Some(file) = queue.pop() {
        if done.contains(&file.path) {
            continue;
        }
        done.push(file.path);
        let text = shader_text(&file)?;
        let mut arrays = images::arrays(&text, images);
        queue.extend(images::files(&arrays));
        for (i, line) in text.lines().enumerate() {
            let place = || format!("{}:{}", file.path, i + 1);
            if let Some(import) = line.strip_prefix("import ") {
                let (path, names) = parse_import(import)
                    .ok_or_else(|| Error::Gpu(format!("{}: cannot read this import: {line}", place())))?;
                if path == "config" {
                    wanted_config.extend(names);
                } else {
                    let imported = find(&path, roles).ok_or_else(|| {
                        Error::Gpu(format!(
                            "{}: package::{path} is neither a role of {label} nor a file",
                            place()
                        ))
                    })?;
                    let its_arrays = images::arrays(&shader_text(&imported)?, images);
                    arrays.extend(its_arrays.into_iter().filter(|array| names.contains(&array.name)));
                    queue.push(imported);
                }
            } else {
                has_params |= line.starts_with("struct Params");
                match arrays.is_empty() {
                    true => linked.push(line, file.path, i as u32 + 1),
                    false => linked.push(&images::rewrite(line, &arrays), file.path, i as u32 + 1),
                }
            }
        }
    }
    wanted_config.sort();
    wanted_config.dedup();
    for name in &wanted_config {
        let (name, value) = config.iter().find(|(given, _)| given == name).ok_or_else(|| {
            Error::Gpu(format!("{}: package::config::{name} was not given for {label}", root.path))
        })?;
        linked.push(&constant(name, *value), "config", 1);
    }
    if has_params {
        linked.push("var<immediate> params: Params;", "config", 1);
    }
    let linked = loops_that_end_late(&unroll(linked.with_directives(), config)?);
    let stem = root.path.rsplit('/').next().unwrap_or(root.path);
    let entry = stem.trim_end_matches(".wgsl").to_owned();
    Ok(gpu::Source { label: label.to_owned(), wgsl: linked.text, entry, origins: linked.origins })
}

#[derive(Default)]
pub(super) struct Linked {
    pub(super) text: String,
    /// Where each line comes from.
    pub(super) origins: Vec<(&'static str, u32)>,
}

/// Words of a text, and the directive that allows them.
const DIRECTIVES: &[(&str, &str)] =
    &[("<f16", "enable f16;"), ("coop_mat", "enable wgpu_cooperative_matrix;")];

impl Linked {
    /// The text behind the directives that it needs.
    pub(super) fn with_directives(self) -> Linked {
        let mut out = Linked::default();
        for (word, directive) in DIRECTIVES {
            if self.text.contains(word) {
                out.push(directive, "config", 1);
            }
        }
        out.text.push_str(&self.text);
        out.origins.extend(self.origins);
        out
    }

    pub(super) fn push(&mut self, line: &str, path: &'static str, number: u32) {
        self.text.push_str(line);
        self.text.push('\n');
        self.origins.push((path, number));
    }
}

/// Ends the first line of a loop whose body is written once per iteration.
const UNROLL: &str = "{ // unroll";

/// Repeats the bodies of loops marked with [`UNROLL`], the counter as a constant in each.
///
/// Drivers that keep an array in registers need constant indices, and unroll only short loops.
fn unroll(linked: Linked, config: &[(&'static str, ConfigValue)]) -> Result<Linked> {
    let lines: Vec<&str> = linked.text.lines().collect();
    let mut out = Linked::default();
    unroll_lines(&lines, &linked.origins, config, &mut out)?;
    Ok(out)
}

fn unroll_lines(
    lines: &[&str],
    origins: &[(&'static str, u32)],
    config: &[(&'static str, ConfigValue)],
    out: &mut Linked,
) -> Result<()> {
    let mut i = 0;
    while i < lines.len() {
        let (path, number) = origins[i];
        let Some(head) = lines[i].strip_suffix(UNROLL) else {
            out.push(lines[i], path, number);
            i += 1;
            continue;
        };
        let indent = &head[..head.len() - head.trim_start().len()];
        let closing = format!("{indent}}}");
        let length = lines[i + 1..].iter().position(|line| *line == closing);
        let (Some((counter, n)), Some(length)) = (parse_loop(head.trim(), config), length) else {
            return Err(Error::Gpu(format!("{path}:{number}: cannot unroll this loop: {}", lines[i])));
        };
        let (body, end) = (i + 1..i + 1 + length, i + 1 + length);
        for value in 0..n {
            out.push(&format!("{indent}{{ const {counter} = {value}u;"), path, number);
            unroll_lines(&lines[body.clone()], &origins[body.clone()], config, out)?;
            out.push(&closing, path, number);
        }
        i = end + 1;
    }
    Ok(())
}

/// Lets each `for` without a `continue` or a barrier ask at its end whether to go on, and once before it
/// whether to begin:
///
/// ```text
/// for (var i = A; i < B; i += C) {        { var i = A; if i < B { loop {
///     ...                                     ...
/// }                                       i += C; if !(i < B) { break; } } } }
/// ```
///
/// A software driver that runs lanes under masks goes through all that follows a `break` once more, with
/// no lane active. Loops are few steps long there, so that would be much of the time.
fn loops_that_end_late(linked: &Linked) -> Linked {
    let lines: Vec<&str> = linked.text.lines().collect();
    let mut ends: Vec<Option<String>> = vec![None; lines.len()];
    let mut out = Linked::default();
    for (i, line) in lines.iter().enumerate() {
        let (path, number) = linked.origins[i];
        if let Some(end) = &ends[i] {
            out.push(end, path, number);
            continue;
        }
        match late_loop(&lines[i..]) {
            Some((begin, end, length)) => {
                out.push(&begin, path, number);
                ends[i + length] = Some(end);
            }
            None => out.push(line, path, number),
        }
    }
    out
}

/// The first and the last line of the loop that begins at the first of `lines`, and its length.
fn late_loop(lines: &[&str]) -> Option<(String, String, usize)> {
    let line = lines[0];
    let indent = &line[..line.len() - line.trim_start().len()];
    let head = line.trim_start().strip_prefix("for (")?.strip_suffix(") {")?;
    let mut parts = head.split("; ");
    let (begin, condition, step) = (parts.next()?, parts.next()?, parts.next()?);
    let closing = format!("{indent}}}");
    let length = lines.iter().position(|line| *line == closing)?;
    // What all lanes must reach together may stand in a loop, but not behind a condition.
    let unfit = |line: &&str| ["continue;", "Barrier(", "coop"].iter().any(|word| line.contains(word));
    if parts.next().is_some() || lines[..length].iter().any(unfit) {
        return None;
    }
    let begin = format!("{indent}{{ {begin}; if {condition} {{ loop {{");
    let end = format!("{indent}{step}; if !({condition}) {{ break; }} }} }} }}");
    Some((begin, end, length))
}

/// `for (var c = 0u; c < A * B; c++)` to (`c`, the product of these numbers).
fn parse_loop<'a>(head: &'a str, config: &[(&'static str, ConfigValue)]) -> Option<(&'a str, u32)> {
    let (counter, rest) = head.strip_prefix("for (var ")?.split_once(" = 0u; ")?;
    let bound = rest.strip_prefix(counter)?.strip_prefix(" < ")?;
    let bound = bound.strip_suffix("++)")?.strip_suffix(counter)?.strip_suffix("; ")?;
    let mut n = 1;
    for factor in bound.split(" * ") {
        n *= match config.iter().find(|(name, _)| *name == factor) {
            Some((_, ConfigValue::U32(value))) => *value,
            _ => factor.strip_suffix('u')?.parse().ok()?,
        };
    }
    (n <= 64).then_some((counter, n))
}

pub(super) fn constant(name: &str, value: ConfigValue) -> String {
    match value {
        ConfigValue::U32(value) => format!("const {name}: u32 = {value}u;"),
        // `{:?}` writes the shortest text that reads back as the same f32.
        ConfigValue::F32(value) => format!("const {name}: f32 = {value:?}f;"),
        ConfigValue::Bool(value) => format!("const {name}: bool = {value};"),
    }
}

/// `package::a::b::{x, y};` to (`a::b`, [x, y]); `package::a::x;` to (`a`, [x]).
fn parse_import(import: &str) -> Option<(String, Vec<String>)> {
    let path = import.trim().strip_prefix("package::")?.strip_suffix(';')?;
    if let Some((module, names)) = path.split_once("::{") {
        let names = names.strip_suffix('}')?;
        return Some((module.to_owned(), names.split(',').map(|name| name.trim().to_owned()).collect()));
    }
    let (module, name) = path.rsplit_once("::")?;
    Some((module.to_owned(), vec![name.to_owned()]))
}

fn find(path: &str, roles: &[(&str, Wgsl)]) -> Option<Wgsl> {
    if let Some((_, file)) = roles.iter().find(|(role, _)| *role == path) {
        return Some(*file);
    }
    let file = format!("shaders/{}.wgsl", path.replace("::", "/"));
    LIBRARY.iter().find(|library| library.path == file).copied()
}

/// The embedded text; in debug builds, the file under `$AQUATINT_SHADERS` where that is set.
pub fn shader_text(file: &Wgsl) -> Result<Cow<'static, str>> {
    #[cfg(debug_assertions)]
    if let Some(folder) = std::env::var_os("AQUATINT_SHADERS") {
        let relative = file.path.strip_prefix("shaders/").unwrap_or(file.path);
        let path = std::path::Path::new(&folder).join(relative);
        return std::fs::read_to_string(&path).map(Cow::Owned).map_err(|error| Error::io(&path, error));
    }
    Ok(Cow::Borrowed(file.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> String {
        let mut linked = Linked::default();
        text.lines().for_each(|line| linked.push(line, "a file", 1));
        loops_that_end_late(&linked).text
    }

    #[test]
    fn loops_ask_at_their_end() {
        let text = "    for (var i = a; i < b; i += 8u) {\n        for (var j = 0u; j < 2u; j++) {\n            f();\n        }\n    }\n";
        let late = "    { var i = a; if i < b { loop {\n        { var j = 0u; if j < 2u { loop {\n            f();\n        j++; if !(j < 2u) { break; } } } }\n    i += 8u; if !(i < b) { break; } } } }\n";
        assert_eq!(rewritten(text), late);
    }

    #[test]
    fn loops_with_barriers_or_continues_stay() {
        for inside in ["workgroupBarrier();", "continue;"] {
            let text = format!("for (var i = a; i < b; i++) {{\n    {inside}\n}}\n");
            assert_eq!(rewritten(&text), text);
        }
    }
}
